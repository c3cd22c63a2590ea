"""Renames and appends of the local store: what is stored stays where it is, and the index agrees with it."""

import pytest

from s3shim.backends.local.fsck import check
from s3shim.conditions import NO_CONDITIONS
from s3shim.copying import Copy
from s3shim.model import ObjectMeta, ObjectRef
from s3shim.renaming import Rename
from tests.contract.bodies import BytesBody, get, pattern, put
from tests.contract.uploads import put_parts
from tests.unit.stores import BLOCK, KEY, files_of, started


def append(backend, offset, data):
    return backend.append_object(KEY, BytesBody(data), ObjectMeta(), offset, NO_CONDITIONS)


@pytest.fixture
def store(tmp_path):
    with started(tmp_path / "store", inline_max=1000, block_size=BLOCK, grace=0) as backend:
        yield backend


def sound(backend, tmp_path):
    """Demand that the closed store is clean to its last byte."""
    backend.close()
    report = check(tmp_path / "store", deep=True)
    assert (report.problems, report.notes) == ([], [])
    backend.start()


def test_an_append_writes_the_new_bytes_and_no_others(store, tmp_path):
    put(store, "key", pattern(5 * BLOCK))
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in files_of(tmp_path)}
    size = 5 * BLOCK
    for number in range(6):
        data = pattern(10 if number % 2 else 3000, number)
        size = append(store, size, data).size
    after = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in files_of(tmp_path)}
    assert before.items() <= after.items()
    assert len(after) == 4
    sound(store, tmp_path)


def test_an_upload_of_one_part_and_of_many_can_be_appended_to(store, tmp_path):
    for datas in ([pattern(3000)], [pattern(3000), pattern(20, 1), pattern(2000, 2)]):
        size = put_parts(store, "key", datas).size
        for number in range(3):
            size = append(store, size, pattern(700 * number + 5, number)).size
        store.rename_object(Rename("bucket", "key", f"of-{len(datas)}"))
    sound(store, tmp_path)


def test_fsck_sees_an_etag_that_is_not_that_of_the_bytes(store, tmp_path):
    put(store, "key", pattern(3000))
    append(store, 3000, pattern(3000, 1))

    def spoil(edit):
        record = edit.current(edit.bucket("bucket").id, "key")
        record.appended = 0
        record.etag = "0" * 32 + "-2"
        edit.put_record(edit.bucket("bucket").id, "key", record)

    store.store.committer.run(spoil)
    store.close()
    problems = check(tmp_path / "store", deep=True).problems
    assert problems == ["object bucket/key: its bytes do not have its ETag"]
    store.start()


def test_what_was_appended_to_goes_with_its_object(store, tmp_path):
    put(store, "key", pattern(3000))
    append(store, 3000, pattern(3000, 1))
    append(store, 6000, pattern(10, 2))
    store.copy_object(Copy(KEY), ObjectRef("bucket", "copy"), NO_CONDITIONS)
    store.delete_object(KEY, NO_CONDITIONS)
    store.store.reclaim(everything=True)
    assert get(store, "copy") == pattern(3000) + pattern(3000, 1) + pattern(10, 2)
    sound(store, tmp_path)
    store.delete_object(ObjectRef("bucket", "copy"), NO_CONDITIONS)
    store.store.reclaim(everything=True)
    assert files_of(tmp_path) == []
    sound(store, tmp_path)


@pytest.mark.parametrize("size", [0, 10, 3000])
def test_a_rename_touches_no_file(store, tmp_path, size):
    put(store, "source", pattern(size))
    put(store, "key", pattern(5000, 1))
    put_parts(store, "parts", [pattern(3000, 2), pattern(10, 3)])
    before = set(files_of(tmp_path))
    store.rename_object(Rename("bucket", "source", "key", token="one"))
    store.rename_object(Rename("bucket", "parts", "moved"))
    assert set(files_of(tmp_path)) <= before
    store.store.reclaim(everything=True)
    assert len(files_of(tmp_path)) == (2 if size > 1000 else 1)
    assert (get(store, "key"), get(store, "moved")) == (pattern(size), pattern(3000, 2) + pattern(10, 3))
    sound(store, tmp_path)
    for key in ("key", "moved"):
        store.delete_object(ObjectRef("bucket", key), NO_CONDITIONS)
    store.store.reclaim(everything=True)
    assert files_of(tmp_path) == []
    sound(store, tmp_path)
