"""Locks that all workers of this host share: byte ranges of one file, locked by the kernel.

Every writer of a key takes its lock around check and commit, plain ones too, so a condition holds at the
instant of the change. The kernel gives a lock back when its process dies. Writers on other hosts are excluded
by leases, where there are any: under a lock that is held alone the lease of the same name is taken.

Of what is shared no lease is taken. That a bucket goes on to be there is looked at once a second (``look``);
whoever removes it waits for as long (``settle``), and then for what was begun before. The source of a copy is
protected by the upstream, which is told its ETag; an upload that is completed while another host replaces a
part of it, by the ETags of the parts.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

from s3shim.backends.ledger import Ledger
from s3shim.backends.upstream.leases import Leases, digest
from s3shim.backends.upstream.places import Places
from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.errors import Code, S3Error

_SLOTS = 65_536
_SLOT = 8

UPLOAD, BUCKET, KEY, HOST = 0, 1, 2, 3
"""The ranks of locks, in the order in which they are taken. HOST is for what is this host's alone."""

LOOKED = 1.0
"""Seconds for which a bucket that was seen is there for writers, on whatever host it is removed meanwhile."""

_MARGIN = 0.1


class Lock:
    """One lock to take: by rank, then by the hash of what it guards. Equal ones are the same lock.

    The first of ``names`` is a bucket, but for what is a host's alone.
    """

    __slots__ = ("at", "exclusive", "names", "rank")

    def __init__(self, rank: int, *names: str, exclusive: bool = True) -> None:
        hashed = blake2b("\0".join(names).encode("utf-8", "surrogatepass"), digest_size=6).digest()
        self.at = rank << 48 | int.from_bytes(hashed, "big")
        self.rank = rank
        self.names = names
        self.exclusive = exclusive


class Locks:
    """The locks, and beside them a stamp for each bucket that changes when it is made or removed."""

    def __init__(self, settings: UpstreamSettings, places: Places, ledger: Ledger | None = None) -> None:
        self.leases = None if ledger is None else Leases(ledger, settings.lease_time)
        self._state = settings.state
        self._patience = settings.deadline
        self._places = places
        self._free: list[int] = []
        self._stamps = -1

    def start(self) -> None:
        """Open the files; makes the directory. The ledger of the leases need not be there yet."""
        self._state.mkdir(parents=True, exist_ok=True)
        self._stamps = os.open(self._state / "stamps", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if self.leases is not None:
            self.leases.start()

    def close(self) -> None:
        """Close what is not in use."""
        if self.leases is not None:
            self.leases.close()
        free, self._free = self._free, []
        for fd in free:
            os.close(fd)
        if self._stamps >= 0:
            os.close(self._stamps)
            self._stamps = -1

    @contextmanager
    def hold(self, *locks: Lock) -> Iterator[None]:
        """Hold the locks, and the leases that belong to them.

        Raises SlowDown where they are not to be had in time, and what ``Leases.hold`` raises.
        """
        wanted: dict[int, bool] = {}
        for lock in locks:
            wanted[lock.at] = wanted.get(lock.at, False) or lock.exclusive
        # A lock belongs to an open file, so each holder has one of its own, threads too.
        fd = self._take()
        try:
            deadline = time.monotonic() + self._patience
            for at in sorted(wanted):
                _wait(fd, at, exclusive=wanted[at], deadline=deadline)
            names = self._names(locks)
            if self.leases is None or not names:
                yield
            else:
                with self.leases.hold(names, deadline - time.monotonic()):
                    yield
        finally:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _range(fcntl.F_UNLCK, 0, 0))
            self._free.append(fd)

    def _take(self) -> int:
        try:
            return self._free.pop()
        except IndexError:
            return os.open(self._state / "locks", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    # -- across hosts ---------------------------------------------------------------------------

    @property
    def across_hosts(self) -> bool:
        """Whether writers on other hosts are excluded too."""
        return self.leases is not None

    def look(self, bucket: str) -> None:
        """Raise SlowDown while a bucket is being made or removed on another host."""
        if self.leases is not None and self.leases.is_held(self._name(Lock(BUCKET, bucket))):
            raise S3Error(Code.SlowDown)

    def settle(self, bucket: str) -> None:
        """Wait until nothing that other hosts began before our lease of the bucket still goes on in it."""
        if self.leases is not None:
            time.sleep(LOOKED + _MARGIN)
            self.leases.outlast(f"{KEY}.{self._token(bucket)}", self._patience)

    def _names(self, locks: tuple[Lock, ...]) -> list[str]:
        """Return the names of the leases that belong to these locks."""
        names = [self._name(lock) for lock in locks if lock.exclusive and lock.rank != HOST]
        if all(lock.rank == BUCKET and not lock.exclusive for lock in locks):
            # What changes no key is to be seen all the same by those who remove the bucket.
            names = [self._name(Lock(KEY, lock.names[0], os.urandom(8).hex())) for lock in locks]
        return names

    def _name(self, lock: Lock) -> str:
        bucket, *names = lock.names
        stem = f"{lock.rank}.{self._token(bucket)}"
        return f"{stem}.{digest(*names)}" if names else stem

    def _token(self, bucket: str) -> str:
        # By where it lies, so that gateways with places of their own are not in each other's way.
        base = self._places.base(bucket)
        return digest(base.bucket, base.key)

    # -- stamps ---------------------------------------------------------------------------------

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
