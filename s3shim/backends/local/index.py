"""The LMDB environment: opened in one process, guarded against forks, grown when it is full.

Records, keys and tables are those of ``tables``; who writes goes through ``commit``.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from s3shim.backends.local.breaker import Breaker
from s3shim.backends.local.gate import Gate
from s3shim.backends.local.holder import Watchdog, WriterMarks, mark_of_now
from s3shim.backends.local.space import Space
from s3shim.backends.local.tables import Tables, View
from s3shim.errors import FULL, Code, S3Error, error_of

ENGINE = 1
MAX_MAP = 1 << 44

FREEING_STEP = 1 << 20  # by which what frees space may grow the map beyond its limit

_SHORT_WRITE = -30772  # MDB_SHORT_WRITE of LMDB 1.0: what a full disk makes of a large write

_ANY = b"-"  # a key, whether it is there or not

_log = logging.getLogger(__name__)


def open_environment(path: Path, map_size: int, readers: int = 126) -> lmdb.Environment:
    """Open, or make, the LMDB 1.0 environment in ``path``, synchronous in data and meta pages."""
    return lmdb.open(
        str(path),
        map_size=map_size,
        max_dbs=32,
        max_readers=readers,
        # A transaction that is used again would bring its former state along, and saves nothing.
        max_spare_txns=0,
        mode=0o700,
        metasync=True,
        sync=True,
        writemap=False,
        lib_version=ENGINE,
    )


class Index:
    """An open index, with the ``space`` that is left for it and the ``breaker`` of its syncs.

    Where LMDB could not write its meta page it refuses all work, so the environment is opened again then.
    A process that keeps the write lock for ``stuck_after`` seconds without running is killed.
    """

    def __init__(
        self, path: Path, *, map_size: int, max_map: int, readers: int, reserve: int, stuck_after: float
    ) -> None:
        self.path = path
        self._marks = WriterMarks(path.parent / "WRITER")
        self._watchdog = Watchdog(self._marks, stuck_after)
        self._watchdog.start()
        try:
            self._sizes = map_size, readers
            self._open()
        except lmdb.Error:
            self._watchdog.close()
            self._marks.close()
            raise
        self._max_map = max_map
        self.space = Space(path, reserve, self.free_pages)
        self.breaker = Breaker(self.space)
        self._file = self._file_id()
        self._broken = False
        self.unsettled = False
        self._pid = os.getpid()
        self.gate = Gate()

    def _open(self) -> None:
        self.env = open_environment(self.path, *self._sizes)
        at = mark_of_now()
        self._marks.wait(at)  # the tables are opened in a write transaction
        try:
            self.env.reader_check()
            self.tables = Tables(self.env, create=False)
        except lmdb.Error:
            self.env.close()
            raise
        finally:
            self._marks.leave(at)

    def _file_id(self) -> tuple[int, int]:
        found = os.stat(self.path / "data.mdb")
        return found.st_dev, found.st_ino

    def guard(self) -> None:
        """Raise RuntimeError in a process that inherited the index by a fork."""
        if os.getpid() != self._pid:
            raise RuntimeError("the local store was opened before a fork: call start() in each process")

    def read(self) -> Reading:
        """Give a View of one instant, in a with statement. Keep it short: it pins the pages that it sees."""
        return Reading(self)

    @contextmanager
    def write(self) -> Iterator[lmdb.Transaction[bytes]]:
        """Give the one write transaction of all processes; it is committed, or aborted by an exception.

        MapFullError is for the caller, who may ``grow``; other errors are translated.
        """
        at = mark_of_now()
        txn = self.begin(at)
        try:
            try:
                self._marks.hold(at)
                self._settle()
                yield txn
            except BaseException:
                # py-lmdb's abort of a write transaction waits for a moment in which no other thread
                # is in a call to LMDB: with busy readers that never comes by itself.
                with self.gate.last():
                    txn.abort()
                raise
            self._commit(txn)
        except lmdb.MapFullError:
            raise
        except lmdb.Error as error:
            raise self.translate(error) from error
        finally:
            self._leave(at)

    def begin(self, at: int = 0) -> lmdb.Transaction[bytes]:
        """Begin a transaction that reads, or one that writes under the mark ``at``, within the gate."""
        while True:
            self.gate.enter()
            env = self.env
            if self._broken:
                self.gate.leave()
                self._reopen(env)
                continue
            try:
                if at:
                    self._marks.wait(at)
                txn = env.begin(write=bool(at))
                if at or self._sound(txn):
                    return txn
                self.gate.leave()
            except lmdb.MapResizedError:
                self._leave(at)
                self.adopt_map()
            except lmdb.PanicError:
                self._leave(at)
                self._reopen(env)
            except lmdb.Error as error:
                self._leave(at)
                raise self.translate(error) from error
            except BaseException:
                self._leave(at)
                raise

    def _sound(self, txn: lmdb.Transaction[bytes]) -> bool:
        # Once in some hundred thousand times py-lmdb gives a reader that cannot be used: another is as good.
        try:
            txn.get(_ANY, db=self.tables.state)
        except lmdb.BadTxnError:
            txn.abort()
            return False
        return True

    def _commit(self, txn: lmdb.Transaction[bytes]) -> None:
        try:
            txn.commit()
        except lmdb.Error as error:
            self.breaker.failed(_code(error))
            raise

    def _reopen(self, env: lmdb.Environment) -> None:
        with self.gate.alone():
            if self.env is not env and not self._broken:
                return
            self._broken = True
            env.close()
            try:
                if self._file_id() != self._file:
                    raise S3Error(Code.ServiceUnavailable)
                self._open()
            except (OSError, lmdb.Error) as error:
                _log.error("the index cannot be opened again: %s", error)
                raise S3Error(Code.ServiceUnavailable) from error
            self._broken = False
            self.unsettled = True
        _log.warning("the index was opened again, its meta page could not be written")

    def _settle(self) -> None:
        # Whether the commit whose meta page failed is on the disk is not known. LMDB has put the old page
        # back into the page cache: once that is synced, it is not, and the files of it may go.
        if self.unsettled:
            try:
                self.env.sync(True)
            except lmdb.Error as error:
                self.breaker.failed(_code(error))
                raise
            self.unsettled = False

    def _leave(self, at: int) -> None:
        try:
            if at:
                self._unmark(at)
        finally:
            self.gate.leave()

    def _unmark(self, at: int) -> None:
        # What was committed is committed: that the system had no memory for this must not deny it.
        for _ in range(2):
            try:
                self._marks.leave(at)
            except OSError as error:
                _log.error("the mark of a writer cannot be taken back: %s", error)
            else:
                return

    def adopt_map(self) -> None:
        """Take over the size to which another process has grown the map."""
        with self.gate.alone():
            self.env.set_mapsize(0)

    def grow(self, seen: int, *, frees: bool) -> None:
        """Double the map, unless another process has; InsufficientStorage where that cannot be.

        ``seen`` is the size of the map when it was found full. For what ``frees`` space it grows beyond
        its limit by a little.
        """
        with self.gate.alone():
            self.env.set_mapsize(0)  # to the size in the file, which may be less than ours
            if self.map_size > seen:
                return
            size = seen * 2
            if frees and size > self._max_map:
                size = seen + FREEING_STEP
            if (size > self._max_map and not frees) or not _can_map(size):
                self.env.set_mapsize(seen)
                raise S3Error(Code.InsufficientStorage)
            _log.warning("the index is full at %d bytes, its map grows to %d", seen, size)
            self.env.set_mapsize(size)

    @property
    def map_size(self) -> int:
        """The size of the map, bytes."""
        return self.env.info()["map_size"]

    def free_pages(self) -> int:
        """Return how many bytes of the index's file are used by nothing."""
        with self.read() as view:
            found = [self.env.stat(), *(view.txn.stat(table) for table in vars(self.tables).values())]
            pages = sum(one["branch_pages"] + one["leaf_pages"] + one["overflow_pages"] for one in found)
            return (self.env.info()["last_pgno"] + 1 - pages) * found[0]["psize"]

    def translate(self, error: lmdb.Error) -> Exception:
        """Return what an LMDB error means for the client; the error itself where it is a fault of ours."""
        if isinstance(error, lmdb.ReadersFullError | lmdb.PanicError | lmdb.BadTxnError):
            _log.error("the index cannot be used now: %s", error)
            return S3Error(Code.ServiceUnavailable)
        code = _code(error)
        if code == _SHORT_WRITE or (code == errno.EIO and self.space.is_full()):
            return S3Error(Code.InsufficientStorage)
        if code <= 0 or code == errno.EINVAL:
            return error
        if code not in FULL:
            _log.error("the index: %s", error)
        return error_of(OSError(code, os.strerror(code)))

    def check_readers(self) -> int:
        """Free the reader slots of processes that died; return how many."""
        self.guard()
        self.gate.enter()
        try:
            return self.env.reader_check()
        finally:
            self.gate.leave()

    def close(self) -> None:
        """Wait for the transactions that are open, then close; later ones get ServiceUnavailable."""
        with self.gate.alone(shut=True):
            self.env.close()
        self._watchdog.close()
        self._marks.close()


class Reading:
    """A read transaction around a with statement; no generator, which would cost half as much again."""

    __slots__ = ("_index", "_view")

    def __init__(self, index: Index) -> None:
        self._index = index

    def __enter__(self) -> View:
        index = self._index
        index.guard()
        self._view = view = View(index.begin(), index.tables)
        return view

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        index = self._index
        try:
            if isinstance(error, lmdb.Error):
                raise index.translate(error) from error
        finally:
            self._view.end()
            index.gate.leave()


def _code(error: lmdb.Error) -> int:
    # What py-lmdb raises by itself has none.
    return getattr(error, "code", 0)


def _can_map(size: int) -> bool:
    # A mapping that fails inside LMDB leaves its environment without any, so ask first.
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True
