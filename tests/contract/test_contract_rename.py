"""Renames: at every instant under one key, with everything that belongs to the object."""

import pytest

from s3shim.backends.base import Backend, Capability
from s3shim.backends.memory import MemoryBackend
from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.errors import Code
from s3shim.model import ListQuery, ObjectInfo, ObjectMeta, ObjectRef
from s3shim.ranges import ByteRange
from s3shim.renaming import Rename
from tests.contract.bodies import BytesBody, code_of, get, pattern, put
from tests.contract.conftest import BLOCK, INLINE_MAX, promising, started
from tests.contract.test_contract_races import race
from tests.contract.uploads import put_parts

SIZES = [0, 10, INLINE_MAX + 1, 5 * BLOCK + 17]
META = ObjectMeta("text/x", {"cache-control": "no-store"}, {"a_b": "v"}, {"t": "1"})
PAST, FUTURE = 784_111_777_000, 4_102_444_800_000


@pytest.fixture(params=promising(Capability.RENAME))
def storage(request, tmp_path):
    yield from started(request.param, tmp_path)


def rename(backend, source, target, **wanted):
    backend.rename_object(Rename("bucket", source, target, **wanted))


def head(backend, key):
    return backend.head_object(ObjectRef("bucket", key), NO_CONDITIONS)


def keys(backend):
    return [info.key for info in backend.list_objects("bucket", ListQuery()).items]


