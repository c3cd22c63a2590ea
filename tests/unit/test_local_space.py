"""Room on the disk: what is kept back for deletes, and how space comes back."""

import os
from types import SimpleNamespace

import pytest

from s3shim.backends.local.space import REMEMBERED, ROOMY
from s3shim.conditions import NO_CONDITIONS
from s3shim.copying import Copy
from s3shim.errors import Code
from s3shim.model import BucketInfo, ObjectRef
from tests.contract.bodies import BytesBody, code_of, get, put
from tests.contract.uploads import begin, complete, copy_part, upload
from tests.unit.stores import BLOCK, DATA, KEY, files_of, started

MIB = 1 << 20


class Disk:
    """What statvfs tells of the disk: ``free`` of ``size`` bytes, ``inodes`` free of 1,000."""

    def __init__(self):
        self.size = 1000 * MIB
        self.free = 500 * MIB
        self.inodes = 500

    def statvfs(self, path):
        return SimpleNamespace(
            f_frsize=4096,
            f_blocks=self.size // 4096,
            f_bavail=self.free // 4096,
            f_files=1000,
            f_favail=self.inodes,
            f_flag=0,
        )


@pytest.fixture
def disk(monkeypatch):
    """The disk as the store sees it."""
    disk = Disk()
    monkeypatch.setattr(os, "statvfs", disk.statvfs)
    return disk


@pytest.fixture
def backend(tmp_path, disk):
    """A store with an object in a file, one in the index, and an upload of one part."""
    with started(tmp_path / "store", inline_max=1000, block_size=BLOCK, reserve=64 * MIB) as backend:
        put(backend, "key", DATA)
        put(backend, "small", b"small")
        backend.upload = begin(backend, "parts")
        backend.part = upload(backend, backend.upload, 1, DATA)
        yield backend


def test_the_reserve_is_a_share_of_a_small_disk(backend, disk):
    space = backend.store.index.space
    assert space.room() == 500 * MIB - 50 * MIB
    disk.size = 10_000 * MIB
    assert space.room() == 500 * MIB - 64 * MIB
    disk.size, disk.free = 10 * MIB, 0
    assert space.room() == -MIB // 2 // 4096 * 4096


def test_a_full_disk_takes_nothing_and_gives_everything(backend, disk, tmp_path):
    disk.free = 50 * MIB
    copy = Copy(KEY, NO_CONDITIONS)
    adding = (
        lambda: put(backend, "new", b"small"),
        lambda: put(backend, "new", DATA),
        lambda: put(backend, "new", BytesBody(DATA, length=None)),
        lambda: begin(backend, "new"),
        lambda: upload(backend, backend.upload, 2, b"small"),
        lambda: copy_part(backend, backend.upload, 2, "key"),
        lambda: complete(backend, backend.upload, [backend.part]),
        lambda: backend.copy_object(copy, ObjectRef("bucket", "new"), NO_CONDITIONS),
        lambda: backend.put_object_tags(KEY, {"a": "b"}),
        lambda: backend.put_document("bucket", "policy", b"{}"),
        lambda: backend.create_bucket(BucketInfo("other", "main", 1)),
    )
    for add in adding:
        assert code_of(add) is Code.InsufficientStorage
    assert len(files_of(tmp_path)) == 2
    assert get(backend, "key") == DATA
    backend.check()
    backend.put_object_tags(KEY, {})
    backend.put_document("bucket", "policy", None)
    backend.delete_object(KEY, NO_CONDITIONS)
    backend.delete_objects("bucket", [ObjectRef("bucket", "small")])
    backend.abort_multipart_upload(backend.upload)
    backend.delete_bucket("bucket")
    assert backend.store.reclaim() == 2
    assert files_of(tmp_path) == []


def test_a_body_that_does_not_fit_is_not_read(backend, disk):
    disk.free = 60 * MIB
    body = BytesBody(b"", length=10 * MIB)
    assert code_of(put, backend, "new", body) is Code.InsufficientStorage
    assert body.reads == 0
    put(backend, "new", DATA)


def test_a_body_without_a_length_ends_where_the_reserve_begins(backend, disk, tmp_path):
    class Filling(BytesBody):
        def read(self, size):
            disk.free -= 4 * MIB
            return super().read(size)

    disk.free = 60 * MIB
    body = Filling(bytes(100_000), length=None, piece=4096)
    assert code_of(put, backend, "new", body) is Code.InsufficientStorage
    assert body.offset < 20_000
    assert len(files_of(tmp_path)) == 2


def test_room_is_made_of_what_waits(backend, disk, tmp_path, monkeypatch):
    backend.delete_object(KEY, NO_CONDITIONS)
    assert len(files_of(tmp_path)) == 2
    original = os.unlink

    def unlink(*args, **kwargs):
        original(*args, **kwargs)
        disk.free = 100 * MIB

    disk.free = 50 * MIB
    monkeypatch.setattr(os, "unlink", unlink)
    put(backend, "new", b"small")
    assert len(files_of(tmp_path)) == 1


def test_small_objects_take_the_place_of_small_objects(backend, disk):
    # The file of the index does not shrink, so the disk stays full.
    refs = [ObjectRef("bucket", f"fill/{number:04}") for number in range(1100)]
    disk.size = 10 * MIB
    for ref in refs:
        put(backend, ref.key, bytes(900))
    assert backend.store.index.free_pages() < 100_000
    disk.free = 0
    assert code_of(put, backend, "new", bytes(900)) is Code.InsufficientStorage
    backend.delete_objects("bucket", refs)
    assert backend.store.index.free_pages() > 1 * MIB
    put(backend, "new", bytes(900))
    assert code_of(put, backend, "new", DATA) is Code.InsufficientStorage


def test_without_inodes_unused_files_go_at_once(backend, disk, tmp_path):
    backend.delete_object(KEY, NO_CONDITIONS)
    assert backend.store.reclaim() == 0
    disk.inodes = 0
    assert backend.store.reclaim() == 1
    assert len(files_of(tmp_path)) == 1


def test_the_index_remembers_a_roomy_disk_for_a_moment_and_files_never(backend, disk, monkeypatch):
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("s3shim.backends.local.space.time", clock)
    disk.size, disk.free = 20_000 * MIB, 64 * MIB + ROOMY
    put(backend, "not roomy", b"small")
    disk.free = 0
    assert code_of(put, backend, "new", b"small") is Code.InsufficientStorage
    disk.free = 65 * MIB + ROOMY
    put(backend, "roomy", b"small")
    disk.free = 0
    clock.now += REMEMBERED * 0.9
    put(backend, "remembered", b"small")
    clock.now += REMEMBERED * 0.2
    assert code_of(put, backend, "new", b"small") is Code.InsufficientStorage
    disk.free = 65 * MIB + ROOMY
    put(backend, "roomy", b"small")
    disk.free = 0
    assert code_of(put, backend, "new", DATA) is Code.InsufficientStorage
    assert code_of(put, backend, "new", b"small") is Code.InsufficientStorage
