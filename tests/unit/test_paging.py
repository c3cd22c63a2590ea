"""The page rule against a plain model, and the tokens."""

import bisect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3shim import paging
from s3shim.errors import Code, S3Error
from s3shim.model import ListQuery, UploadQuery

ALPHABET = st.text(
    alphabet="ab/-\x01\x7f\u00e9\ud7ff\ue000\uffff\U0001f600\U0010ffff", min_size=1, max_size=6
)
SECRET = b"k" * 32


def seek_in(keys):
    ordered = sorted(keys, key=str.encode)

    def seek(start):
        for key in ordered[bisect.bisect_left(ordered, start) :]:
            yield key, lambda key=key: key

    return seek


def walk(keys, query):
    shown, marker, pages = [], query.marker, 0
    while True:
        page = paging.list_page(
            seek_in(keys), ListQuery(query.prefix, query.delimiter, marker, query.max_keys)
        )
        assert len(page.items) + len(page.common_prefixes) <= query.max_keys
        shown += sorted([*page.items, *page.common_prefixes], key=str.encode)
        pages += 1
        if page.next_marker is None:
            return shown
        assert page.is_truncated
        assert len(page.items) + len(page.common_prefixes) == query.max_keys
        marker = page.next_marker


def model(keys, prefix, delimiter):
    shown = set()
    for key in keys:
        if key.startswith(prefix):
            rest = key[len(prefix) :]
            head, found, _ = rest.partition(delimiter) if delimiter else (rest, "", "")
            shown.add(prefix + head + found)
    return sorted(shown, key=str.encode)


@given(
    st.sets(ALPHABET, max_size=30),
    st.text(alphabet="ab/-", max_size=2),
    st.sampled_from(["", "/", "b/", "-", "\U0010ffff", "\ud7ff"]),
    st.integers(1, 5),
)
def test_pages_give_every_key_and_prefix_once_and_in_byte_order(keys, prefix, delimiter, size):
    assert walk(keys, ListQuery(prefix, delimiter, "", size)) == model(keys, prefix, delimiter)


@given(st.sets(ALPHABET, max_size=30), ALPHABET, st.integers(1, 5))
def test_marker_is_exclusive(keys, marker, size):
    expected = sorted((k for k in keys if k.encode() > marker.encode()), key=str.encode)
    assert walk(keys, ListQuery("", "", marker, size)) == expected


@given(ALPHABET, ALPHABET)
def test_after_prefix_is_the_least_str_above_the_prefix(prefix, other):
    above = paging.after_prefix(prefix)
    if above is None:
        assert set(prefix) == {"\U0010ffff"}
    else:
        above.encode()
        assert above.encode() > prefix.encode()
        if other.encode() >= prefix.encode():
            assert (other.encode() < above.encode()) == other.startswith(prefix)


def test_max_keys_zero_is_empty_and_not_truncated():
    page = paging.list_page(seek_in(["a"]), ListQuery(max_keys=0))
    assert (page.items, page.common_prefixes, page.is_truncated) == ([], [], False)


def test_records_are_made_for_shown_keys_only():
    made = []

    def seek(start):
        for key in ["a/1", "a/2", "b", "c"]:
            if key >= start:
                yield key, lambda key=key: made.append(key) or key

    page = paging.list_page(seek, ListQuery(delimiter="/", max_keys=2))
    assert (page.items, page.common_prefixes, page.next_marker) == (["b"], ["a/"], "b")
    assert made == ["b"]


# -- uploads -----------------------------------------------------------------------------------

UPLOAD_KEYS = st.text(alphabet="ab0/\x01\u00e9\U0010ffff", min_size=1, max_size=4)
UPLOADS = st.lists(UPLOAD_KEYS, max_size=12).map(
    lambda keys: [(key, f"{number:04x}ab0") for number, key in enumerate(keys)]
)


ID_MARKERS = st.sampled_from(["", "0000ab0", "0003", "0005ab0", "b0", "~"])


def seek_uploads(uploads):
    """Return a seek whose records are (key, upload id)."""
    records = {paging.upload_position(*upload): upload for upload in uploads}
    seek = seek_in(records)

    def seek_records(start):
        for position, _ in seek(start):
            yield position, lambda position=position: records[position]

    return seek_records


def by_key_then_id(entry):
    return entry[0].encode(), entry[1]


