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

from s3shim.backends.local.gate import Gate
from s3shim.backends.local.tables import Tables, View
from s3shim.errors import Code, S3Error

ENGINE = 1
MAX_MAP = 1 << 44

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_SHORT_WRITE = -30772  # MDB_SHORT_WRITE of LMDB 1.0: what a full disk makes of a large write

_log = logging.getLogger(__name__)


def open_environment(path: Path, map_size: int, readers: int = 126) -> lmdb.Environment:
    """Open, or make, the LMDB 1.0 environment in ``path``, synchronous in data and meta pages."""
    return lmdb.open(
        str(path),
        map_size=map_size,
        max_dbs=32,
        max_readers=readers,
        max_spare_txns=1,
        mode=0o700,
        metasync=True,
        sync=True,
        writemap=False,
        lib_version=ENGINE,
    )


class Index:
    """An open index. ``reserve`` bytes free or fewer on its disk count as a full disk."""

    def __init__(self, path: Path, *, map_size: int, max_map: int, readers: int, reserve: int) -> None:
        self.path = path
        self.env = open_environment(path, map_size, readers)
        try:
            self.tables = Tables(self.env, create=False)
        except lmdb.Error:
            self.env.close()
            raise
        self._max_map = max_map
        self._reserve = reserve
        self._pid = os.getpid()
        self.gate = Gate()

    def guard(self) -> None:
        """Raise RuntimeError in a process that inherited the index by a fork."""
        if os.getpid() != self._pid:
            raise RuntimeError("the local store was opened before a fork: call start() in each process")

    @contextmanager
    def read(self) -> Iterator[View]:
        """Give a View of one instant. Keep it short: it pins the pages that it may see."""
        self.guard()
        view = View(self._begin(write=False), self.tables)
        try:
            yield view
        except lmdb.Error as error:
            raise self.translate(error) from error
        finally:
            view.end()
            self.gate.leave()

    @contextmanager
    def write(self) -> Iterator[lmdb.Transaction[bytes]]:
        """Give the one write transaction of all processes; it is committed, or aborted by an exception.

        MapFullError is for the caller, who may ``grow``; other errors are translated.
        """
        txn = self._begin(write=True)
        try:
            try:
                yield txn
            except BaseException:
                # py-lmdb's abort of a write transaction waits for a moment in which no other thread
                # is in a call to LMDB: with busy readers that never comes by itself.
                with self.gate.last():
                    txn.abort()
                raise
            txn.commit()
        except lmdb.MapFullError:
            raise
        except lmdb.Error as error:
            raise self.translate(error) from error
        finally:
            self.gate.leave()

    def _begin(self, *, write: bool) -> lmdb.Transaction[bytes]:
        while True:
            self.gate.enter()
            try:
                return self.env.begin(write=write)
            except lmdb.MapResizedError:
                self.gate.leave()
                self.adopt_map()
            except lmdb.Error as error:
                self.gate.leave()
                raise self.translate(error) from error
            except BaseException:
                self.gate.leave()
                raise

    def adopt_map(self) -> None:
        """Take over the size to which another process has grown the map."""
        with self.gate.alone():
            self.env.set_mapsize(0)

    def grow(self, seen: int) -> None:
        """Double the map, unless another process has; InsufficientStorage where that cannot be.

        ``seen`` is the size of the map when it was found full.
        """
        with self.gate.alone():
            self.env.set_mapsize(0)  # to the size in the file, which may be less than ours
            if self.map_size > seen:
                return
            size = seen * 2
            if size > self._max_map or not _can_map(size):
                self.env.set_mapsize(seen)
                raise S3Error(Code.InsufficientStorage)
            _log.warning("the index is full at %d bytes, its map grows to %d", seen, size)
            self.env.set_mapsize(size)

    @property
    def map_size(self) -> int:
        """The size of the map, bytes."""
        return self.env.info()["map_size"]

    def translate(self, error: lmdb.Error) -> Exception:
        """Return what an LMDB error means for the client; the error itself where it is a fault of ours."""
        if isinstance(error, lmdb.ReadersFullError | lmdb.PanicError):
            _log.error("the index cannot be used now: %s", error)
            return S3Error(Code.ServiceUnavailable)
        code = getattr(error, "code", 0)
        if code in FULL or code == _SHORT_WRITE or (code == errno.EIO and self.is_full()):
            return S3Error(Code.InsufficientStorage)
        return error

    def is_full(self) -> bool:
        """Whether the disk has no more than the reserve left."""
        space = os.statvfs(self.path)
        return space.f_bavail * space.f_frsize <= self._reserve

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


def _can_map(size: int) -> bool:
    # A mapping that fails inside LMDB leaves its environment without any, so ask first.
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=0).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True
