"""The page rule against a plain model, and the tokens."""

import bisect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3shim import paging
from s3shim.errors import Code, S3Error
from s3shim.model import ListQuery

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
