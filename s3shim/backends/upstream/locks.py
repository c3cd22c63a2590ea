"""Locks that all workers of this host share: byte ranges of one file, locked by the kernel.

Every writer of a key takes its lock around check and commit, plain ones too, so a condition holds at the
instant of the change. The kernel gives a lock back when its process dies. Writers on other hosts are not
excluded by them: where the upstream honours conditions it does that itself.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

from s3shim.errors import Code, S3Error

_SLOTS = 65_536
_SLOT = 8

UPLOAD, BUCKET, KEY = 0, 1, 2
"""The ranks of locks, in the order in which they are taken."""


class Lock:
    """One lock to take: by rank, then by the hash of what it guards. Equal ones are the same lock."""

    __slots__ = ("at", "exclusive")

    def __init__(self, rank: int, *names: str, exclusive: bool = True) -> None:
        digest = blake2b("\0".join(names).encode("utf-8", "surrogatepass"), digest_size=6).digest()
        self.at = rank << 48 | int.from_bytes(digest, "big")
        self.exclusive = exclusive


class Locks:
    """The locks, and beside them a stamp for each bucket that changes when it is made or removed."""

    def __init__(self, state: Path, patience: float) -> None:
        self._state = state
        self._patience = patience
        self._free: list[int] = []
        self._stamps = -1

    def start(self) -> None:
        """Open the files; makes the directory."""
        self._state.mkdir(parents=True, exist_ok=True)
        self._stamps = os.open(self._state / "stamps", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def close(self) -> None:
        """Close what is not in use."""
        free, self._free = self._free, []
        for fd in free:
            os.close(fd)
        if self._stamps >= 0:
            os.close(self._stamps)
            self._stamps = -1

    @contextmanager
    def hold(self, *locks: Lock) -> Iterator[None]:
        """Hold the locks. Raises SlowDown where they are not to be had in time."""
        wanted: dict[int, bool] = {}
        for lock in locks:
            wanted[lock.at] = wanted.get(lock.at, False) or lock.exclusive
        # A lock belongs to an open file, so each holder has one of its own, threads too.
        fd = self._take()
        try:
            deadline = time.monotonic() + self._patience
            for at in sorted(wanted):
                _wait(fd, at, exclusive=wanted[at], deadline=deadline)
            yield
        finally:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _range(fcntl.F_UNLCK, 0, 0))
            self._free.append(fd)

    def _take(self) -> int:
        try:
            return self._free.pop()
        except IndexError:
            return os.open(self._state / "locks", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def stamp(self, bucket: str) -> bytes:
        """Return the stamp of a bucket: another one after it was made or removed on this host."""
        if self._stamps < 0:
            raise S3Error(Code.ServiceUnavailable)
        return os.pread(self._stamps, _SLOT, _slot(bucket))

    def restamp(self, bucket: str) -> None:
        """Change the stamp of a bucket, whose lock is held."""
        os.pwrite(self._stamps, os.urandom(_SLOT), _slot(bucket))


def _wait(fd: int, at: int, *, exclusive: bool, deadline: float) -> None:
    wanted = _range(fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK, at, 1)
    pause = 0.0005
    while True:
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, wanted)
            return
        except BlockingIOError:
            pass
        # The kernel's own wait has no end; whoever holds the lock may have been stopped.
        if time.monotonic() + pause > deadline:
            raise S3Error(Code.SlowDown)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.01)


def _range(kind: int, start: int, length: int) -> bytes:
    """Return a struct flock; a length of 0 is everything from ``start`` on."""
    return struct.pack("hhqqi", kind, os.SEEK_SET, start, length, 0)


def _slot(bucket: str) -> int:
    digest = blake2b(bucket.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") % _SLOTS * _SLOT