def renamed(info, key):
    return ObjectInfo(key, *(getattr(info, name) for name in list(ObjectInfo.__slots__)[1:]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("replaced", [None, *SIZES])
def test_everything_but_the_key_stays(storage, size, replaced):
    before = put(storage, "source", pattern(size), meta=META)
    if replaced is not None:
        put(storage, "key", pattern(replaced, 7))
    rename(storage, "source", "key")
    for _ in range(2):
        assert keys(storage) == ["key"]
        assert head(storage, "key") == renamed(before, "key")
        assert get(storage, "key") == pattern(size)
        assert code_of(head, storage, "source") is Code.NoSuchKey
        storage.close()
        storage.start()
    put(storage, "source", b"another")
    assert get(storage, "key") == pattern(size)
    storage.delete_object(ObjectRef("bucket", "key"), NO_CONDITIONS)
    assert keys(storage) == ["source"]


def test_an_object_of_parts_keeps_them(storage):
    datas = [pattern(size, size) for size in (BLOCK + 1, 10, 0, 1001)]
    before = put_parts(storage, "source", datas, algorithm="crc32", meta=META)
    parts = storage.get_object_parts(ObjectRef("bucket", "source"), NO_CONDITIONS)[1]
    stream = storage.get_object(ObjectRef("bucket", "source"), None, NO_CONDITIONS)
    rename(storage, "source", "key")
    assert b"".join(stream.chunks) == b"".join(datas)
    stream.chunks.close()
    expected = renamed(before, "key"), parts
    assert storage.get_object_parts(ObjectRef("bucket", "key"), NO_CONDITIONS) == expected
    assert get(storage, "key", ByteRange(BLOCK, BLOCK + 20)) == b"".join(datas)[BLOCK : BLOCK + 21]


def etags(*tags):
    return ETagList(frozenset(tags))


@pytest.mark.parametrize("side", ["source_conditions", "target_conditions"])
def test_conditions(storage, side):
    infos = {
        "source_conditions": put(storage, "source", b"s"),
        "target_conditions": put(storage, "key", b"t"),
    }
    etag = infos[side].etag
    failing = [
        Conditions(if_match=etags("0" * 32)),
        Conditions(if_none_match=ETagList(any=True)),
        Conditions(if_none_match=etags(etag)),
        Conditions(if_modified_since=FUTURE),
        Conditions(if_unmodified_since=PAST),
    ]
    for conditions in failing:
        assert code_of(rename, storage, "source", "key", **{side: conditions}) is Code.PreconditionFailed
        assert (get(storage, "source"), get(storage, "key")) == (b"s", b"t")
    holding = [
        Conditions(if_match=etags(etag)),
        Conditions(if_match=ETagList(any=True)),
        Conditions(if_modified_since=PAST),
        Conditions(if_unmodified_since=FUTURE),
    ]
    for conditions in holding:
        rename(storage, "source", "key", **{side: conditions})
        assert (keys(storage), get(storage, "key")) == (["key"], b"s")
        put(storage, "source", b"s")
        put(storage, "key", b"t")


def test_conditions_on_a_target_that_is_not_there(storage):
    put(storage, "source", b"s")
    for conditions, code in (
        (Conditions(if_match=etags("0" * 32)), Code.NoSuchKey),
        (Conditions(if_modified_since=PAST), Code.PreconditionFailed),
    ):
        assert code_of(rename, storage, "source", "key", target_conditions=conditions) is code
        assert keys(storage) == ["source"]
    rename(storage, "source", "a", target_conditions=Conditions(if_none_match=ETagList(any=True)))
    rename(storage, "a", "b", target_conditions=Conditions(if_unmodified_since=PAST))
    assert keys(storage) == ["b"]


def test_what_is_not_there(storage):
    put(storage, "key", b"t")
    assert code_of(rename, storage, "missing", "key") is Code.NoSuchKey
    assert get(storage, "key") == b"t"
    elsewhere = Rename("missing", "key", "other")
    assert code_of(storage.rename_object, elsewhere) is Code.NoSuchBucket


def test_a_token_makes_a_repetition_do_nothing(storage):
    put(storage, "source", b"s")
    new_only = Conditions(if_none_match=ETagList(any=True))
    for _ in range(3):
        rename(storage, "source", "key", token="one", target_conditions=new_only)
        assert (keys(storage), get(storage, "key")) == (["key"], b"s")
        storage.close()
        storage.start()
    put(storage, "source", b"another")
    rename(storage, "source", "key", token="one")
    assert (get(storage, "source"), get(storage, "key")) == (b"another", b"s")
    assert code_of(rename, storage, "other", "key", token="one") is Code.IdempotencyParameterMismatch
    # Without a token, and with another one, it is a new rename.
    rename(storage, "source", "key", token="two")
    assert (keys(storage), get(storage, "key")) == (["key"], b"another")
    assert code_of(rename, storage, "source", "key") is Code.NoSuchKey
    assert code_of(rename, storage, "source", "key", token="one") is Code.NoSuchKey


def test_a_token_belongs_to_the_object_that_it_brought(storage):
    put(storage, "source", b"s")
    rename(storage, "source", "key", token="one")
    put(storage, "key", b"other")
    assert code_of(rename, storage, "source", "key", token="one") is Code.NoSuchKey
    put(storage, "source", b"s")
    rename(storage, "source", "key", token="one")
    rename(storage, "key", "further")
    assert code_of(rename, storage, "source", "further", token="one") is Code.NoSuchKey


def test_of_racing_renames_one_moves_the_object(storage):
    for round_number in range(10):
        put(storage, "source", pattern(2000, round_number))
        outcomes = race([lambda n=n: rename(storage, "source", f"key{n}") for n in range(8)])
        assert sorted(map(str, outcomes)) == sorted(map(str, [None] + [Code.NoSuchKey] * 7))
        winner = f"key{outcomes.index(None)}"
        assert keys(storage) == [winner]
        assert get(storage, winner) == pattern(2000, round_number)
        storage.delete_object(ObjectRef("bucket", winner), NO_CONDITIONS)


def test_of_racing_renames_to_a_new_key_one_makes_it(storage):
    new_only = Conditions(if_none_match=ETagList(any=True))
    for seed in range(8):
        put(storage, f"source{seed}", pattern(2000, seed))
    outcomes = race(
        [lambda n=n: rename(storage, f"source{n}", "key", target_conditions=new_only) for n in range(8)]
    )
    winner = outcomes.index(None)
    assert outcomes.count(Code.PreconditionFailed) == 7
    assert get(storage, "key") == pattern(2000, winner)
    assert keys(storage) == sorted(["key", *(f"source{n}" for n in range(8) if n != winner)])


def test_a_reader_always_finds_it_under_one_of_two_keys(storage):
    put(storage, "a", b"data")

    def swing():
        for _ in range(60):
            rename(storage, "a", "b")
            rename(storage, "b", "a")
        return 0

    def watch():
        torn = 0
        for _ in range(200):
            torn += len(keys(storage)) != 1
        return torn

    assert race([swing, watch, watch]) == [0, 0, 0]


def test_what_is_not_promised_is_not_implemented():
    names = ("rename_object", "append_object")
    without = {name: getattr(Backend, name) for name in names}
    plain = type("Plain", (MemoryBackend,), {**without, "capabilities": Capability.NONE})()
    plain.start()
    assert code_of(plain.rename_object, Rename("bucket", "a", "b")) is Code.NotImplemented
    ref = ObjectRef("bucket", "a")
    assert code_of(plain.append_object, ref, BytesBody(b"x"), META, 0, NO_CONDITIONS) is Code.NotImplemented


def test_after_close_a_rename_is_refused(storage):
    put(storage, "a", b"x")
    storage.close()
    assert code_of(rename, storage, "a", "b") is Code.ServiceUnavailable
    storage.start()
    assert keys(storage) == ["a"]
