"""The Last-Modified that an object had in another storage."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.copying import Copy
from s3shim.errors import Code
from s3shim.model import ListQuery, ObjectMeta, ObjectRef
from tests.contract.bodies import code_of, get, pattern, put
from tests.contract.conftest import BLOCK
from tests.contract.uploads import put_parts

KEY = ObjectRef("bucket", "key")
META = ObjectMeta("text/x", {"cache-control": "no-store"}, {"a_b": "v\xe4lue"}, {"t": "1"})
LONG_AGO = 1_000_000_000_123


def fields(info):
    return {name: getattr(info, name) for name in info.__slots__}


@pytest.mark.parametrize("size", [0, 10, 5 * BLOCK])
def test_it_changes_and_nothing_else(dating_backend, size):
    backend = dating_backend
    info = put(backend, "key", pattern(size), meta=META)
    put(backend, "key2", b"other")
    for modified in (LONG_AGO, 0, 4_000_000_000_000):
        expected = fields(info) | {"last_modified": modified}
        backend.put_object_last_modified(KEY, modified, NO_CONDITIONS)
        for _ in range(2):
            assert fields(backend.head_object(KEY, NO_CONDITIONS)) == expected
            assert backend.list_objects("bucket", ListQuery()).items[0].last_modified == modified
            assert get(backend, "key") == pattern(size)
            backend.close()
            backend.start()
    assert backend.head_object(ObjectRef("bucket", "key2"), NO_CONDITIONS).last_modified > LONG_AGO


def test_of_an_object_of_parts(dating_backend):
    datas = [pattern(5000), b"end"]
    put_parts(dating_backend, "key", datas, meta=META, algorithm="crc32")
    info, parts = dating_backend.get_object_parts(KEY, NO_CONDITIONS)
    expected = fields(info) | {"last_modified": LONG_AGO}
    dating_backend.put_object_last_modified(KEY, LONG_AGO, NO_CONDITIONS)
    found, found_parts = dating_backend.get_object_parts(KEY, NO_CONDITIONS)
    assert (fields(found), found_parts) == (expected, parts)
    assert get(dating_backend, "key") == b"".join(datas)


def test_conditions_see_it_and_are_kept(dating_backend):
    backend = dating_backend
    etag = put(backend, "key", b"data").etag
    matching = Conditions(if_match=ETagList(frozenset({etag})))
    backend.put_object_last_modified(KEY, LONG_AGO, matching)
    since = Conditions(if_modified_since=LONG_AGO)
    assert code_of(backend.head_object, KEY, since) is Code.NotModified
    put(backend, "key", b"newer")
    assert code_of(backend.put_object_last_modified, KEY, LONG_AGO, matching) is Code.PreconditionFailed
    assert backend.head_object(KEY, since).last_modified > LONG_AGO


def test_of_what_is_not_there(dating_backend):
    backend = dating_backend
    assert code_of(backend.put_object_last_modified, KEY, 1, NO_CONDITIONS) is Code.NoSuchKey
    put(backend, "key", b"data")
    other = ObjectRef("bucket", "key", "3HL4kqtJlcpXroDTDmJ")
    assert code_of(backend.put_object_last_modified, other, 1, NO_CONDITIONS) is Code.NoSuchVersion
    missing = ObjectRef("missing", "key")
    assert code_of(backend.put_object_last_modified, missing, 1, NO_CONDITIONS) is Code.NoSuchBucket
    assert backend.head_object(KEY, NO_CONDITIONS).last_modified > LONG_AGO
    backend.close()
    assert code_of(backend.put_object_last_modified, KEY, 1, NO_CONDITIONS) is Code.ServiceUnavailable
    backend.start()


def test_a_write_after_it_and_a_copy_have_times_of_their_own(dating_backend):
    backend = dating_backend
    put(backend, "key", b"data")
    backend.put_object_last_modified(KEY, LONG_AGO, NO_CONDITIONS)
    copied = backend.copy_object(Copy(KEY), ObjectRef("bucket", "copy"), NO_CONDITIONS)
    assert copied.last_modified > LONG_AGO
    assert put(backend, "key", b"new").last_modified > LONG_AGO


def test_racing_with_overwrites_it_never_dates_new_bytes(dating_backend):
    backend = dating_backend
    for seed in range(20):
        etag = put(backend, "key", pattern(3000, seed)).etag
        matching = Conditions(if_match=ETagList(frozenset({etag})))
        with ThreadPoolExecutor(2) as pool:
            dating = pool.submit(code_of, backend.put_object_last_modified, KEY, LONG_AGO, matching)
            writing = pool.submit(put, backend, "key", pattern(3000, seed + 1))
        assert dating.result() in (None, Code.PreconditionFailed)
        assert backend.head_object(KEY, NO_CONDITIONS) == writing.result()
