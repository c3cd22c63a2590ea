"""Group commit: the threads of a process share LMDB's commits, so also its syncs.

A thread queues its change. The first becomes the leader: it begins a write transaction, takes what is
queued by then, runs the changes one after the other, commits once and wakes the others. Whoever queued
meanwhile goes with the next leader. Processes take turns through LMDB's writer lock.

A change looks before it acts: one that fails has normally changed nothing and the others go on. Where it
had begun to change something, all is undone and each change runs in a transaction of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from threading import Lock
from typing import Any, TypeVar

import lmdb

from s3shim.backends.local.index import Index
from s3shim.backends.local.tables import Edit
from s3shim.errors import S3Error, error_of
from s3shim.waiting import WAITS

T = TypeVar("T")

MAX_BATCH = 64


class _Job:
    __slots__ = ("change", "done", "error", "frees", "result", "turn")

    def __init__(self, change: Callable[[Edit], Any], frees: bool) -> None:
        self.change = change
        self.frees = frees
        self.result: Any = None
        self.error: Exception | None = None
        self.done = False
        self.turn = Lock()
        self.turn.acquire()


class _Spoiled(Exception):
    """One of several changes failed after it had changed something."""


class Committer:
    """Runs changes of many threads, each all or nothing, durable when ``run`` returns.

    ``commits`` counts the transactions that were committed, ``changes`` the changes in them.
    """

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = Lock()
        self._queue: deque[_Job] = deque()
        self._leading = False
        self.commits = 0
        self.changes = 0

    def run(self, change: Callable[[Edit], T], *, frees: bool = False) -> T:
        """Run ``change`` in a write transaction and return its result once that is on disk.

        It may run more than once and must have no effect but on its Edit. What it raises is raised here,
        and nothing of it stays; InsufficientStorage where the index cannot take it, ServiceUnavailable
        while the disk is left alone. What ``frees`` space may use the reserve.
        """
        self._index.guard()
        self._index.breaker.check()
        if not frees:
            self._index.space.check(in_index=True)
        job = _Job(change, frees)
        with self._lock:
            self._queue.append(job)
            follows = self._leading
            self._leading = True
        if follows:
            WAITS.announce()
            job.turn.acquire()
        if not job.done:
            self._lead(job)
        if job.error is not None:
            raise job.error
        result: T = job.result
        return result

    def _lead(self, own: _Job) -> None:
        batch: list[_Job] = []
        failure: Exception = RuntimeError("the thread that was to commit has been stopped")
        finished = False
        try:
            with self._index.breaker.turn():
                self._commit(batch)
            finished = True
        except OSError as error:
            failure = error_of(error)
        except Exception as error:
            failure = error
        finally:
            self._hand_over(batch or [own], own, None if finished else failure)

    def _hand_over(self, batch: list[_Job], own: _Job, failure: Exception | None) -> None:
        with self._lock:
            for _ in batch:
                self._queue.popleft()
            following = self._queue[0] if self._queue else None
            if following is None:
                self._leading = False
        for job in batch:
            if failure is not None and job.error is None:
                job.error = failure
            job.done = True
            if job is not own:
                job.turn.release()
        if following is not None:
            following.turn.release()

    def _commit(self, batch: list[_Job]) -> None:
        # Fills an empty batch from the queue once the writer lock is held: whoever waited for it
        # together commits together. The jobs stay at the head of the queue until they are done.
        size = 0
        while True:
            try:
                with self._index.write() as txn:
                    size = self._index.map_size
                    if not batch:
                        with self._lock:
                            batch.extend(islice(self._queue, MAX_BATCH))
                    changed = self._apply(batch, txn)
                if changed:
                    self._index.breaker.succeeded()
                self.commits += changed
                self.changes += len(batch)
                return
            except lmdb.MapFullError:
                try:
                    self._index.grow(size, frees=all(job.frees for job in batch))
                except S3Error:
                    if len(batch) == 1:
                        raise
                    break
            except _Spoiled:
                break
        for job in batch:
            try:
                self._commit([job])
            except Exception as error:
                job.error = error

    def _apply(self, batch: list[_Job], txn: lmdb.Transaction[bytes]) -> bool:
        changed = False
        for job in batch:
            edit = Edit(txn, self._index.tables)
            try:
                job.result = job.change(edit)
                job.error = None
            except Exception as error:
                if edit.changed:
                    if len(batch) == 1 or isinstance(error, lmdb.MapFullError):
                        raise
                    raise _Spoiled from error
                job.error = error
            changed |= edit.changed
        return changed
