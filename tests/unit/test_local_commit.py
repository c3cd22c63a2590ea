"""Group commit of the local store: shared by those who wait together, each change all or nothing."""

import errno
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread

import lmdb
import pytest

from s3shim.backends.local import LocalBackend, commit
from s3shim.backends.local.gate import Gate
from s3shim.backends.local.index import Index
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo, ListQuery
from tests.contract.bodies import code_of, put
from tests.unit.stores import started


@pytest.fixture
def backend(tmp_path):
    """A started store with an empty bucket."""
    with started(tmp_path / "store") as backend:
        yield backend


def test_16_writers_share_commits(backend):
    committer = backend.store.committer
    commits, changes = committer.commits, committer.changes

    def write(thread):
        for number in range(25):
            put(backend, f"{thread}/{number}", bytes(1024))

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(write, range(16)))
    assert committer.changes - changes == 400
    assert committer.commits - commits <= 200
    assert len(backend.list_objects("bucket", ListQuery()).items) == 400


def waiting_together(backend, changes):
    """Run ``changes`` in threads that all wait before one of them may commit; return (code or result)s."""
    committer = backend.store.committer

    def run(change):
        try:
            return committer.run(change)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(changes)) as pool:
        with backend.store.index.write():
            futures = [pool.submit(run, change) for change in changes]
            while len(committer._queue) < len(changes):
                Event().wait(0.001)
        return [future.result() for future in futures]


def test_changes_that_wait_together_are_one_commit(backend):
    committer = backend.store.committer
    commits = committer.commits
    found = waiting_together(backend, [lambda edit: edit.next_sequence() for _ in range(16)])
    assert sorted(found) == list(range(min(found), min(found) + 16))
    assert committer.commits == commits + 1


def test_a_change_that_fails_takes_nothing_with_it_and_leaves_nothing(backend):
    def fine(name):
        return lambda edit: edit.add_bucket(BucketInfo(name, "main", 1))

    def fails(error):
        def change(edit):
            edit.add_bucket(BucketInfo("half", "main", 1))
            raise error

        return change

    def breaks_lmdb(edit):
        edit.add_bucket(BucketInfo("quarter", "main", 1))
        edit.put_document(1, "x" * 5000, b"")

    changes = [
        fine("a"),
        fails(S3Error(Code.PreconditionFailed)),
        breaks_lmdb,
        fails(ValueError("bug")),
        fine("b"),
    ]
    commits = backend.store.committer.commits
    found = waiting_together(backend, changes)
    assert [type(result) for result in found] == [
        type(None),
        S3Error,
        lmdb.BadValsizeError,
        ValueError,
        type(None),
    ]
    assert [info.name for info in backend.list_buckets()] == ["a", "b", "bucket"]
    assert backend.store.committer.commits == commits + 2


def test_changes_that_are_refused_before_they_change_anything_cost_no_commit_of_their_own(backend):
    def refuse(edit):
        edit.bucket("missing")

    committer = backend.store.committer
    commits = committer.commits
    found = waiting_together(backend, [refuse, lambda edit: edit.next_sequence(), refuse])
    assert [getattr(result, "code", None) for result in found] == [Code.NoSuchBucket, None, Code.NoSuchBucket]
    assert committer.commits == commits + 1
    assert code_of(committer.run, refuse) is Code.NoSuchBucket
    assert committer.commits == commits + 1


def test_changes_that_fail_are_undone_while_others_read_without_a_pause(backend):
    done = Event()

    def read():
        while not done.is_set():
            backend.list_objects("bucket", ListQuery())

    def fails(edit):
        edit.add_bucket(BucketInfo("half", "main", 1))
        raise ValueError("bug")

    for number in range(50):
        put(backend, f"{number}")
    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        try:
            for _ in range(20):
                with pytest.raises(ValueError, match="bug"):
                    backend.store.committer.run(fails)
        finally:
            done.set()
        for reader in readers:
            reader.result()
    assert [info.name for info in backend.list_buckets()] == ["bucket"]


def test_where_the_map_may_not_grow_only_the_change_that_needs_it_fails(tmp_path):
    backend = LocalBackend(tmp_path / "small", map_size=1 << 20, max_map=1 << 20)
    backend.start()
    large = bytes(2 << 20)
    changes = [
        lambda edit: edit.add_bucket(BucketInfo("a", "main", 1)),
        lambda edit: edit.add_inline(edit.next_sequence(), large, 0),
        lambda edit: edit.add_bucket(BucketInfo("b", "main", 1)),
    ]
    found = waiting_together(backend, changes)
    assert [getattr(result, "code", None) for result in found] == [None, Code.InsufficientStorage, None]
    assert [info.name for info in backend.list_buckets()] == ["a", "b"]
    backend.close()


@pytest.mark.parametrize("error", [S3Error(Code.PreconditionFailed), ValueError("bug"), SystemExit(1)])
def test_a_single_change_that_fails_leaves_nothing(backend, error):
    def change(edit):
        edit.add_bucket(BucketInfo("half", "main", 1))
        raise error

    with pytest.raises(type(error)):
        backend.store.committer.run(change)
    assert [info.name for info in backend.list_buckets()] == ["bucket"]
    backend.create_bucket(BucketInfo("later", "main", 1))


def test_a_leader_that_is_stopped_does_not_stop_the_others(backend):
    def stops(edit):
        raise SystemExit(1)

    committer = backend.store.committer
    results = []

    def run(change):
        try:
            results.append(committer.run(change))
        except BaseException as error:
            results.append(type(error))

    with backend.store.index.write():
        threads = [Thread(target=run, args=(stops,))]
        threads[0].start()
        while not committer._queue:
            Event().wait(0.001)
        threads += [Thread(target=run, args=(lambda edit: 1,)) for _ in range(3)]
        for thread in threads[1:]:
            thread.start()
        while len(committer._queue) < 4:
            Event().wait(0.001)
    for thread in threads:
        thread.join()
    assert sorted(results, key=str) == [RuntimeError] * 3 + [SystemExit]
    assert committer.run(lambda edit: 2) == 2


def test_more_changes_than_one_batch_holds(backend, monkeypatch):
    monkeypatch.setattr(commit, "MAX_BATCH", 4)
    committer = backend.store.committer
    commits = committer.commits
    found = waiting_together(backend, [lambda edit: edit.next_sequence() for _ in range(10)])
    assert len(set(found)) == 10
    assert committer.commits == commits + 3


def test_a_commit_that_fails_fails_all_who_shared_it(backend, monkeypatch):
    original = Index.write

    @contextmanager
    def failing(self):
        with original(self) as txn:
            yield txn
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Index, "write", failing)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(put, backend, f"{number}", b"x") for number in range(4)]
        errors = [future.exception() for future in futures]
    assert [getattr(error, "code", error) for error in errors] == [Code.InternalError] * 4
    monkeypatch.undo()
    assert backend.list_objects("bucket", ListQuery()).items == []


# -- the gate


def test_who_wants_to_be_alone_waits_for_those_inside_and_goes_before_those_who_come():
    gate = Gate()
    order = []
    gate.enter()

    def alone():
        with gate.alone():
            order.append("alone")

    def enter():
        gate.enter()
        order.append("entered")
        gate.leave()

    first = Thread(target=alone)
    first.start()
    while not gate._alone:
        Event().wait(0.001)
    second = Thread(target=enter)
    second.start()
    order.append("left")
    gate.leave()
    first.join()
    second.join()
    assert order == ["left", "alone", "entered"]
