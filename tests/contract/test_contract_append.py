"""Appends: behind the last byte or not at all, and what is stored stays where it is."""

import hashlib
from base64 import b64decode, b64encode

import pytest

from s3shim.backends.base import Capability
from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectInfo, ObjectMeta, ObjectRef
from s3shim.multipart import MAX_PARTS
from s3shim.ranges import ByteRange
from tests.contract.bodies import (
    DIGESTS,
    BytesBody,
    InterruptedBody,
    checksum,
    code_of,
    digests_of,
    get,
    pattern,
    put,
)
from tests.contract.conftest import BLOCK, INLINE_MAX, promising, started
from tests.contract.test_contract_races import race
from tests.contract.uploads import begin, complete, copy_part, put_parts, upload

SIZES = [1, INLINE_MAX, INLINE_MAX + 1, 3 * BLOCK + 17]
META = ObjectMeta("text/x", {"cache-control": "no-store"}, {"a": "1"}, {"t": "1"})
KEY = ObjectRef("bucket", "key")


@pytest.fixture(params=promising(Capability.APPEND))
def storage(request, tmp_path):
    yield from started(request.param, tmp_path)


def append(backend, offset, data, *, meta=None, conditions=NO_CONDITIONS, algorithm="crc32") -> ObjectInfo:
    body = BytesBody(data, algorithm=algorithm) if isinstance(data, bytes) else data
    return backend.append_object(KEY, body, meta or ObjectMeta(), offset, conditions)


def parts_of(backend):
    return backend.get_object_parts(KEY, NO_CONDITIONS)[1]


def md5(*datas):
    return hashlib.md5(b"".join(datas), usedforsecurity=False)


@pytest.mark.parametrize("first", SIZES)
@pytest.mark.parametrize("second", SIZES)
def test_the_new_bytes_follow_the_old_ones(storage, first, second):
    old, new = pattern(first), pattern(second, 9)
    put(storage, "key", old, meta=META)
    info = append(storage, first, new)
    etag = md5(md5(old).digest(), md5(new).digest()).hexdigest() + "-2"
    assert (info.size, info.etag, info.parts_count) == (first + second, etag, 2)
    assert (info.meta, info.checksums) == (META, {"crc32": checksum("crc32", old + new)})
    for _ in range(2):
        assert storage.head_object(KEY, NO_CONDITIONS) == info
        assert get(storage, "key") == old + new
        assert get(storage, "key", ByteRange(first - 1, first)) == (old + new)[first - 1 : first + 1]
        storage.close()
        storage.start()
    found = [(part.part_number, part.size, part.checksums) for part in parts_of(storage)]
    assert found == [
        (1, first, {"crc32": checksum("crc32", old)}),
        (2, second, {"crc32": checksum("crc32", new)}),
    ]


def test_many_appends(storage):
    whole, etag = b"", b""
    for number in range(30):
        data = pattern(1 + number * 97, number)
        info = append(storage, len(whole), data)
        etag = md5(etag, md5(data).digest()).digest() if number else md5(data).digest()
        whole += data
        assert info.etag == etag.hex() + (f"-{number + 1}" if number else "")
        assert info.checksums == {"crc32": checksum("crc32", whole)}
    assert get(storage, "key") == whole
    assert [part.part_number for part in parts_of(storage)] == list(range(1, 31))
    storage.delete_object(KEY, NO_CONDITIONS)
    assert code_of(get, storage, "key") is Code.NoSuchKey


@pytest.mark.parametrize("algorithm", list(DIGESTS))
@pytest.mark.parametrize("stated", ["crc32", "sha256"])
def test_the_checksum_goes_on_by_the_objects_algorithm(storage, algorithm, stated):
    """Whatever checksum comes with the new bytes."""
    put(storage, "key", BytesBody(b"old", algorithm=algorithm))
    append(storage, 3, b"new", algorithm=stated)
    info = append(storage, 6, b"more", algorithm=stated)
    if algorithm.startswith("crc"):
        assert (info.checksums, info.checksum_type) == (
            {algorithm: checksum(algorithm, b"oldnewmore")},
            "FULL_OBJECT",
        )
    else:
        raw = b"".join(b64decode(checksum(algorithm, data)) for data in (b"old", b"new", b"more"))
        expected = b64encode(DIGESTS[algorithm](raw)).decode() + "-3"
        assert (info.checksums, info.checksum_type) == ({algorithm: expected}, "COMPOSITE")


def test_an_object_of_parts_grows_by_one(storage):
    datas = [pattern(BLOCK + 1, 1), pattern(10, 2), pattern(2000, 3)]
    before = put_parts(storage, "key", datas, algorithm="crc32", checksum_type="COMPOSITE")
    info = append(storage, before.size, b"tail")
    assert info.parts_count == 4
    raw = b"".join(b64decode(checksum("crc32", data)) for data in [*datas, b"tail"])
    assert info.checksums == {"crc32": b64encode(DIGESTS["crc32"](raw)).decode() + "-4"}
    assert info.etag.endswith("-4")
    assert get(storage, "key") == b"".join(datas) + b"tail"


