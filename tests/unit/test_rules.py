"""Names, ranges, conditions, checksums: the pure rules, by table."""

import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3shim import checksums
from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList, check_read, check_write, range_applies
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectInfo, ObjectMeta
from s3shim.names import check_bucket_name, check_key
from s3shim.ranges import ByteRange, parse_range

GOOD_NAMES = [
    "abc",
    "a1b",
    "my.bucket",
    "my-bucket",
    "123",
    "a.b.c",
    "1.2.3",
    "my.dotted.bucket.name",
    "0a0",
    "a--b",
    "healthz",
    "metrics",
    "stats",
    "health",
    "minio",
    "docs-1",
    "x-y-z",
    "192.168.0",
    "192.168.0.1.2",
    "a-b.c-d",
    "xn-a",
    "s3alias",
]
BAD_NAMES = [
    "ab",
    "a",
    "A",
    "Abc",
    "aBc",
    "a_b",
    "a..b",
    "a.-b",
    "a-.b",
    "-ab",
    "ab-",
    ".ab",
    "ab.",
    "192.168.0.1",
    "1.1.1.1",
    "xn--a",
    "abc-s3alias",
    "sthree-x",
    "amzn-s3-demo-x",
    "abc--ol-s3",
    "abc.mrap",
    "abc--x-s3",
    "abc--table-s3",
    "..",
    ".",
    "a/b",
    "a%00",
    "aéb",
    "a+b",
    "a,b",
    "a:b",
    "a*b",
]


@pytest.mark.parametrize("name", [*GOOD_NAMES, "a" * 63, "a" * 3])
def test_bucket_name_accepted(name):
    check_bucket_name(name)


@pytest.mark.parametrize("name", [*BAD_NAMES, "", "a" * 64, "a b", "a\0b", "abc\n", "a\r\nX: y"])
def test_bucket_name_refused(name):
    with pytest.raises(S3Error) as raised:
        check_bucket_name(name)
    assert raised.value.code is Code.InvalidBucketName


@pytest.mark.parametrize(
    "key", ["a", "a" * 1024, "\u20ac" * 341, "..", "/", "a..b.txt", "\x01", "\ufffe", " "]
)
def test_key_accepted(key):
    check_key(key)


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("a" * 1025, Code.KeyTooLongError),
        ("\u20ac" * 342, Code.KeyTooLongError),
        ("a\0", Code.InvalidArgument),
    ],
)
def test_key_refused(key, code):
    with pytest.raises(S3Error) as raised:
        check_key(key)
    assert raised.value.code is code


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=5-", (5, 95)),
        ("bytes=-5", (95, 5)),
        ("bytes=-500", (0, 100)),
        ("bytes=90-1000", (90, 10)),
        ("BYTES=99-99", (99, 1)),
        ("bytes=0-99999999999999999999999", (0, 100)),
    ],
)
def test_range_resolves(value, expected):
    found = parse_range(value)
    assert found is not None
    assert found.resolve(100) == expected


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "bytes=",
        "bytes=-",
        "bytes=9-1",
        "bytes=a-b",
        "items=0-1",
        "bytes=0-,5-6",
        "bytes=0-1,2-3",
        "bytes 0-1",
        "bytes=0-1-2",
        "bytes=" + ",".join("0-1" for _ in range(10_000)),
        "bytes=\u0661-\u0662",
    ],
)
def test_range_ignored(value):
    assert parse_range(value) is None


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("bytes=100-", 100),
        ("bytes=100-200", 100),
        ("bytes=-0", 100),
        ("bytes=-5", 0),
        ("bytes=99999999999999999999-", 5),
    ],
)
def test_range_beyond_the_end(value, size):
    found = parse_range(value)
    assert found is not None
    with pytest.raises(S3Error) as raised:
        found.resolve(size)
    assert raised.value.code is Code.InvalidRange
    assert raised.value.headers == {"Content-Range": f"bytes */{size}"}


@given(st.integers(0, 50), st.none() | st.integers(0, 60), st.none() | st.integers(0, 60))
def test_range_is_pythons_slice(size, first, last):
    if first is None and last is None:
        return
    data = bytes(range(size))
    if first is None:
        expected = data[-last:] if last else b""
    else:
        expected = data[first : None if last is None else last + 1]
    try:
        start, length = ByteRange(first, last).resolve(size)
    except S3Error:
        assert expected == b""
    else:
        assert data[start : start + length] == expected
        assert length > 0


@given(st.integers(0, 50), st.integers(0, 60), st.integers(0, 60))
def test_whole_range_is_all_within(size, first, last):
    wanted = ByteRange(first, last)
    if first <= last < size:
        assert wanted.resolve_whole(size) == (first, last - first + 1)
    else:
        with pytest.raises(S3Error) as raised:
            wanted.resolve_whole(size)
        assert raised.value.code is Code.InvalidRange


