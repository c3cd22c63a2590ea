"""The locks by which a reader of many files keeps them from being unlinked.

A reader holds a shared lock on one byte of DIR/READERS: the last sequence number that it knew before it
read the record. What went out of use with a change of a higher number may still be read by it; who unlinks
looks for the lowest locked byte first. The locks belong to open file descriptions, so they end with the
reader's descriptor, and the kernel ends them when its process dies.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

_FLOCK = struct.Struct("@hhqqi0q")  # struct flock: type, whence, start, length, pid


def readers_path(root: Path) -> Path:
    """Return the file whose bytes are locked."""
    return root / "READERS"


class ReaderLock:
    """A shared lock on the byte ``sequence``. ``close`` may be called more than once."""

    __slots__ = ("_fd",)

    def __init__(self, root: Path, sequence: int) -> None:
        self._fd = _open(root)
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_RDLCK, sequence, 1))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the lock up."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def oldest_reader(root: Path) -> int | None:
    """Return the lowest sequence number that a reader of any process has locked, or None."""
    fd = _open(root)
    try:
        oldest = None
        length = 0  # to the end of all files
        while length != 0 or oldest is None:
            answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _flock(fcntl.F_WRLCK, 0, length))
            kind, _, start, _, _ = _FLOCK.unpack(answer)
            if kind == fcntl.F_UNLCK:
                break
            oldest = length = start
        return oldest
    finally:
        os.close(fd)


def _open(root: Path) -> int:
    # Not for writing: a file system that has become read-only can still be read.
    return os.open(readers_path(root), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _flock(kind: int, start: int, length: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)
