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
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from s3shim.backends.local.index import FULL
from s3shim.backends.local.layout import shard_path
from s3shim.backends.local.records import FILE, Extent, damaged
from s3shim.checksums import crc64nvme
from s3shim.errors import Code, S3Error
from s3shim.model import Body

MIN_BLOCK = 4096
TEMPORARY = ".new-"

_MAGIC = b"s3shimb1"
_TRAILER = struct.Struct(">8s16sQQ")
_CRC = 8
_FIXED = _TRAILER.size + _CRC

_NO_TMPFILE = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})
_NO_FALLOCATE = frozenset({errno.EOPNOTSUPP, errno.EINVAL})


class _NewFile:
    """A file without its name yet; without a file system that can do that, one with another name."""

    def __init__(self, shard: Path, extent_id: bytes) -> None:
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
            os.unlink(self.name, dir_fd=self.directory)
            raise

    def close(self) -> None:
        """Let go of the file; without its name nothing of it stays."""
        os.close(self.fd)
        if self._temporary is not None:
            os.unlink(self._temporary, dir_fd=self.directory)
        os.close(self.directory)


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
        size, table = _read_footer(self._fd, self._extent)
        for number in range(start // size, -(-stop // size)):
            offset = number * size
            length = min(size, self._extent.file_length - offset)
            data = os.pread(self._fd, length, offset)
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
    """The files of a store. ``make_room`` is asked to unlink what it can when the disk is full."""

    def __init__(self, root: Path, block_size: int, make_room: Callable[[], None]) -> None:
        self._root = root
        self._block_size = block_size
        self._make_room = make_room

    def write(self, body: Body, head: bytes) -> Extent:
        """Write ``head`` and the rest of the body as a file that is durable, name included.

        Raises what the body raises, IncompleteBody, and InsufficientStorage; then there is no file.
        """
        extent_id = os.urandom(16)
        try:
            file = _NewFile(shard_path(self._root, extent_id[0]), extent_id)
            try:
                if body.length is not None:
                    self._allocate(file.fd, body.length)
                length, table = self._copy(file.fd, body, head)
                footer = table + _TRAILER.pack(_MAGIC, extent_id, length, self._block_size)
                digest = crc64nvme(footer)
                _write_all(file.fd, footer + digest.to_bytes(_CRC, "big"))
                os.fdatasync(file.fd)
                file.publish()
            finally:
                file.close()
        except OSError as error:
            if error.errno in FULL:
                raise S3Error(Code.InsufficientStorage) from error
            raise
        return Extent(FILE, extent_id, length, digest, 0, length)

    def open(self, extent: Extent) -> BlobFile:
        """Open a file for reading; FileNotFoundError where it is gone."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        return BlobFile(os.open(self._path(extent.id), flags), extent)

    def unlink(self, extent_id: bytes) -> None:
        """Remove a file; one that is gone is no error."""
        with suppress(FileNotFoundError):
            os.unlink(self._path(extent_id))

    def _path(self, extent_id: bytes) -> Path:
        return shard_path(self._root, extent_id[0]) / extent_id.hex()

    def _allocate(self, fd: int, length: int) -> None:
        size = length + _FIXED + _CRC * -(-length // self._block_size)
        try:
            _allocate(fd, size)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            self._make_room()
            _allocate(fd, size)

    def _copy(self, fd: int, body: Body, head: bytes) -> tuple[int, bytes]:
        # No read crosses the end of a block, except for the head that was read before.
        size = self._block_size
        table = bytearray()
        crc = length = 0
        data = head or body.read(size)
        while data:
            for part in _at_block_ends(data, length, size):
                _write_all(fd, part)
                crc = crc64nvme(part, crc)
                length += len(part)
                if length % size == 0:
                    table += crc.to_bytes(_CRC, "big")
                    crc = 0
            if body.length is not None and length > body.length:
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


def _read_footer(fd: int, extent: Extent) -> tuple[int, bytes]:
    name = extent.id.hex()
    found = os.fstat(fd)
    size = found.st_size - extent.file_length
    most = _FIXED + _CRC * (extent.file_length // MIN_BLOCK + 1)
    if not stat.S_ISREG(found.st_mode) or not _FIXED < size <= most:
        raise damaged("file %s: not a file of its size", name)
    footer = os.pread(fd, size, extent.file_length)
    expected = extent.digest.to_bytes(_CRC, "big")
    if footer[-_CRC:] != expected or crc64nvme(footer[:-_CRC]) != extent.digest:
        raise damaged("file %s: wrong footer", name)
    block_size = _TRAILER.unpack(footer[-_FIXED:-_CRC])[-1]
    return block_size, footer[:-_FIXED]
