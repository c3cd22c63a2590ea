"""The shared environment of the key index: whatever happens to it, nobody gets an error for it."""

import multiprocessing
import os
import shutil
import signal
import stat
import time

import pytest

from s3shim.backends.nats import cache as caches
from s3shim.backends.nats.cache import Cache
from s3shim.backends.nats.rows import Damaged
from s3shim.errors import Code, S3Error
from s3shim.model import ListQuery
from tests.unit.nats_clients import Client, put

KEYS = [f"key/{number:05d}" for number in range(300)]


@pytest.fixture
def path(tmp_path):
    """Where the environment is."""
    return tmp_path / "index" / "keys"


@pytest.fixture
def filled(nats_server, bucket, index):
    """An index with KEYS of the bucket."""
    put(nats_server.url, bucket, *KEYS)
    assert keys(index, bucket) == KEYS
    return index


def keys(index, bucket):
    return [info.key for info in index.list_objects(bucket, ListQuery()).items]


def reopen(index):
    """Close the environment and open it as the next process does."""
    cache = index._source.cache
    cache.close()
    index._source.cache = Cache(cache.path, patience=2.0)


def test_nobody_else_may_look(filled, path):
    for directory in (path, path.parent):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for file in path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file


def test_it_is_used_again(filled, bucket, path):
    before = (path / "data.mdb").stat().st_ino
    state = filled.mirror(bucket)._state()
    reopen(filled)
    assert keys(filled, bucket) == KEYS
    assert (path / "data.mdb").stat().st_ino == before
    assert filled.mirror(bucket)._state().id == state.id


def test_it_is_removed_while_it_is_open(filled, bucket, path):
    shutil.rmtree(path)
    assert keys(filled, bucket) == KEYS
    shutil.rmtree(path.parent)
    assert keys(filled, bucket) == KEYS
    assert path.is_dir()


def test_it_is_of_another_boot(filled, bucket, path):
    before = filled.mirror(bucket)._state()
    (path / "BOOT").write_text("another")
    reopen(filled)
    assert keys(filled, bucket) == KEYS
    assert filled.mirror(bucket)._state().id != before.id
    assert not list(path.parent.glob("lost-*"))


def zeros(file):
    size = file.stat().st_size
    with open(file, "r+b") as data:
        data.seek(4096 * 2)
        data.write(bytes(size - 4096 * 2))


def noise(file):
    with open(file, "r+b") as data:
        data.seek(4096 * 2)
        data.write(os.urandom(file.stat().st_size - 4096 * 2))


def head(file):
    with open(file, "r+b") as data:
        data.write(os.urandom(8192))


