"""A disk that fails its syncs: when writing stops, when it goes on, and what a lost meta page leaves."""

import errno
import os
from threading import Event, Thread

import lmdb
import pytest

from crash.injection import APPLIED, PANIC, FailingEnvironment, Fault, Injector
from s3shim.backends.local.breaker import PAUSE, READ_ONLY_PAUSE
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code
from s3shim.model import BucketInfo, ListQuery
from tests.contract.bodies import BytesBody, code_of, get, put
from tests.unit.stores import BLOCK, DATA, KEY, files_of, started


class Time:
    """The monotonic clock of the breaker, set by hand."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def time(monkeypatch):
    """The breaker's clock."""
    clock = Time()
    monkeypatch.setattr("s3shim.backends.local.breaker.time", clock)
    return clock


@pytest.fixture
def backend(tmp_path):
    """A store whose objects above 1,000 bytes are files, with the object "old"."""
    with started(tmp_path / "store", inline_max=1000, block_size=BLOCK) as backend:
        put(backend, "old", b"old")
        yield backend


@pytest.fixture
def sick(monkeypatch):
    """Syncs of files fail while ``sick.number`` is not 0; ``sick.tried`` counts them."""

    class Sick:
        number = errno.EIO
        tried = 0

    original = os.fdatasync

    def fdatasync(fd):
        Sick.tried += 1
        if Sick.number:
            raise OSError(Sick.number, os.strerror(Sick.number))
        original(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return Sick


def trip(backend, time, seconds=1.0):
    """Fail three times."""
    for _ in range(3):
        assert code_of(put, backend, "key", DATA) is Code.InternalError
        time.now += seconds


def test_three_failed_syncs_stop_the_writing_and_reads_go_on(backend, time, sick, tmp_path):
    trip(backend, time)
    writes = (
        lambda: put(backend, "key", DATA),
        lambda: put(backend, "key", b"small"),
        lambda: backend.delete_object(KEY, NO_CONDITIONS),
        lambda: backend.create_bucket(BucketInfo("other", "main", 1)),
    )
    for write in writes:
        assert code_of(write) is Code.ServiceUnavailable
    assert sick.tried == 3
    assert code_of(backend.check) is Code.ServiceUnavailable
    assert get(backend, "old") == b"old"
    assert [info.key for info in backend.list_objects("bucket", ListQuery()).items] == ["old"]
    assert files_of(tmp_path) == []


def test_what_is_refused_is_not_read(backend, time, sick):
    trip(backend, time)
    body = BytesBody(DATA)
    assert code_of(put, backend, "key", body) is Code.ServiceUnavailable
    assert body.reads == 0


def test_failures_that_are_far_apart_stop_nothing(backend, time, sick):
    trip(backend, time, seconds=31)
    sick.number = 0
    put(backend, "key", DATA)


def test_a_full_disk_stops_nothing(backend, time, sick, monkeypatch):
    monkeypatch.setattr(backend.store.index.space, "is_full", lambda: True)
    sick.number = errno.ENOSPC
    for _ in range(5):
        assert code_of(put, backend, "key", DATA) is Code.InsufficientStorage
    sick.number = 0
    put(backend, "key", DATA)


def test_after_a_minute_one_write_decides(backend, time, sick):
    trip(backend, time)
    time.now += PAUSE - 1.5
    assert code_of(put, backend, "key", DATA) is Code.ServiceUnavailable
    time.now += 0.6
    assert code_of(put, backend, "key", DATA) is Code.InternalError
    assert code_of(put, backend, "key", DATA) is Code.ServiceUnavailable
    assert sick.tried == 4
    sick.number = 0
    time.now += PAUSE
    put(backend, "key", DATA)
    backend.check()
    assert get(backend, "key") == DATA


def test_only_one_write_is_let_through(backend, time, sick, monkeypatch):
    trip(backend, time)
    sick.number = 0
    time.now += PAUSE
    inside, go = Event(), Event()
    original = os.fdatasync

    def slow(fd):
        inside.set()
        assert go.wait(10)
        original(fd)

    monkeypatch.setattr(os, "fdatasync", slow)
    probe = Thread(target=put, args=(backend, "key", DATA))
    probe.start()
    assert inside.wait(10)
    assert code_of(put, backend, "other", b"small") is Code.ServiceUnavailable
    go.set()
    probe.join()
    put(backend, "other", b"small")


def test_a_write_that_fails_for_another_reason_decides_nothing(backend, time, sick):
    trip(backend, time)
    sick.number = 0
    time.now += PAUSE
    assert code_of(backend.delete_bucket, "none") is Code.NoSuchBucket
    sick.number = errno.EIO
    assert code_of(put, backend, "key", DATA) is Code.InternalError
    assert code_of(put, backend, "key", DATA) is Code.ServiceUnavailable


def test_readiness_tries_a_write_after_the_pause(backend, time, sick):
    trip(backend, time)
    time.now += PAUSE
    backend.check()
    sick.number = 0
    put(backend, "key", DATA)


def test_a_read_only_file_system_stops_writing_at_once_and_for_a_short_time(backend, time, sick):
    sick.number = errno.EROFS
    assert code_of(put, backend, "key", DATA) is Code.ServiceUnavailable
    assert code_of(put, backend, "key", DATA) is Code.ServiceUnavailable
    assert sick.tried == 1
    assert get(backend, "old") == b"old"
    sick.number = 0
    time.now += READ_ONLY_PAUSE
    put(backend, "key", DATA)


def test_a_mount_that_is_read_only_is_not_ready(backend, monkeypatch):
    backend.check()
    monkeypatch.setattr(backend.store.index.space, "is_read_only", lambda: True)
    assert code_of(backend.check) is Code.ServiceUnavailable


# -- a meta page that cannot be written


def lose_meta_page(backend, *, applied=False):
    """Let the next commit fail as LMDB's does where its meta page cannot be written."""
    injector = Injector()
    index = backend.store.index
    index.env = FailingEnvironment(index.env, injector)
    injector.begin(Fault(APPLIED if applied else PANIC, errno.EIO, 1, False))


@pytest.mark.parametrize("data", [b"small", DATA], ids=["inline", "file"])
@pytest.mark.parametrize("applied", [False, True])
def test_an_index_whose_meta_page_failed_is_opened_again(backend, tmp_path, applied, data):
    index = backend.store.index
    lose_meta_page(backend, applied=applied)
    assert code_of(put, backend, "key", data) is Code.InternalError
    assert get(backend, "old") == b"old"
    assert code_of(get, backend, "key") is (None if applied else Code.NoSuchKey)
    # Nothing goes before it is known what is on the disk.
    assert len(files_of(tmp_path)) == (data is DATA)
    assert index.unsettled
    put(backend, "later", b"later")
    assert not index.unsettled
    assert get(backend, "later") == b"later"


def test_an_index_that_cannot_be_opened_again_is_tried_again(backend, monkeypatch):
    lose_meta_page(backend)
    assert code_of(put, backend, "key", b"small") is Code.InternalError

    def refuse(*args):
        raise lmdb.Error("mdb_env_open")

    with monkeypatch.context() as patch:
        patch.setattr("s3shim.backends.local.index.open_environment", refuse)
        assert code_of(get, backend, "old") is Code.ServiceUnavailable
        assert code_of(put, backend, "key", b"small") is Code.ServiceUnavailable
        assert code_of(backend.check) is Code.ServiceUnavailable
    assert get(backend, "old") == b"old"
    put(backend, "key", b"small")


def test_another_index_in_its_place_is_not_opened(backend, monkeypatch):
    lose_meta_page(backend)
    assert code_of(put, backend, "key", b"small") is Code.InternalError
    monkeypatch.setattr(backend.store.index, "_file_id", lambda: (0, 0))
    assert code_of(get, backend, "old") is Code.ServiceUnavailable
