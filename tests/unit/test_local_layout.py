"""The directory of the local store: who may use it, how it is made, locked and swept."""

import json
import os
import uuid

import lmdb
import pytest

from s3shim.backends.local import LocalBackend, StoreRefused, lock, prepare, sweep
from tests.contract.bodies import get, put
from tests.unit.stores import started

LARGE = bytes(range(250)) * 400


@pytest.fixture
def root(tmp_path):
    """Where the store is to be."""
    return tmp_path / "store"


@pytest.fixture
def backend(root):
    """A started store with an empty bucket."""
    with started(root, inline_max=1000) as backend:
        yield backend


def blobs(root):
    return [path for path in (root / "blobs").rglob("*") if path.is_file()]


# -- prepare


def test_prepare_makes_a_store_that_only_its_owner_can_enter(tmp_path):
    root = tmp_path / "some" / "where" / "store"
    prepare(root)
    version = json.loads((root / "VERSION").read_text())
    assert (version["format"], version["engine"]) == (2, "lmdb-1.0")
    assert uuid.UUID(version["uuid"]).version == 4
    assert sorted(path.name for path in (root / "blobs").iterdir()) == [
        f"{shard:02x}" for shard in range(256)
    ]
    for path in [root, *root.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_prepare_again_changes_nothing_and_leaves_no_environment_open(root):
    prepare(root)
    before = (root / "VERSION").read_bytes()
    prepare(root)
    assert (root / "VERSION").read_bytes() == before
    env = lmdb.open(str(root / "meta"), max_dbs=8, lib_version=1)
    env.close()


def test_every_new_name_is_synced(root, monkeypatch):
    synced = []
    original = os.fsync

    def fsync(fd):
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        original(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    prepare(root)
    above = [path for path in root.parents if path.stat().st_dev == root.stat().st_dev]
    assert root.parent in above
    within = [root / "blobs", root / "meta", root, root / "VERSION.new", root]
    assert synced == [str(path) for path in (*above, *within)]
    synced.clear()
    prepare(root)
    assert synced == [str(root)]


def test_a_start_that_was_interrupted_is_finished_by_the_next(root):
    prepare(root)
    identity = json.loads((root / "VERSION").read_text())["uuid"]
    (root / "VERSION").unlink()
    (root / "blobs" / "7f").rmdir()
    prepare(root)
    assert json.loads((root / "VERSION").read_text())["uuid"] == identity
    assert (root / "blobs" / "7f").is_dir()


def refused(call, *args):
    """Return the text with which the store is refused: one line."""
    with pytest.raises(StoreRefused) as caught:
        call(*args)
    text = str(caught.value)
    assert "\n" not in text
    return text


def start_only(root):
    LocalBackend(root).start()


@pytest.mark.parametrize("call", [prepare, start_only])
@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": 3}, "format 3 is not the format 2 of this s3shim: it was written by a newer s3shim"),
        ({"format": 1}, "format 1 is not the format 2 of this s3shim: it was written by an older s3shim"),
        ({"format": "2"}, "format '2' is not the format 2"),
        ({"engine": "lmdb-0.9"}, "engine 'lmdb-0.9' is not 'lmdb-1.0'"),
        ({"uuid": "00000000-0000-0000-0000-000000000000"}, "belong to different stores"),
        ({"uuid": None}, "the uuid is no text"),
    ],
)
def test_another_version_is_refused(root, call, change, text):
    prepare(root)
    path = root / "VERSION"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert text in refused(call, root)
    assert not list((root / "meta").glob("*.new"))


@pytest.mark.parametrize("call", [prepare, start_only])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"1", b"\xff\xfe"])
def test_a_version_file_that_is_none_is_refused(root, call, content):
    prepare(root)
    (root / "VERSION").write_bytes(content)
    assert "is not the VERSION file of a store" in refused(call, root)


def test_a_store_with_buckets_that_lost_its_version_is_refused(root, backend):
    backend.close()
    (root / "VERSION").unlink()
    assert "holds buckets but its VERSION file is missing" in refused(prepare, root)
    assert "holds buckets but its VERSION file is missing" in refused(start_only, root)


def test_an_index_of_the_other_engine_is_refused(root):
    prepare(root)
    for path in (root / "meta").iterdir():
        path.unlink()
    env = lmdb.open(str(root / "meta"), lib_version=0)
    env.close()
    assert "the index cannot be opened" in refused(prepare, root)
    assert "the index cannot be opened" in refused(start_only, root)


@pytest.mark.parametrize("content", [b"", b"\0" * 8192, bytes(range(256)) * 64])
def test_a_ruined_index_is_refused(root, content):
    prepare(root)
    (root / "meta" / "data.mdb").write_bytes(content)
    assert "the index cannot be" in refused(prepare, root)
    assert "the index cannot be" in refused(start_only, root)


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_directory_that_others_can_write_is_refused(root, mode):
    root.mkdir()
    root.chmod(mode)
    assert f"can be written by others (mode {mode:04o})" in refused(prepare, root)


def test_a_directory_of_another_user_is_refused(root, monkeypatch):
    root.mkdir(0o700)
    monkeypatch.setattr(os, "geteuid", lambda: root.stat().st_uid + 1)
    assert f"belongs to uid {root.stat().st_uid}, not to uid" in refused(prepare, root)


def test_a_file_in_place_of_the_directory_is_refused(root):
    root.write_text("")
    root.chmod(0o600)
    assert "is not a directory" in refused(prepare, root)


def test_one_process_opens_a_store_once(root, backend):
    assert "already open in this process" in refused(start_only, root)
    put(backend, "key", b"data")


# -- lock


def test_a_second_master_is_refused(root):
    prepare(root)
    fd = lock(root)
    assert (root / "LOCK").read_text() == f"{os.getpid()}\n"
    assert f"is in use by another server (pid {os.getpid()})" in refused(lock, root)
    os.close(fd)
    os.close(lock(root))


def test_a_lock_whose_holder_died_is_taken(root):
    prepare(root)
    (root / "LOCK").write_text("999999999999\n")
    fd = lock(root)
    assert (root / "LOCK").read_text() == f"{os.getpid()}\n"
    os.close(fd)


def test_workers_start_while_the_master_holds_the_lock(root):
    prepare(root)
    fd = lock(root)
    backend = LocalBackend(root)
    backend.start()
    backend.check()
    backend.close()
    os.close(fd)


# -- sweep


def test_sweep_takes_what_nobody_knows_and_nothing_else(root, backend):
    put(backend, "kept", LARGE)
    put(backend, "replaced", LARGE)
    put(backend, "replaced", b"small")
    for number in range(2000):
        put(backend, f"inline/{number}", bytes(1000))
    known = set(blobs(root))
    assert len(known) == 2
    assert (root / "meta" / "data.mdb").stat().st_size > 2 << 20
    backend.close()
    orphan, other_shard = os.urandom(16).hex(), os.urandom(16).hex()
    for path in (
        root / "blobs" / orphan[:2] / orphan,
        root / "blobs" / other_shard[:2] / f".new-{other_shard}",
        root / "blobs" / "00" / "not-ours.txt",
    ):
        path.write_bytes(b"x")
    assert sweep(root) == 2
    assert set(blobs(root)) == known | {root / "blobs" / "00" / "not-ours.txt"}
    assert sweep(root) == 0
    prepare(root)
    backend.start()
    assert get(backend, "kept") == LARGE
