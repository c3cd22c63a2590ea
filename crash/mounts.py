"""File systems of their own, small ones and broken ones, that are gone afterwards whatever happens."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def tmpfs(path: Path, options: str) -> Iterator[Path]:
    """Mount a tmpfs with ``options``, like "size=10m"."""
    path.mkdir()
    call("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path))
    try:
        yield path
    finally:
        unmount(path)


@contextmanager
def ext4(path: Path, image: Path, size: int) -> Iterator[Path]:
    """Make an ext4 of ``size`` bytes in a sparse ``image`` and mount it; an error makes it read-only."""
    path.mkdir()
    with open(image, "wb") as file:
        file.truncate(size)
    call("mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(image))
    mount_image(path, image)
    try:
        yield path
    finally:
        unmount(path)
        image.unlink()


def mount_image(path: Path, image: Path) -> None:
    """Mount the ext4 in ``image``; the loop device goes with the mount."""
    call("mount", "-o", "loop,errors=remount-ro", str(image), str(path))


def unmount(path: Path) -> None:
    """Unmount what is mounted there, as soon as nobody uses it any more."""
    deadline = time.monotonic() + 10
    while os.path.ismount(path):
        done = subprocess.run(["umount", str(path)], capture_output=True, check=False)
        if done.returncode and time.monotonic() > deadline:
            call("umount", "--lazy", str(path))
            raise TimeoutError(f"{path} is still in use")
        if done.returncode:
            time.sleep(0.05)


def fail(path: Path) -> None:
    """Let the ext4 that is mounted there find an error: from now on it is read-only."""
    with open("/proc/self/mounts") as mounts:
        (device,) = [line.split()[0] for line in mounts if line.split()[1] == str(path)]
    Path("/sys/fs/ext4", os.path.basename(device), "trigger_fs_error").write_text("a test of s3shim")


def call(*command: str) -> None:
    """Run a program; RuntimeError with what it says where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