def cut(file):
    os.truncate(file, file.stat().st_size // 2)


def empty(file):
    os.truncate(file, 0)


def directory(file):
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("damage", [zeros, noise, head, cut, empty, directory])
def test_it_is_damaged_while_nobody_has_it_open(filled, bucket, path, damage):
    filled._source.cache.close()
    damage(path / "data.mdb")
    filled._source.cache = Cache(path.parent, patience=2.0)
    assert keys(filled, bucket) == KEYS


def test_a_row_is_damaged(filled, bucket, path):
    cache, mirror = filled._source.cache, filled.mirror(bucket)
    state = mirror._state()

    def work(rows):
        rows.txn.put(state.id + KEYS[7].encode(), b"garbage", db=rows._tables["live"])

    cache.write(work)
    assert keys(filled, bucket) == KEYS
    assert mirror._state().id != state.id


def test_the_state_is_damaged(filled, bucket):
    def work(rows):
        rows.txn.put(filled.mirror(bucket).stream.encode(), b"\xc1", db=rows._tables["state"])

    filled._source.cache.write(work)
    assert keys(filled, bucket) == KEYS


def test_damage_for_ever_is_service_unavailable(filled, bucket, monkeypatch):
    def scan(*given):
        raise Damaged("always")

    monkeypatch.setattr(caches.Rows, "scan", scan)
    with pytest.raises(S3Error) as refused:
        keys(filled, bucket)
    assert refused.value.code is Code.ServiceUnavailable


def test_no_room(filled, bucket, nats_server, monkeypatch):
    put(nats_server.url, bucket, "more")

    def full(*given):
        raise caches.lmdb.DiskError("No space left on device")

    monkeypatch.setattr(caches.Rows, "put", full)
    with pytest.raises(S3Error) as refused:
        keys(filled, bucket)
    assert refused.value.code is Code.ServiceUnavailable
    monkeypatch.undo()
    assert keys(filled, bucket) == [*KEYS, "more"]


def test_a_directory_that_cannot_be_made(filled, bucket, tmp_path):
    (tmp_path / "file").write_text("")
    filled._source.cache = Cache(tmp_path / "file" / "index")
    with pytest.raises(S3Error) as refused:
        keys(filled, bucket)
    assert refused.value.code is Code.ServiceUnavailable


def test_a_closed_cache_refuses(filled, bucket):
    filled._source.cache.close()
    with pytest.raises(S3Error) as refused:
        keys(filled, bucket)
    assert refused.value.code is Code.ServiceUnavailable


def test_readers_that_died_with_their_slots(filled, bucket, monkeypatch, path):
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_hold_readers, args=(path.parent,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    for _ in range(600):
        assert filled.count(bucket) == len(KEYS)


def _hold_readers(path):
    cache = Cache(path)
    opened = cache._current()
    held = []
    try:
        while True:
            held.append(opened.env.begin())
    except caches.lmdb.ReadersFullError:
        os.kill(os.getpid(), signal.SIGKILL)


def _stop_in_write(path, url, ready):
    cache = Cache(path)

    def work(rows):
        ready.set()
        os.kill(os.getpid(), signal.SIGSTOP)

    cache.write(work)


def test_a_process_is_stopped_while_it_writes(filled, bucket, nats_server, path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_stop_in_write, args=(path.parent, nats_server.url, ready))
    process.start()
    try:
        assert ready.wait(30)
        put(nats_server.url, bucket, "more")
        began = time.monotonic()
        assert keys(filled, bucket) == [*KEYS, "more"]
        assert time.monotonic() - began < 20
    finally:
        process.kill()
        process.join()


def _list_for_ever(url, path, bucket, ready):
    from s3shim.backends.nats import mirror as mirrors
    from s3shim.backends.nats.index import Index
    from s3shim.backends.nats.mirror import Source

    mirrors._BATCH = 5
    client = Client(url, path)
    index = Index(Source(Cache(path), client.bridge, client.jetstream))
    ready.set()
    while True:
        index.list_objects(bucket, ListQuery())


def test_processes_are_killed_while_they_read_on(nats_server, bucket, index, path):
    context = multiprocessing.get_context("spawn")
    expected = []
    for turn in range(5):
        ready = context.Event()
        arguments = (nats_server.url, path.parent, bucket, ready)
        process = context.Process(target=_list_for_ever, args=arguments)
        process.start()
        assert ready.wait(30)
        names = [f"{turn}/{number:03d}" for number in range(60)]
        put(nats_server.url, bucket, *names)
        process.kill()
        process.join()
        expected += names
        assert keys(index, bucket) == expected
        assert index.mirror(bucket).count().live == len(expected)


def test_two_processes(nats_server, bucket, index, path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_list_for_ever, args=(nats_server.url, path.parent, bucket, ready))
    process.start()
    try:
        assert ready.wait(30)
        present = []
        for turn in range(10):
            put(nats_server.url, bucket, *(f"{turn}/{number}" for number in range(10)))
            present += [f"{turn}/{number}" for number in range(10)]
            assert keys(index, bucket) == present
        assert process.is_alive()
    finally:
        process.kill()
        process.join()
