"""The index as fsck reads it: verified page by page where it lies still, and seen as of one instant."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import lmdb

from s3shim.backends.local.fsck.report import Report
from s3shim.backends.local.index import ENGINE
from s3shim.backends.local.layout import index_path, meta_path
from s3shim.backends.local.pages import page_faults
from s3shim.backends.local.readers import ReaderLock
from s3shim.backends.local.tables import Tables, View
from s3shim.errors import S3Error

T = TypeVar("T")

_FLOCK = struct.Struct("@hhqqi0q")  # struct flock: type, whence, start, length, pid


def is_sound(root: Path, report: Report) -> bool:
    """Whether LMDB can be trusted with its file; tells the problems of one that lies still.

    A file that a server writes cannot be judged from outside, but that server has trusted it too.
    """
    path = index_path(root)
    before = path.stat()
    if _in_use(root):
        return True
    damage, lost = page_faults(path)
    after = path.stat()
    written = (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size)
    if damage and (_in_use(root) or written):
        return True  # a server has begun to write meanwhile
    for fault in damage:
        report.problem(f"index: {fault}")
    if not damage:
        report.notes.extend(f"index: {fault}" for fault in lost)
    return not damage


@contextmanager
def instant(root: Path) -> Iterator[View]:
    """Give a View; no file that it shows as used is unlinked while it is open."""
    env = lmdb.open(
        str(meta_path(root)),
        map_size=0,  # that of the file
        max_dbs=32,
        readonly=True,
        create=False,
        lib_version=ENGINE,
    )
    try:
        tables = _retried(env, lambda: Tables(env, create=False))
        early = View(_retried(env, env.begin), tables)
        try:
            sequence = early.sequence()
        except S3Error:
            sequence = 0  # told with the row
        finally:
            early.end()
        with _kept(root, sequence):
            # What is shown must be newer than the lock, see readers.
            view = View(_retried(env, env.begin), tables)
            try:
                yield view
            finally:
                view.end()
    finally:
        env.close()


@contextmanager
def _kept(root: Path, sequence: int) -> Iterator[None]:
    try:
        lock = ReaderLock(root, sequence)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        yield  # nobody can unlink anything here
        return
    try:
        yield
    finally:
        lock.close()


def _retried(env: lmdb.Environment, call: Callable[[], T]) -> T:
    # A server may make the map larger at any time.
    while True:
        try:
            return call()
        except lmdb.MapResizedError:
            env.set_mapsize(0)


def _in_use(root: Path) -> bool:
    # LMDB locks bytes of this file in every process that has the index open.
    try:
        fd = os.open(meta_path(root) / "lock.mdb", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))[0]
        return bool(kind != fcntl.F_UNLCK)
    finally:
        os.close(fd)