def upload_pages(uploads, query):
    """Return all (key, upload id), and (common prefix, ""), in the order in which the pages show them."""
    shown = []
    while True:
        page = paging.list_uploads_page(seek_uploads(uploads), query)
        assert page.items == sorted(page.items, key=by_key_then_id)
        assert page.common_prefixes == sorted(page.common_prefixes, key=str.encode)
        entries = [*page.items, *((group, "") for group in page.common_prefixes)]
        entries.sort(key=by_key_then_id)
        shown += entries
        if page.next_marker is None:
            return shown
        assert len(entries) == query.max_uploads
        assert page.next_marker == entries[-1][0]
        query.key_marker, query.upload_id_marker = entries[-1]


def upload_model(uploads, prefix, delimiter):
    shown = set()
    for key, upload_id in uploads:
        if key.startswith(prefix):
            head, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            shown.add((prefix + head + found, "") if found else (key, upload_id))
    return sorted(shown, key=by_key_then_id)


@given(
    UPLOADS,
    st.text(alphabet="ab0/", max_size=2),
    st.sampled_from(["", "/", "0", "a", "ab", "b0", "\0", "\U0010ffff"]),
    st.integers(1, 4),
)
def test_pages_give_every_upload_once_by_key_then_by_id(uploads, prefix, delimiter, size):
    found = upload_pages(uploads, UploadQuery(prefix, delimiter, max_uploads=size))
    assert found == upload_model(uploads, prefix, delimiter)


@given(UPLOADS, UPLOAD_KEYS, ID_MARKERS, st.integers(1, 4))
def test_upload_markers_are_exclusive(uploads, key_marker, id_marker, size):
    marker = key_marker.encode(), id_marker or "~"
    expected = [upload for upload in upload_model(uploads, "", "") if by_key_then_id(upload) > marker]
    assert upload_pages(uploads, UploadQuery("", "", key_marker, id_marker, size)) == expected


@given(UPLOADS, UPLOAD_KEYS, st.sampled_from(["/", "0", "a"]))
def test_a_common_prefix_as_key_marker_passes_over_all_below_it(uploads, stem, delimiter):
    group = stem.partition(delimiter)[0] + delimiter
    found = upload_pages(uploads, UploadQuery("", delimiter, group))
    expected = [
        entry
        for entry in upload_model(uploads, "", delimiter)
        if entry[0].encode() > group.encode() and not entry[0].startswith(group)
    ]
    assert found == expected


def test_no_upload_has_a_nul_in_its_key():
    uploads = [("a", "1"), ("a", "2"), ("b", "3")]
    for prefix in ("a\0", "\0", "a\x001"):
        assert upload_pages(uploads, UploadQuery(prefix)) == []
    for marker in ("a\0", "a\x001", "a\0\0", "a\0\uffff"):
        assert upload_pages(uploads, UploadQuery("", "", marker, "1")) == [("b", "3")]


def test_upload_id_marker_alone_means_nothing():
    uploads = [("a", "1"), ("b", "2")]
    assert upload_pages(uploads, UploadQuery(upload_id_marker="9")) == uploads
    page = paging.list_uploads_page(seek_uploads(uploads), UploadQuery(max_uploads=0))
    assert (page.items, page.common_prefixes, page.is_truncated) == ([], [], False)


# -- tokens ------------------------------------------------------------------------------------


@given(st.text(alphabet="ab/\u00e9", max_size=8))
def test_token_opens_in_its_own_context_only(marker):
    context = ("objects", "bucket", "", "/")
    token = paging.seal_token(SECRET, context, marker)
    assert paging.open_token(SECRET, context, token) == marker
    for secret, other in [(b"x" * 32, context), (SECRET, ("objects", "bucket", "/", ""))]:
        with pytest.raises(S3Error) as raised:
            paging.open_token(secret, other, token)
        assert raised.value.code is Code.InvalidArgument


@given(st.data())
def test_changed_token_is_refused(data):
    token = paging.seal_token(SECRET, ("c",), "some/key")
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.sampled_from("ABZaz09-_=!\u20ac"))
    changed = token[:at] + other + token[at + 1 :]
    if changed != token:
        with pytest.raises(S3Error):
            paging.open_token(SECRET, ("c",), changed)


@pytest.mark.parametrize("token", ["", "x", "../x", "%", "A" * 10_000, "\u20ac", "\x00\xff"])
def test_foreign_token_is_invalid_argument(token):
    with pytest.raises(S3Error) as raised:
        paging.open_token(SECRET, ("c",), token)
    assert raised.value.code is Code.InvalidArgument
