"""A disk that can lose its power: a file system of its own in an image, on a loop device.

The cut is what the file system's own ioctl for it does: nothing more is written, not even the journal, and
every later call fails. Mounted anew, the journal is replayed, as after a real cut. What the file system
had handed to its device by then counts as durable: a device that lies about its cache is not imitated.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

SIZE = 400 << 20  # sparse; XFS takes no less than 300 MiB

MKFS = {
    "ext4": ("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
}

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, XFS_IOC_GOINGDOWN: _IOR('X', 125, __u32)
_NO_LOG_FLUSH = 2


class Disk:
    """An image with a file system, mounted at ``path`` while ``mounted``."""

    def __init__(self, work: Path, filesystem: str) -> None:
        self.path = work / "disk"
        self._image = work / "disk.img"
        self._make = MKFS[filesystem]
        self.mounted = False
        self.path.mkdir()

    def make(self) -> None:
        """Make an empty file system and mount it."""
        self.unmount()
        self._image.unlink(missing_ok=True)
        with open(self._image, "wb") as file:
            file.truncate(SIZE)
        _call(*self._make, str(self._image))
        self.mount()

    def mount(self) -> None:
        """Mount it; the loop device goes with the mount, even where nobody is left to detach it."""
        _call("mount", "-o", "loop", str(self._image), str(self.path))
        self.mounted = True

    def cut(self) -> None:
        """Cut the power."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(fd)

    def restore(self) -> None:
        """Give the power back, once nobody uses the disk any more: what was only in memory is gone."""
        self.unmount()
        self.mount()

    def unmount(self) -> None:
        """Unmount it."""
        if not self.mounted:
            return
        deadline = time.monotonic() + 10
        while subprocess.run(["umount", str(self.path)], capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                _call("umount", "--lazy", str(self.path))
                self.mounted = False
                raise TimeoutError("the disk is in use after its server was killed")
            time.sleep(0.02)
        self.mounted = False

    def remove(self) -> None:
        """Unmount it and remove the image."""
        with suppress(TimeoutError):
            self.unmount()
        self._image.unlink(missing_ok=True)


@contextmanager
def disk(work: Path, filesystem: str) -> Iterator[Disk]:
    """Give a disk that is gone afterwards, also after SIGTERM. Its file system is not made yet."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    made = Disk(work, filesystem)
    try:
        yield made
    finally:
        made.remove()
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
