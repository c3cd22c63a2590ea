"""The room on the store's file system: writes that add data leave a reserve, so that deletes find pages."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from s3shim.errors import Code, S3Error, error_of

RESERVED_SHARE = 20  # the reserve is at most one part in so many of the file system
ROOMY = 1 << 30  # with so many bytes beyond the reserve, what goes into the index is not looked at each time
REMEMBERED = 0.05  # seconds


class Space:
    """The free space around ``path``.

    ``reserve`` bytes of it, or 5 % of the file system where that is less, are kept for writes that free
    space: these need pages of the index before they give any back. The index's file never shrinks, so what
    goes into the index may also take its own free pages, ``free_pages()`` in bytes. ``make_room`` is to free
    what can go.

    A change of the index is let through on a look that is up to REMEMBERED seconds old, where that found the
    disk ROOMY: in that time it takes a few megabytes of a reserve of 64 at worst, whatever others took
    meanwhile. A file can take gigabytes at once, so for one the disk is always looked at.
    """

    def __init__(self, path: Path, reserve: int, free_pages: Callable[[], int]) -> None:
        self._path = path
        self._reserve = reserve
        self._free_pages = free_pages
        self._lock = Lock()
        self._roomy_until = 0.0
        self.make_room: Callable[[], object] = lambda: None

    def room(self) -> int:
        """Return how many bytes are free beyond the reserve; it may be negative. OSError."""
        found = os.statvfs(self._path)
        return found.f_frsize * found.f_bavail - self._kept(found)

    def is_full(self) -> bool:
        """Whether no more than the reserve is left, or no inode; False where the system cannot tell."""
        try:
            found = os.statvfs(self._path)
            # A file system without a fixed number of inodes says that it has none at all.
            return self.room() <= 0 or (found.f_files > 0 and found.f_favail == 0)
        except OSError:
            return False

    def is_read_only(self) -> bool:
        """Whether the file system is mounted read-only. OSError."""
        return bool(os.statvfs(self._path).f_flag & os.ST_RDONLY)

    def check(self, size: int = 0, *, in_index: bool = False) -> None:
        """Raise InsufficientStorage where ``size`` more bytes would not leave the reserve.

        Before that what can go is given back. Not within a transaction.
        """
        try:
            if self._reserve == 0 or self._fits(size, in_index):
                return
            # One at a time: whoever waits finds the room that the first has made.
            with self._lock:
                if self._fits(size, in_index):
                    return
                self.make_room()
                if self._fits(size, in_index):
                    return
        except OSError as error:
            raise error_of(error) from error
        raise S3Error(Code.InsufficientStorage)

    def _fits(self, size: int, in_index: bool) -> bool:
        now = time.monotonic()
        if in_index and now < self._roomy_until:
            return True
        room = self.room()
        self._roomy_until = now + REMEMBERED if room > ROOMY else 0.0
        if room > size:
            return True
        return in_index and self._free_pages() - self._kept(os.statvfs(self._path)) > size

    def _kept(self, found: os.statvfs_result) -> int:
        return min(self._reserve, found.f_frsize * found.f_blocks // RESERVED_SHARE)
