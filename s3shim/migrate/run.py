"""A migration: bucket by bucket, key by key, so many objects at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore, Lock

from s3shim.backends.base import Backend
from s3shim.errors import Code, S3Error
from s3shim.migrate.buckets import Buckets, Refused
from s3shim.migrate.listing import keys_of, side_by_side
from s3shim.migrate.objects import Settle
from s3shim.migrate.progress import Mode, Outcome, Progress, Settled, Stopped
from s3shim.model import BucketInfo, ObjectRef
from s3shim.names import shown

MOST_IN_A_ROW = 50
"""So many failures one after the other, because a storage does not answer or is full, are the end."""

_log = logging.getLogger(__name__)


class Migration:
    """Makes all of ``source`` be in ``target`` as well, or compares them; both are started.

    ``tell`` gets a line for each problem, in a dry run for each difference, from any thread.
    """

    def __init__(
        self,
        source: Backend,
        target: Backend,
        tell: Callable[[str], None],
        *,
        mode: Mode = Mode.MIGRATE,
        concurrency: int = 8,
    ) -> None:
        self.progress = Progress()
        self._source = source
        self._target = target
        self._tell = tell
        self._mode = mode
        self._concurrency = concurrency
        self._buckets = Buckets(source, target, self.progress.pause)
        self._settle = Settle(source, target, mode, self.progress)
        self._lock = Lock()
        self._in_a_row = 0

    def run(self) -> Progress:
        """Go through all buckets; return what was counted. Whatever ends it leaves no thread behind."""
        with ThreadPoolExecutor(self._concurrency, "migrate") as pool:
            try:
                for bucket in self._buckets.all():
                    self._bucket(pool, bucket)
            except Stopped:
                pass
            except S3Error as error:
                self._problem(f"the buckets of the source cannot be listed: {_said(error)}")
            except BaseException:
                self.progress.stop()
                raise
        return self.progress

    def _bucket(self, pool: ThreadPoolExecutor, bucket: BucketInfo) -> None:
        try:
            if self._mode is Mode.MIGRATE:
                self._buckets.make(bucket)
            else:
                self._tell_missing(bucket)
            self._objects(pool, bucket.name)
            self.progress.proceed()
            if self._mode is Mode.MIGRATE:
                self._buckets.tidy(bucket.name)
        except Refused as refused:
            self._problem(f"bucket {shown(bucket.name)}: {refused}")
        except S3Error as error:
            # A bucket may be removed at the source at any time; that is no problem.
            if error.code is not Code.NoSuchBucket or not self._buckets.is_gone(bucket.name):
                self._problem(f"bucket {shown(bucket.name)}: {_said(error)}")

    def _tell_missing(self, bucket: BucketInfo) -> None:
        missing = self._buckets.missing(bucket)
        if missing:
            tell = self._problem if self._mode is Mode.VERIFY else self._tell
            tell(f"bucket {shown(bucket.name)}: {missing}")

    def _objects(self, pool: ThreadPoolExecutor, bucket: str) -> None:
        slots = BoundedSemaphore(self._concurrency)
        try:
            for key in self._keys(bucket):
                self.progress.proceed()
                slots.acquire()
                pool.submit(self._one, ObjectRef(bucket, key), slots)
        finally:
            for _ in range(self._concurrency):
                slots.acquire()

    def _keys(self, bucket: str) -> Iterator[str]:
        ours = keys_of(self._source, bucket, self.progress.pause)
        for key, wanted in side_by_side(ours, self._keys_there(bucket)):
            if wanted:
                yield key
            else:
                self.progress.extra += 1

    def _keys_there(self, bucket: str) -> Iterator[str]:
        try:
            yield from keys_of(self._target, bucket, self.progress.pause)
        except S3Error as error:
            if error.code is not Code.NoSuchBucket:
                self._problem(f"bucket {shown(bucket)}: the destination cannot be listed: {_said(error)}")

    def _one(self, ref: ObjectRef, slots: BoundedSemaphore) -> None:
        try:
            settled = self._settle(ref)
        except Stopped:
            return
        except Exception as error:
            _log.exception("unexpected")
            settled = Settled(Outcome.FAILED, f"{type(error).__name__}: {error}")
        finally:
            slots.release()
        self.progress.ended(settled.outcome)
        if settled.reason:
            self._tell(f"{shown(ref.bucket)}/{shown(ref.key)}: {settled.reason}")
        self._watch(settled)

    def _watch(self, settled: Settled) -> None:
        with self._lock:
            self._in_a_row = self._in_a_row + 1 if settled.unavailable else 0
            if self._in_a_row < MOST_IN_A_ROW or self.progress.stopped:
                return
            self.progress.stop()
        self._problem(f"given up after {MOST_IN_A_ROW} such failures in a row")

    def _problem(self, line: str) -> None:
        self.progress.problem()
        self._tell(line)


def _said(error: S3Error) -> str:
    return f"{error.code.name}: {error.message}"