SECOND = 1_700_000_000_000


def an_object(etag="e1", modified=SECOND + 500):
    return ObjectInfo("k", 1, etag, modified, ObjectMeta(), {})


def tags(*strong, weak=()):
    return ETagList(frozenset(strong), frozenset(weak))


READS = [
    # (conditions, outcome for an object with etag e1, modified half a second after SECOND)
    (NO_CONDITIONS, None),
    (Conditions(if_match=tags("e1")), None),
    (Conditions(if_match=tags("x")), Code.PreconditionFailed),
    (Conditions(if_match=tags(weak=["e1"])), Code.PreconditionFailed),
    (Conditions(if_match=ETagList(any=True)), None),
    (Conditions(if_none_match=tags("e1")), Code.NotModified),
    (Conditions(if_none_match=tags(weak=["e1"])), Code.NotModified),
    (Conditions(if_none_match=tags("x")), None),
    (Conditions(if_none_match=ETagList(any=True)), Code.NotModified),
    (Conditions(if_modified_since=SECOND), Code.NotModified),
    (Conditions(if_modified_since=SECOND - 1000), None),
    (Conditions(if_unmodified_since=SECOND), None),
    (Conditions(if_unmodified_since=SECOND - 1000), Code.PreconditionFailed),
    # RFC 9110, 13.2.2: the entity tag decides, the date beside it is not looked at.
    (Conditions(if_match=tags("e1"), if_unmodified_since=SECOND - 1000), None),
    (Conditions(if_none_match=tags("x"), if_modified_since=SECOND), None),
    (Conditions(if_none_match=tags("e1"), if_modified_since=SECOND - 1000), Code.NotModified),
    (Conditions(if_match=tags("e1"), if_none_match=tags("e1")), Code.NotModified),
    (Conditions(if_match=tags("x"), if_none_match=tags("e1")), Code.PreconditionFailed),
]


@pytest.mark.parametrize(("conditions", "expected"), READS)
def test_read_conditions(conditions, expected):
    try:
        check_read(conditions, an_object())
        outcome = None
    except S3Error as error:
        outcome = error.code
    assert outcome is expected


@pytest.mark.parametrize(
    ("conditions", "current", "expected"),
    [
        (NO_CONDITIONS, None, None),
        (NO_CONDITIONS, an_object(), None),
        (Conditions(if_none_match=ETagList(any=True)), None, None),
        (Conditions(if_none_match=ETagList(any=True)), an_object(), Code.PreconditionFailed),
        (Conditions(if_match=tags("e1")), an_object(), None),
        (Conditions(if_match=tags("x")), an_object(), Code.PreconditionFailed),
        (Conditions(if_match=tags("x")), None, Code.NoSuchKey),
    ],
)
def test_write_conditions(conditions, current, expected):
    try:
        check_write(conditions, current)
        outcome = None
    except S3Error as error:
        outcome = error.code
    assert outcome is expected


@pytest.mark.parametrize(
    ("if_range", "expected"),
    [(None, True), ("e1", True), ("x", False), ("", False), (SECOND, True), (SECOND + 1000, False)],
)
def test_if_range(if_range, expected):
    assert range_applies(Conditions(if_range=if_range), an_object()) is expected


CHECK = b"123456789"


@pytest.mark.parametrize(
    ("algorithm", "value"),
    [
        # The check values of the CRC catalogue for "123456789".
        ("crc32", "cbf43926"),
        ("crc32c", "e3069283"),
        ("crc64nvme", "ae8b14860a799888"),
        ("sha1", hashlib.sha1(CHECK).hexdigest()),
        ("sha256", hashlib.sha256(CHECK).hexdigest()),
    ],
)
def test_checksum_check_values(algorithm, value):
    hasher = checksums.new(algorithm)
    for byte in CHECK:
        hasher.update(bytes([byte]))
    assert hasher.digest().hex() == value
    encoded = checksums.encode(hasher.digest())
    assert checksums.decode(algorithm, encoded) == hasher.digest()


@given(st.binary(max_size=300), st.integers(0, 300))
def test_crcs_continue(data, at):
    hasher = checksums.new("crc32")
    hasher.update(data[:at])
    hasher.update(data[at:])
    assert int.from_bytes(hasher.digest(), "big") == zlib.crc32(data)
    assert checksums.crc64nvme(data[at:], checksums.crc64nvme(data[:at])) == checksums.crc64nvme(data)


@pytest.mark.parametrize("value", ["", "=", "AAAA", "AAAAAA", "AAAAAAA=", "AAAAAA==\n", "\u20ac", "!!!!!!=="])
def test_checksum_value_refused(value):
    assert checksums.decode("crc32", value) is None
