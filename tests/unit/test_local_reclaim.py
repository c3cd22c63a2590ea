"""Giving space back: when files go, who unlinks them, and what a reader sees of it."""

import errno
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from threading import enumerate as enumerate_threads

import pytest

from s3shim.backends.local import LocalBackend
from s3shim.backends.local.reclaim import Reclaimer
from s3shim.backends.local.records import seal
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code
from s3shim.model import BucketInfo, ObjectRef
from s3shim.ranges import ByteRange
from tests.contract.bodies import code_of, get, put
from tests.unit.stores import started

HOUR = 3_600_000
LARGE = bytes(range(250)) * 400
KEY = ObjectRef("bucket", "key")


class Clock:
    """A clock that is set by hand, ms."""

    def __init__(self, now=1_700_000_000_000):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def root(tmp_path):
    """Where the store is to be."""
    return tmp_path / "store"


@pytest.fixture
def clock():
    """The clock of ``backend``."""
    return Clock()


@pytest.fixture
def backend(root, clock):
    """A started store with an empty bucket."""
    with started(root, inline_max=1000, clock=clock, reserve=0) as backend:
        yield backend


def blobs(root):
    return [path for path in (root / "blobs").rglob("*") if path.is_file()]


def test_a_file_goes_an_hour_after_its_object(root, backend, clock):
    put(backend, "key", LARGE)
    put(backend, "other", LARGE)
    put(backend, "key", b"small")
    clock.now += 10
    backend.delete_object(ObjectRef("bucket", "other"), NO_CONDITIONS)
    assert backend.store.reclaim() == 0
    assert len(blobs(root)) == 2
    clock.now += HOUR - 11
    assert backend.store.reclaim() == 0
    clock.now += 1
    assert backend.store.reclaim() == 1
    assert len(blobs(root)) == 1
    clock.now += 10
    assert backend.store.reclaim() == 1
    assert blobs(root) == []
    assert backend.store.reclaim() == 0


def test_inline_bytes_go_at_once(backend):
    for _ in range(3):
        put(backend, "key", b"small")
    index = backend.store.index
    with index.read() as view:
        assert view.txn.stat(index.tables.inline)["entries"] == 1
    backend.delete_object(KEY, NO_CONDITIONS)
    with index.read() as view:
        assert view.txn.stat(index.tables.inline)["entries"] == 0


def test_a_reader_outlives_the_file(root, backend):
    put(backend, "key", LARGE)
    stream = backend.get_object(KEY, None, NO_CONDITIONS)
    backend.delete_object(KEY, NO_CONDITIONS)
    assert backend.store.reclaim(everything=True) == 1
    assert blobs(root) == []
    assert b"".join(stream.chunks) == LARGE


def test_with_little_space_files_go_at_once(root, clock):
    backend = LocalBackend(root, inline_max=0, clock=clock)
    backend.start()
    backend.store.index.space.is_full = lambda: True
    backend.create_bucket(BucketInfo("bucket", "main", 1))
    put(backend, "key", LARGE)
    backend.delete_object(KEY, NO_CONDITIONS)
    assert backend.store.reclaim() == 1
    assert blobs(root) == []
    backend.close()


def test_more_files_than_one_batch(root, backend, clock, monkeypatch):
    monkeypatch.setattr("s3shim.backends.local.reclaim.BATCH", 3)
    for _ in range(8):
        put(backend, "key", LARGE)
    clock.now += HOUR
    assert backend.store.reclaim() == 7
    assert len(blobs(root)) == 1
    assert get(backend, "key") == LARGE


