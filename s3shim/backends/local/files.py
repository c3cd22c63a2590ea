"""The files that hold large objects: written once, synced, named last, verified on every read.

data           blocks of the block size, the last one shorter
block table    the CRC-64/NVME of each block, 8 bytes each, big-endian
trailer        magic (8), extent id (16), length of the data (8), block size (8), big-endian
footer's CRC   CRC-64/NVME over block table and trailer (8); it stands in the object's record too

So the record vouches for the table, and the table for each block, whatever the file system returns. Magic,
id and length are for who finds a file without its record.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from s3shim.backends.local.breaker import Breaker
from s3shim.backends.local.layout import shard_path
from s3shim.backends.local.records import FILE, Extent, damaged
from s3shim.backends.local.space import Space
from s3shim.checksums import crc64nvme
from s3shim.errors import FULL, Code, S3Error, error_of
from s3shim.model import Body

T = TypeVar("T")

MIN_BLOCK = 4096
AHEAD = 64 << 20
"""Bytes of room that a file takes before they have come."""

TEMPORARY = ".new-"

_MAGIC = b"s3shimb1"
_TRAILER = struct.Struct(">8s16sQQ")
_CRC = 8
_FIXED = _TRAILER.size + _CRC

_NO_TMPFILE = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
# What is wrong with a file, not with the process that opens or reads it.
_UNREADABLE = frozenset(
    {errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EIO}
)
_NO_FALLOCATE = frozenset({errno.EOPNOTSUPP, errno.EINVAL})

_log = logging.getLogger(__name__)


class _NewFile:
    """A file without its name yet; without a file system that can do that, one with another name."""

    def __init__(self, shard: str, extent_id: bytes) -> None:
        self.name = extent_id.hex()
        self._temporary: str | None = None
        self.directory = os.open(shard, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.fd = self._open()
        except BaseException:
            os.close(self.directory)
            raise

    def _open(self) -> int:
        try:
            return os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o400, dir_fd=self.directory)
        except OSError as error:
            if error.errno not in _NO_TMPFILE:
                raise
        self._temporary = TEMPORARY + self.name
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
        return os.open(self._temporary, flags, 0o400, dir_fd=self.directory)

    def publish(self) -> None:
        """Give the file its name, durably; its data must be durable already."""
        if self._temporary is None:
            source = f"/proc/self/fd/{self.fd}"
            os.link(source, self.name, dst_dir_fd=self.directory, follow_symlinks=True)
        else:
            os.rename(self._temporary, self.name, src_dir_fd=self.directory, dst_dir_fd=self.directory)
            self._temporary = None
        try:
            os.fsync(self.directory)
        except BaseException:
            self._unlink(self.name)
            raise

    def close(self) -> None:
        """Let go of the file; without its name nothing of it stays."""
        # What was to last has been synced before: an error of close tells nothing new.
        with suppress(OSError):
            os.close(self.fd)
        if self._temporary is not None:
            self._unlink(self._temporary)
        with suppress(OSError):
            os.close(self.directory)

    def _unlink(self, name: str) -> None:
        # Why the file is given up is what counts; the next start removes what stays.
        try:
            os.unlink(name, dir_fd=self.directory)
        except OSError as error:
            _log.error("file %s cannot be removed: %s", name, error)


class BlobFile:
    """An open file. ``close`` may be called more than once."""

    __slots__ = ("_extent", "_fd")

    def __init__(self, fd: int, extent: Extent) -> None:
        self._fd = fd
        self._extent = extent

    def blocks(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the file's bytes from ``start`` to ``stop``, each block verified before a byte is given.

        Raises InternalError where the footer or a block is not what was written.
        """
        size, table = read_footer(self._fd, self._extent)
        for number in range(start // size, -(-stop // size)):
            offset = number * size
            length = min(size, self._extent.file_length - offset)
            data = _pread(self._fd, length, offset, self._extent)
            expected = table[_CRC * number : _CRC * number + _CRC]
            if len(data) != length or crc64nvme(data) != int.from_bytes(expected, "big"):
                raise damaged("block %d of file %s", number, self._extent.id.hex())
            first, last = max(start - offset, 0), min(stop - offset, length)
            yield data if last - first == length else data[first:last]
            del data  # not two blocks at once

    def close(self) -> None:
        """Close the descriptor."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class Files:
    """The files of a store, written as its ``breaker`` and the ``space`` that is left allow."""

    def __init__(self, root: Path, block_size: int, space: Space, breaker: Breaker) -> None:
        self._directories = [f"{shard_path(root, number)}/" for number in range(256)]
        self._block_size = block_size
        self._space = space
        self._breaker = breaker

    def write(self, body: Body, head: bytes) -> Extent:
        """Write ``head`` and the rest of the body as a file that is durable, name included.

        Raises what the body raises, IncompleteBody, and what an error of the system means, like
        InsufficientStorage; then there is no file.
        """
        extent_id = os.urandom(16)
        try:
            file = self._with_room(lambda: _NewFile(self._directories[extent_id[0]], extent_id))
            try:
                length, table = self._copy(file.fd, body, head)
                footer = table + _TRAILER.pack(_MAGIC, extent_id, length, self._block_size)
                digest = crc64nvme(footer)
                _write_all(file.fd, footer + digest.to_bytes(_CRC, "big"))
                self._publish(file)
            finally:
                file.close()
        except OSError as error:
            if error.errno not in FULL:
                _log.error("a file cannot be written: %s", error)
            raise error_of(error) from error
        return Extent(FILE, extent_id, length, digest, 0, length)

    def open(self, extent: Extent) -> BlobFile:
        """Open a file for reading.

        FileNotFoundError where it is gone; InternalError where its name does not lead to a file. Without
        O_NONBLOCK the opening of a FIFO would wait; without O_NOATIME, which is for the owner only, the
        first read of a file after its writing would write its inode.
        """
        path = self._path(extent.id)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            try:
                fd = os.open(path, flags | os.O_NOATIME)
            except PermissionError:
                fd = os.open(path, flags)
            return BlobFile(fd, extent)
        except OSError as error:
            if error.errno in _UNREADABLE:
                raise damaged("file %s: %s", extent.id.hex(), error.strerror) from error
            raise

    def unlink(self, extent_id: bytes) -> None:
        """Remove a file; one that is gone is no error, and neither is what is no file."""
        with suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
            os.unlink(self._path(extent_id))

    def _path(self, extent_id: bytes) -> str:
        return self._directories[extent_id[0]] + extent_id.hex()

    def _publish(self, file: _NewFile) -> None:
        with self._breaker.turn():
            try:
                os.fdatasync(file.fd)
                file.publish()
            except OSError as error:
                self._breaker.failed(error.errno or 0)
                raise
            self._breaker.succeeded()

    def _allocate(self, fd: int, length: int, written: int) -> int:
        """Take room for a body of ``length`` bytes, AHEAD of those that are ``written``; return its end.

        Not for all at once: who declares gigabytes and sends nothing would fill the disk.
        """
        size = length + _FIXED + _CRC * -(-length // self._block_size)
        size = min(size, written + AHEAD)
        self._with_room(lambda: _allocate(fd, size))
        self._space.check()  # others may have taken room since it was looked at
        return size

    def _with_room(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self._space.make_room()
            return step()

    def _copy(self, fd: int, body: Body, head: bytes) -> tuple[int, bytes]:
        # No read crosses the end of a block, except for the head that was read before.
        size = self._block_size
        table = bytearray()
        crc = length = 0
        room = 0 if body.length is None else self._allocate(fd, body.length, 0)
        data = head or body.read(size)
        while data:
            if body.length is not None and room < length + len(data) <= body.length:
                room = self._allocate(fd, body.length, length)
            for part in _at_block_ends(data, length, size):
                _write_all(fd, part)
                crc = crc64nvme(part, crc)
                length += len(part)
                if length % size == 0:
                    table += crc.to_bytes(_CRC, "big")
                    crc = 0
            if body.length is None:
                self._space.check()
            elif length > body.length:
                break
            data = body.read(size - length % size)
        if body.length is not None and length != body.length:
            raise S3Error(Code.IncompleteBody)
        if length % size:
            table += crc.to_bytes(_CRC, "big")
        return length, bytes(table)


def _at_block_ends(data: bytes, offset: int, size: int) -> Iterator[bytes | memoryview]:
    room = size - offset % size
    if len(data) <= room:
        yield data
        return
    view = memoryview(data)
    yield view[:room]
    for start in range(room, len(data), size):
        yield view[start : start + size]


def _allocate(fd: int, size: int) -> None:
    try:
        os.posix_fallocate(fd, 0, size)
    except OSError as error:
        if error.errno not in _NO_FALLOCATE:
            raise


def _write_all(fd: int, data: bytes | memoryview) -> None:
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def _pread(fd: int, length: int, offset: int, extent: Extent) -> bytes:
    try:
        return os.pread(fd, length, offset)
    except OSError as error:
        raise damaged("file %s at %d: %s", extent.id.hex(), offset, error.strerror) from error


def read_footer(fd: int, extent: Extent) -> tuple[int, bytes]:
    """Return the block size and the block table of an open file; InternalError where it is damaged."""
    name = extent.id.hex()
    found = os.fstat(fd)
    size = found.st_size - extent.file_length
    most = _FIXED + _CRC * (extent.file_length // MIN_BLOCK + 1)
    if not stat.S_ISREG(found.st_mode) or not _FIXED < size <= most:
        raise damaged("file %s: not a file of its size", name)
    footer = _pread(fd, size, extent.file_length, extent)
    expected = extent.digest.to_bytes(_CRC, "big")
    if footer[-_CRC:] != expected or crc64nvme(footer[:-_CRC]) != extent.digest:
        raise damaged("file %s: wrong footer", name)
    block_size = _TRAILER.unpack(footer[-_FIXED:-_CRC])[-1]
    return block_size, footer[:-_FIXED]
