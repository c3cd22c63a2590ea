"""Listings against a sorted dict."""

import string

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3shim.backends.upstream.backend import UpstreamBackend
from s3shim.model import BucketInfo, ListQuery
from tests.contract.bodies import get, put
from tests.contract.conftest import together

DELIMITERS = ["", "/", "//", "a", "ab", "/\u00e9", "\U0001f600", "\U0010ffff"]

CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=("Cs",))
ALPHABET = "ab/" + "\u00e9\ud7ff\ue000\uffff\U0001f600\U0010ffff" + "\x01\x7f -"
SHORT_KEYS = st.text(alphabet=ALPHABET, min_size=1, max_size=8)
ANY_KEYS = st.text(alphabet=CHARACTERS, min_size=1, max_size=60)
LONG_KEYS = st.builds(
    lambda key, fill, size: (key + fill * size).encode()[:1024].decode(errors="ignore"),
    SHORT_KEYS,
    st.sampled_from("x\u00e9\uffff\U0010ffff"),
    st.integers(200, 1024),
)
KEYS = st.one_of(SHORT_KEYS, ANY_KEYS, LONG_KEYS)


def expected_listing(keys, prefix, delimiter):
    """Return what a listing shows, in order: (key, False) and (common prefix, True)."""
    shown = []
    for key in sorted(keys, key=str.encode):
        if key.startswith(prefix):
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            entry = (key, False) if end < 0 else (key[: end + len(delimiter)], True)
            if not shown or shown[-1] != entry:
                shown.append(entry)
    return shown


def walk(backend, bucket, prefix="", delimiter="", size=7):
    """Return the listing through pages of ``size``, in the same form; checks the form of the pages."""
    shown = []
    marker = ""
    while True:
        page = backend.list_objects(bucket, ListQuery(prefix, delimiter, marker, size))
        entries = [(info.key, False) for info in page.items] + [
            (group, True) for group in page.common_prefixes
        ]
        entries.sort(key=lambda entry: entry[0].encode())
        assert len(entries) <= size
        shown.extend(entries)
        if page.next_marker is None:
            assert not page.is_truncated
            return shown
        assert len(entries) == size
        assert page.next_marker == entries[-1][0]
        marker = page.next_marker


@settings(
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
    deadline=None,
    max_examples=12,
)
@given(data=st.data())
def test_pages_of_7_show_every_key_once_in_byte_order(backend, data):
    keys = together(backend, data.draw(st.sets(KEYS, min_size=60, max_size=90)))
    bucket = f"bucket{len(backend.list_buckets())}"
    backend.create_bucket(BucketInfo(bucket, "main", 1))
    for key in keys:
        put(backend, key, b"", bucket=bucket)
    prefixes = ["", *data.draw(st.lists(st.sampled_from(sorted(keys)), max_size=3))]
    for key in prefixes:
        prefix = key[: len(key) // 2]
        for delimiter in DELIMITERS:
            assert walk(backend, bucket, prefix, delimiter) == expected_listing(keys, prefix, delimiter)


def test_1000_keys_in_byte_order(backend):
    keys = set()

    @settings(database=None, max_examples=1000, deadline=None, derandomize=True)
    @given(KEYS)
    def collect(key):
        keys.add(key)

    while len(keys) < 1000:
        collect()
        keys.update(f"{letter}{number:04}" for letter in string.ascii_letters for number in range(20))
    keys = together(backend, keys)
    for key in keys:
        put(backend, key)
    # Over another S3 each page is a request, and moto looks at all keys for each.
    size = 211 if isinstance(backend, UpstreamBackend) else 7
    for delimiter in DELIMITERS:
        assert walk(backend, "bucket", "", delimiter, size) == expected_listing(keys, "", delimiter)
    assert [info.key for info in backend.list_objects("bucket", ListQuery(max_keys=10_000)).items] == (
        sorted(keys, key=str.encode)
    )


def test_markers_need_not_be_keys(backend):
    keys = ["a", "a/1", "a/2", "b", "b/1", "c"]
    for key in keys:
        put(backend, key)

    def after(marker, **query):
        page = backend.list_objects("bucket", ListQuery(marker=marker, **query))
        return [info.key for info in page.items], page.common_prefixes

    assert after("a") == (keys[1:], [])
    assert after("a\0") == (keys[1:], [])
    assert after("a\0\0b") == (keys[1:], [])
    assert after("a/1x") == (keys[2:], [])
    assert after("zzz") == ([], [])
    assert after("a" * 3000) == (["b", "b/1", "c"], [])
    assert after("a/", delimiter="/") == (["b", "c"], ["b/"])
    assert after("a/1", delimiter="/") == (["b", "c"], ["a/", "b/"])
    assert after("", prefix="a/") == (["a/1", "a/2"], [])
    assert after("a/1", prefix="a/") == (["a/2"], [])
    assert after("b", prefix="a/") == ([], [])
    assert after("", prefix="a\0") == ([], [])
    assert after("", prefix="x" * 3000) == ([], [])


def test_max_keys(backend):
    for key in "abc":
        put(backend, key)
    assert backend.list_objects("bucket", ListQuery(max_keys=0)).next_marker is None
    assert backend.list_objects("bucket", ListQuery(max_keys=2)).next_marker == "b"
    assert backend.list_objects("bucket", ListQuery(max_keys=3)).next_marker is None


def test_buckets_do_not_see_each_other(backend):
    for bucket in ("second", "third"):
        backend.create_bucket(BucketInfo(bucket, "main", 1))
    for bucket in ("bucket", "second"):
        for key in ("a", "\U0010ffff"):
            put(backend, key, bucket.encode(), bucket=bucket)
    assert walk(backend, "second") == walk(backend, "bucket") == [("a", False), ("\U0010ffff", False)]
    assert walk(backend, "third") == []
    assert get(backend, "a", bucket="second") == b"second"
