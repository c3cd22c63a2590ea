"""Tags, which change nothing else of an object, and the removal of many objects at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from s3shim.conditions import NO_CONDITIONS
from s3shim.copying import Copy
from s3shim.errors import Code
from s3shim.model import Deleted, ListQuery, ObjectMeta, ObjectRef
from tests.contract.bodies import BytesBody, code_of, get, listed, pattern, put, shown
from tests.contract.conftest import BLOCK
from tests.contract.uploads import put_parts

KEY = ObjectRef("bucket", "key")
META = ObjectMeta("text/x", {"cache-control": "no-store"}, {"a_b": "v\xe4lue"}, {"t": "1"})


def tagged(info, tags):
    meta = ObjectMeta(info.meta.content_type, info.meta.system, info.meta.user, tags)
    return {name: getattr(info, name) for name in info.__slots__} | {"meta": meta}


def fields(info):
    return {name: getattr(info, name) for name in info.__slots__}


@pytest.mark.parametrize("size", [0, 10, 5 * BLOCK])
def test_put_object_tags_replaces_the_tags_and_nothing_else(backend, size):
    info = put(backend, "key", pattern(size), meta=META)
    put(backend, "key2", b"other")
    for tags in ({"a": "1", "\u00e9 +=.": "\U0001f600"}, {}, {f"k{n}": "v" * 256 for n in range(10)}):
        backend.put_object_tags(KEY, dict(tags))
        for _ in range(2):
            assert fields(backend.head_object(KEY, NO_CONDITIONS)) == tagged(info, tags)
            assert listed(backend)[0] == shown(info)
            assert get(backend, "key") == pattern(size)
            backend.close()
            backend.start()
    assert backend.head_object(ObjectRef("bucket", "key2"), NO_CONDITIONS).meta.tags == {}


def test_put_object_tags_of_an_object_of_parts(multipart_backend):
    datas = [pattern(5000), b"end"]
    info = put_parts(multipart_backend, "key", datas, meta=META, algorithm="crc32")
    multipart_backend.put_object_tags(KEY, {"a": "1"})
    assert fields(multipart_backend.head_object(KEY, NO_CONDITIONS)) == tagged(info, {"a": "1"})
    assert get(multipart_backend, "key") == b"".join(datas)


def test_put_object_tags_of_what_is_not_there(backend):
    assert code_of(backend.put_object_tags, KEY, {}) is Code.NoSuchKey
    put(backend, "key", b"data")
    other = ObjectRef("bucket", "key", "3HL4kqtJlcpXroDTDmJ")
    assert code_of(backend.put_object_tags, other, {"a": "1"}) is Code.NoSuchVersion
    assert code_of(backend.put_object_tags, ObjectRef("missing", "key"), {}) is Code.NoSuchBucket
    assert backend.head_object(KEY, NO_CONDITIONS).meta.tags == {}
    backend.put_object_tags(ObjectRef("bucket", "key", "null"), {"a": "1"})
    assert backend.head_object(KEY, NO_CONDITIONS).meta.tags == {"a": "1"}


def test_tags_go_with_the_object(backend):
    put(backend, "key", b"data")
    backend.put_object_tags(KEY, {"a": "1"})
    backend.copy_object(Copy(KEY), ObjectRef("bucket", "copy"), NO_CONDITIONS)
    put(backend, "key", b"new")
    assert backend.head_object(KEY, NO_CONDITIONS).meta.tags == {}
    backend.put_object_tags(KEY, {"b": "2"})
    assert backend.head_object(ObjectRef("bucket", "copy"), NO_CONDITIONS).meta.tags == {"a": "1"}
    backend.delete_object(KEY, NO_CONDITIONS)
    put(backend, "key", b"anew")
    assert backend.head_object(KEY, NO_CONDITIONS).meta.tags == {}


@pytest.mark.parametrize("size", [10, 20 * BLOCK])
def test_a_reader_is_undisturbed_by_tags(backend, size):
    put(backend, "key", pattern(size))
    stream = iter(backend.get_object(KEY, None, NO_CONDITIONS).chunks)
    parts = [next(stream)]
    for number in range(3):
        backend.put_object_tags(KEY, {"number": str(number)})
    backend.delete_object(KEY, NO_CONDITIONS)
    assert b"".join([*parts, *stream]) == pattern(size)


def test_tags_racing_with_overwrites_never_bring_back_old_bytes(backend):
    put(backend, "key", pattern(3000, 0))

    def tag(number):
        backend.put_object_tags(KEY, {"number": str(number)})

    for seed in range(1, 20):
        with ThreadPoolExecutor(4) as pool:
            tagging = [pool.submit(tag, number) for number in range(3)]
            info = pool.submit(put, backend, "key", pattern(3000 + seed, seed)).result()
        assert [future.result() for future in tagging] == [None] * 3
        found = backend.head_object(KEY, NO_CONDITIONS)
        assert fields(found) == tagged(info, found.meta.tags)
        assert found.meta.tags in [{}, *({"number": str(number)} for number in range(3))]
        assert get(backend, "key") == pattern(3000 + seed, seed)


# -- many at once ------------------------------------------------------------------------------


def test_delete_objects_answers_in_the_order_of_the_request(backend):
    for number in range(40):
        put(backend, f"key{number}", pattern(number * 100))
    put(backend, "kept", b"kept")
    names = [f"key{number}" for number in range(40)]
    asked = [*reversed(names[:30]), "missing", "key3", *names[20:], "key39", "\u00e9", "k" * 1024]
    outcomes = backend.delete_objects("bucket", [ObjectRef("bucket", key) for key in asked])
    assert outcomes == [Deleted()] * len(asked)
    assert [info.key for info in backend.list_objects("bucket", ListQuery()).items] == ["kept"]
    assert get(backend, "kept") == b"kept"
    assert backend.delete_objects("bucket", []) == []


def test_delete_objects_of_version_ids(backend):
    for key in ("a", "b"):
        put(backend, key, b"data")
    refs = [
        ObjectRef("bucket", "a", "3HL4kqtJlcpXroDTDmJ"),
        ObjectRef("bucket", "b", "null"),
        ObjectRef("bucket", "c"),
    ]
    assert backend.delete_objects("bucket", refs) == [Deleted()] * 3
    assert [info.key for info in backend.list_objects("bucket", ListQuery()).items] == ["a"]


def test_delete_objects_of_a_missing_bucket(backend):
    assert code_of(backend.delete_objects, "missing", [ObjectRef("missing", "key")]) is Code.NoSuchBucket
    assert code_of(backend.delete_objects, "missing", []) is Code.NoSuchBucket


def test_racing_delete_objects_of_the_same_keys(backend):
    refs = [ObjectRef("bucket", f"key{number}") for number in range(20)]
    for ref in refs:
        put(backend, ref.key, pattern(2000))
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(backend.delete_objects, "bucket", refs[n:]) for n in range(4)]
    assert [future.result() for future in running] == [[Deleted()] * (20 - n) for n in range(4)]
    backend.delete_bucket("bucket")


def test_after_close_copies_tags_and_deletes_are_refused(backend):
    put(backend, "key", b"data", meta=META)
    backend.close()
    assert code_of(backend.put_object_tags, KEY, {}) is Code.ServiceUnavailable
    assert code_of(backend.delete_objects, "bucket", [KEY]) is Code.ServiceUnavailable
    copied = code_of(backend.copy_object, Copy(KEY), ObjectRef("bucket", "copy"), NO_CONDITIONS)
    assert copied is Code.ServiceUnavailable
    backend.start()
    assert [key for key, *_ in listed(backend)] == ["key"]
    assert backend.head_object(KEY, NO_CONDITIONS).meta == META
    assert put(backend, "key", BytesBody(b"new")).meta.tags == {}