def test_what_has_no_checksum_gets_none(storage):
    put(storage, "source", b"0123456789")
    ref = begin(storage)
    part = copy_part(storage, ref, 1, "source", ByteRange(0, 4))
    assert complete(storage, ref, [part]).checksums == {}
    info = append(storage, 5, b"56")
    assert (info.checksums, get(storage, "key")) == ({}, b"0123456")


@pytest.mark.parametrize("offset", [0, 1, 2, 4, 10**15])
def test_an_offset_that_is_not_the_size(storage, offset):
    old = put(storage, "key", b"old")
    assert code_of(append, storage, offset, b"new") is Code.InvalidWriteOffset
    assert storage.head_object(KEY, NO_CONDITIONS) == old
    assert get(storage, "key") == b"old"


def test_a_wrong_offset_is_told_before_the_body_is_read(storage):
    put(storage, "key", b"old")
    body = BytesBody(b"new", fail_at=0, error=AssertionError("the body was read"))
    assert code_of(append, storage, 4, body) is Code.InvalidWriteOffset


def test_at_zero_an_object_begins(storage):
    info = append(storage, 0, b"first", meta=META)
    assert (info.meta, info.etag, info.parts_count) == (META, digests_of(b"first").md5, 0)
    put(storage, "key", b"")
    assert append(storage, 0, b"anew", meta=META).meta == META
    assert get(storage, "key") == b"anew"
    storage.delete_object(KEY, NO_CONDITIONS)
    assert code_of(append, storage, 1, b"x") is Code.InvalidWriteOffset


def test_nothing_cannot_be_appended(storage):
    assert code_of(append, storage, 0, b"") is Code.InvalidRequest
    assert code_of(get, storage, "key") is Code.NoSuchKey
    put(storage, "key", b"old")
    for body in (b"", BytesBody(b"", length=None)):
        assert code_of(append, storage, 3, body) is Code.InvalidRequest
    assert get(storage, "key") == b"old"


def test_conditions(storage):
    old = put(storage, "key", b"old")
    for conditions in (
        Conditions(if_match=ETagList(frozenset({"0" * 32}))),
        Conditions(if_none_match=ETagList(any=True)),
    ):
        assert code_of(append, storage, 3, b"new", conditions=conditions) is Code.PreconditionFailed
        assert get(storage, "key") == b"old"
    append(storage, 3, b"new", conditions=Conditions(if_match=ETagList(frozenset({old.etag}))))
    assert get(storage, "key") == b"oldnew"


@pytest.mark.parametrize("size", [10, 5000])
def test_a_body_that_fails_appends_nothing(storage, size):
    put(storage, "key", b"old")
    for fail_at in range(3):
        body = BytesBody(pattern(size), piece=size // 2, fail_at=fail_at, error=S3Error(Code.BadDigest))
        assert code_of(append, storage, 3, body) is Code.BadDigest
        assert get(storage, "key") == b"old"


@pytest.mark.parametrize("size", [10, 5000])
def test_an_object_that_changes_meanwhile(storage, size):
    put(storage, "key", b"old")
    body = InterruptedBody(pattern(size), lambda: put(storage, "key", b"longer"))
    body.piece = 5
    assert code_of(append, storage, 3, body) is Code.InvalidWriteOffset
    assert get(storage, "key") == b"longer"


def test_of_racing_appends_at_one_offset_one_is_there(storage):
    whole = b""
    for _ in range(8):
        datas = [pattern(700 + 300 * n, n) for n in range(6)]
        at = len(whole)
        outcomes = race([lambda d=d, at=at: append(storage, at, d) for d in datas])
        winners = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, ObjectInfo)]
        assert len(winners) == 1
        assert outcomes.count(Code.InvalidWriteOffset) == 5
        whole += datas[winners[0]]
        assert get(storage, "key") == whole


def test_a_copy_and_a_reader_keep_what_they_had(storage):
    old = pattern(5000)
    put(storage, "key", old)
    stream = storage.get_object(KEY, None, NO_CONDITIONS)
    storage.copy_object(Copy(KEY), ObjectRef("bucket", "copy"), NO_CONDITIONS)
    append(storage, 5000, pattern(3000, 1))
    assert b"".join(stream.chunks) == old
    stream.chunks.close()
    assert get(storage, "copy") == old
    storage.delete_object(KEY, NO_CONDITIONS)
    assert get(storage, "copy") == old


def test_ten_thousand_parts_are_the_most(storage):
    ref = begin(storage)
    before = complete(storage, ref, [upload(storage, ref, MAX_PARTS, b"last")])
    assert code_of(append, storage, before.size, b"x") is Code.TooManyParts
    assert get(storage, "key") == b"last"
