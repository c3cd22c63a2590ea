"""Objects: what goes in comes out, whole or not at all."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code, S3Error
from s3shim.model import Deleted, ListQuery, ObjectMeta, ObjectRef
from s3shim.ranges import ByteRange
from tests.contract.bodies import BytesBody, code_of, digests_of, get, listed, pattern, put, shown
from tests.contract.conftest import BLOCK, INLINE_MAX, keeps

SIZES = [
    0,
    1,
    INLINE_MAX - 1,
    INLINE_MAX,
    INLINE_MAX + 1,
    BLOCK - 1,
    BLOCK,
    BLOCK + 1,
    3 * BLOCK,
    5 * BLOCK + 17,
]
EDGES = [0, 1, 17, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1, 3 * BLOCK]
KEY = ObjectRef("bucket", "key")
REUSED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
@pytest.mark.parametrize("piece", [1 << 30, 700], ids=["whole", "pieces"])
@pytest.mark.parametrize("size", SIZES)
def test_an_object_comes_back_as_it_went_in(backend, size, piece, declared):
    data = pattern(size)
    meta = ObjectMeta(
        "text/x; charset=\xe9", {"cache-control": "no-store"}, {"some_name": "v\xe4lue"}, {"t": "1"}
    )
    before = time.time_ns() // 1_000_000
    info = put(backend, "key", BytesBody(data, piece=piece, length=size if declared else None), meta=meta)
    after = time.time_ns() // 1_000_000
    digests = digests_of(data)
    assert (info.key, info.size, info.etag, info.meta) == ("key", size, digests.md5, meta)
    assert (info.checksums, info.version_id) == (digests.checksums, "null")
    assert before <= info.last_modified <= after
    stream = backend.get_object(KEY, None, NO_CONDITIONS)
    assert (stream.info, stream.start, stream.length) == (info, 0, size)
    assert b"".join(stream.chunks) == data
    assert backend.head_object(KEY, NO_CONDITIONS) == info
    assert listed(backend) == [shown(info)]


def test_a_key_that_is_not_there(backend):
    assert code_of(get, backend, "key") is Code.NoSuchKey
    assert code_of(backend.head_object, KEY, NO_CONDITIONS) is Code.NoSuchKey
    put(backend, "key2")
    put(backend, "ke")
    assert code_of(get, backend, "key") is Code.NoSuchKey


def test_version_ids(backend):
    put(backend, "key", b"data")
    null, other = ObjectRef("bucket", "key", "null"), ObjectRef("bucket", "key", "3HL4kqtJlcpXroDTDmJ")
    assert b"".join(backend.get_object(null, None, NO_CONDITIONS).chunks) == b"data"
    assert code_of(backend.head_object, other, NO_CONDITIONS) is Code.NoSuchVersion
    assert code_of(backend.get_object, other, None, NO_CONDITIONS) is Code.NoSuchVersion
    assert backend.delete_object(other, NO_CONDITIONS) == Deleted()
    assert get(backend, "key") == b"data"
    backend.delete_object(null, NO_CONDITIONS)
    assert code_of(get, backend, "key") is Code.NoSuchKey


def test_delete_object_is_idempotent(backend):
    put(backend, "key", b"data")
    put(backend, "key2", b"other")
    for _ in range(3):
        assert backend.delete_object(KEY, NO_CONDITIONS) == Deleted()
        assert code_of(get, backend, "key") is Code.NoSuchKey
    assert get(backend, "key2") == b"other"


@pytest.mark.parametrize("old", [0, 10, 5000])
@pytest.mark.parametrize("new", [0, 10, 5000])
def test_an_overwrite_replaces_bytes_and_records(backend, old, new):
    put(backend, "key", pattern(old, 1), meta=ObjectMeta("a/b", {}, {"old": "1"}))
    info = put(backend, "key", pattern(new, 2), meta=ObjectMeta(None, {}, {"new": "2"}))
    assert get(backend, "key") == pattern(new, 2)
    assert listed(backend) == [shown(info)]
    assert info.meta == ObjectMeta(None, {}, {"new": "2"})


# -- ranges ------------------------------------------------------------------------------------


@REUSED
@given(
    size=st.sampled_from([1, 900, BLOCK, BLOCK + 1, 3 * BLOCK + 5]),
    first=st.one_of(st.sampled_from(EDGES), st.integers(0, 4 * BLOCK)),
    last=st.one_of(st.none(), st.sampled_from(EDGES), st.integers(0, 4 * BLOCK)),
    suffix=st.booleans(),
)
def test_ranges(backend, size, first, last, suffix):
    key = f"size{size}"
    if code_of(backend.head_object, ObjectRef("bucket", key), NO_CONDITIONS):
        put(backend, key, pattern(size))
    whole = pattern(size)
    if suffix:
        byte_range, expected = ByteRange(None, first), whole[-first:] if first else b""
    else:
        byte_range, expected = ByteRange(first, last), whole[first : None if last is None else last + 1]
    if not expected:
        assert code_of(get, backend, key, byte_range) is Code.InvalidRange
        return
    stream = backend.get_object(ObjectRef("bucket", key), byte_range, NO_CONDITIONS)
    assert b"".join(stream.chunks) == expected
    assert (stream.start, stream.length) == (max(size - first, 0) if suffix else first, len(expected))


def test_every_pair_of_block_edges(backend):
    data = pattern(3 * BLOCK)
    put(backend, "key", data)
    for first in EDGES[:-1]:
        for stop in EDGES:
            if stop > first:
                assert get(backend, "key", ByteRange(first, stop - 1)) == data[first:stop]


def test_a_range_of_nothing_is_refused(backend):
    put(backend, "empty")
    for byte_range in (ByteRange(0, None), ByteRange(0, 0), ByteRange(None, 5)):
        assert code_of(get, backend, "empty", byte_range) is Code.InvalidRange


# -- all or nothing ----------------------------------------------------------------------------


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "chunked"])
@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize(
    ("size", "fail_at"), [(0, 0), (10, 1), (5000, 0), (5000, 2), (5000, 8), (50_000, 30)]
)
def test_a_body_that_fails_changes_nothing(backend, size, fail_at, old, declared):
    if old is not None:
        put(backend, "key", old)
    body = BytesBody(
        pattern(size),
        length=size if declared else None,
        piece=700,
        fail_at=fail_at,
        error=S3Error(Code.BadDigest),
    )
    assert code_of(put, backend, "key", body) is Code.BadDigest
    for _ in range(2):
        if old is None:
            assert code_of(get, backend, "key") is Code.NoSuchKey
            assert backend.list_objects("bucket", ListQuery()).items == []
        else:
            assert get(backend, "key") == old
        backend.close()
        backend.start()


@pytest.mark.parametrize(
    ("size", "declared"), [(0, 1), (10, 9), (10, 11), (10, 5000), (5000, 10), (5000, 4999)]
)
def test_a_length_that_lies_is_an_incomplete_body(backend, size, declared):
    assert code_of(put, backend, "key", BytesBody(pattern(size), length=declared)) is Code.IncompleteBody
    assert code_of(get, backend, "key") is Code.NoSuchKey


def test_an_exception_of_another_kind_passes_through(backend):
    body = BytesBody(pattern(50_000), piece=700, fail_at=20, error=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        put(backend, "key", body)
    assert code_of(get, backend, "key") is Code.NoSuchKey
    put(backend, "key", b"later")
    assert get(backend, "key") == b"later"


# -- readers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [900, 20 * BLOCK])
def test_readers_keep_the_object_that_they_began_with(backend, size):
    expected = []
    streams = []
    for seed in range(5):
        put(backend, "key", pattern(size, seed))
        expected.append(pattern(size, seed))
        streams.append(iter(backend.get_object(KEY, None, NO_CONDITIONS).chunks))
    parts = [[next(stream)] for stream in streams]
    put(backend, "key", b"new")
    backend.delete_object(KEY, NO_CONDITIONS)
    for part, stream in zip(parts, streams, strict=True):
        part.extend(stream)
    assert [b"".join(part) for part in parts] == expected


def test_reads_during_overwrites_are_never_mixed(backend):
    sizes = [900, 3 * BLOCK + 7, 10, 0, BLOCK]
    versions = {pattern(size, seed) for seed, size in enumerate(sizes)}
    put(backend, "key", pattern(sizes[0], 0))
    done = Event()

    def write():
        for round_number in range(60):
            seed = round_number % len(sizes)
            put(backend, "key", pattern(sizes[seed], seed))
        done.set()

    def read():
        count = 0
        while not done.is_set() or not count:
            stream = backend.get_object(KEY, None, NO_CONDITIONS)
            data = b"".join(stream.chunks)
            assert data in versions
            assert stream.info.etag == digests_of(data).md5
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        pool.submit(write).result()
        assert all(reader.result() for reader in readers)


@pytest.mark.parametrize("size", [0, 900, 20 * BLOCK])
def test_a_stream_may_be_closed_at_any_time(backend, size):
    put(backend, "key", pattern(size))
    for taken in range(4):
        stream = backend.get_object(KEY, None, NO_CONDITIONS)
        chunks = iter(stream.chunks)
        for _ in range(taken):
            next(chunks, None)
        stream.chunks.close()
        stream.chunks.close()


# -- keys --------------------------------------------------------------------------------------

ODD_KEYS = [
    " ",
    " lead and trail ",
    "/",
    "//a//b/",
    ".",
    "..",
    "../../etc/passwd",
    "a/../b",
    "a\tb\nc\rd\x01\x1f\x7f",
    "%2F%00+&?#=",
    "\\",
    "\u00e9",
    "e\u0301",
    "\ufffd\uffff",
    "\U0001f600",
    "\U0010ffff" * 256,
    "k" * 1024,
    "\u00e9" * 512,
    "con:<>|*\"'",
    "LOCK",
    "VERSION",
]


def test_odd_keys(backend):
    keys = [key for key in ODD_KEYS if keeps(backend, key)]
    for key in set(ODD_KEYS) - set(keys):
        assert code_of(put, backend, key, b"data") in (Code.InvalidArgument, Code.KeyTooLongError)
        assert code_of(get, backend, key) is Code.NoSuchKey
        assert backend.delete_object(ObjectRef("bucket", key), NO_CONDITIONS) == Deleted()
    for number, key in enumerate(keys):
        put(backend, key, pattern(number * 300, number))
    for number, key in enumerate(keys):
        assert get(backend, key) == pattern(number * 300, number)
        assert backend.head_object(ObjectRef("bucket", key), NO_CONDITIONS).key == key
    page = backend.list_objects("bucket", ListQuery())
    assert [info.key for info in page.items] == sorted(keys, key=str.encode)
    for key in keys:
        backend.delete_object(ObjectRef("bucket", key), NO_CONDITIONS)
    assert backend.list_objects("bucket", ListQuery()).items == []