@pytest.mark.parametrize("number", [errno.EIO, errno.EPERM, errno.EROFS])
def test_what_cannot_be_unlinked_waits_and_the_others_go(root, backend, clock, monkeypatch, number):
    monkeypatch.setattr("s3shim.backends.local.reclaim.BATCH", 2)
    for _ in range(8):
        put(backend, "key", LARGE)
    clock.now += HOUR
    original = os.unlink
    stuck = sorted(path.name for path in blobs(root))[:3]

    def unlink(path, *args, **kwargs):
        if os.path.basename(path) in stuck:
            raise OSError(number, os.strerror(number))
        original(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", unlink)
        gone = backend.store.reclaim()
        assert gone + len(blobs(root)) == 8
        assert gone in (4, 5)
        assert backend.store.reclaim() == 0
    assert backend.store.reclaim() == 7 - gone
    assert len(blobs(root)) == 1
    assert get(backend, "key") == LARGE


def test_only_one_process_reclaims(root, backend, clock):
    put(backend, "key", LARGE)
    put(backend, "key", b"small")
    clock.now += HOUR
    with open(root / "RECLAIM", "r+b" if (root / "RECLAIM").exists() else "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert backend.store.reclaim() == 0
    assert backend.store.reclaim() == 1


def test_a_file_that_is_in_use_again_is_not_unlinked(root, backend, clock):
    put(backend, "key", LARGE)
    put(backend, "key", b"small")
    ((gc_key, _, extent_id),) = _garbage(backend)

    def use(edit):
        edit.txn.put(extent_id, seal(extent_id, 1), db=edit.tables.refs)

    backend.store.committer.run(use)
    clock.now += HOUR
    backend.store.reclaim()
    assert [path.name for path in blobs(root)] == [extent_id.hex()]
    assert _garbage(backend) == []
    assert gc_key.endswith(extent_id)


def test_a_file_that_two_objects_share_goes_with_the_second(root, backend, clock):
    put(backend, "one", LARGE)

    def share(edit):
        bucket_id = edit.bucket("bucket").id
        record = edit.current(bucket_id, "one")
        record.sequence = edit.next_sequence()
        edit.hold(record.extents)
        edit.put_record(bucket_id, "two", record)

    backend.store.committer.run(share)
    for key, left in (("one", 1), ("two", 0)):
        assert get(backend, key) == LARGE
        backend.delete_object(ObjectRef("bucket", key), NO_CONDITIONS)
        clock.now += HOUR
        backend.store.reclaim()
        assert len(blobs(root)) == left


def test_an_object_of_several_extents_is_read_as_one(backend):
    for key, size in (("a", 5000), ("b", 10), ("c", 0), ("d", 70_000)):
        put(backend, key, key.encode() * size)

    def join(edit):
        bucket_id = edit.bucket("bucket").id
        parts = [edit.current(bucket_id, key) for key in "abcd"]
        whole = parts[0]
        whole.extents = [extent for part in parts for extent in part.extents]
        whole.size = sum(part.size for part in parts)
        whole.sequence = edit.next_sequence()
        edit.hold(whole.extents)
        edit.put_record(bucket_id, "whole", whole)

    backend.store.committer.run(join)
    data = b"a" * 5000 + b"b" * 10 + b"d" * 70_000
    assert get(backend, "whole") == data
    for first, last in ((0, 0), (4999, 5000), (4999, 5010), (5003, 5005), (5010, None), (75_009, None)):
        assert (
            get(backend, "whole", ByteRange(first, last)) == data[first : None if last is None else last + 1]
        )


def _garbage(backend):
    with backend.store.index.read() as view:
        return list(view.garbage(1 << 62))


def test_the_thread_reclaims_and_survives_errors(root, backend, clock, monkeypatch):
    put(backend, "key", LARGE)
    put(backend, "key", b"small")
    clock.now += HOUR
    backend.close()
    monkeypatch.setattr("s3shim.backends.local.reclaim.LONGEST", 0.001)
    outcomes = iter([OSError("first round fails"), None])
    reclaimed = Event()
    original = Reclaimer.run

    def run(self, *, everything=False):
        error = next(outcomes, None)
        if error is not None:
            raise error
        count = original(self, everything=everything)
        if count:
            reclaimed.set()
        return count

    monkeypatch.setattr(Reclaimer, "run", run)
    backend.start()
    assert reclaimed.wait(30)
    assert blobs(root) == []


def test_a_reader_that_meets_a_missing_file_takes_the_new_record(backend, monkeypatch):
    put(backend, "key", LARGE)
    files = backend.store.files
    original = files.open

    def replaced(extent):
        monkeypatch.setattr(files, "open", original)
        with ThreadPoolExecutor(1) as writer:
            writer.submit(put, backend, "key", LARGE[::-1]).result()
        backend.store.files.unlink(extent.id)
        return original(extent)

    monkeypatch.setattr(files, "open", replaced)
    assert get(backend, "key") == LARGE[::-1]


def test_close_ends_the_thread(backend):
    def running():
        return [thread.name for thread in enumerate_threads() if thread.name == "s3shim-reclaim"]

    assert running() == ["s3shim-reclaim"]
    backend.close()
    assert running() == []


def test_where_a_later_file_is_missing_the_earlier_ones_are_closed(backend):
    put(backend, "key", LARGE)
    put(backend, "gone", LARGE)

    def join(edit):
        bucket_id = edit.bucket("bucket").id
        whole, lost = (edit.current(bucket_id, key) for key in ("key", "gone"))
        whole.extents += lost.extents
        whole.size += lost.size
        whole.sequence = edit.next_sequence()
        edit.hold(whole.extents)
        edit.put_record(bucket_id, "whole", whole)
        return lost.extents[0].id

    backend.store.files.unlink(backend.store.committer.run(join))
    before = os.listdir("/proc/self/fd")
    assert code_of(get, backend, "whole") is Code.InternalError
    assert len(os.listdir("/proc/self/fd")) == len(before)
