"""Bytes on their way up."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator

from s3shim.errors import Code, S3Error
from s3shim.model import Body

READ = 256 * 1024


def read_ahead(body: Body, limit: int) -> bytes | Iterator[bytes]:
    """Return the whole body where it has at most ``limit`` bytes, else chunks that are still to be read.

    Raises IncompleteBody where a whole body has not its declared length.
    """
    if body.length is not None and body.length > limit:
        return iter(lambda: body.read(READ), b"")
    chunks: list[bytes] = []
    size = 0
    while chunk := body.read(max(1, min(READ, limit - size + 1))):
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            if body.length is not None:
                raise S3Error(Code.IncompleteBody)
            return _joined(chunks, body)
    if body.length is not None and body.length != size:
        raise S3Error(Code.IncompleteBody)
    return b"".join(chunks)


def _joined(chunks: list[bytes], body: Body) -> Iterator[bytes]:
    yield from chunks
    chunks.clear()
    yield from iter(lambda: body.read(READ), b"")


class Counted:
    """The chunks of a body, held against its declared length; ``size`` is what came so far."""

    def __init__(self, chunks: Iterator[bytes], body: Body) -> None:
        self._chunks = chunks
        self._length = body.length
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        length = self._length
        for chunk in self._chunks:
            self.size += len(chunk)
            if length is not None and self.size > length:
                raise S3Error(Code.IncompleteBody)
            yield chunk
        if length is not None and self.size != length:
            raise S3Error(Code.IncompleteBody)


def in_parts(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks as parts of 8 MiB, then of more, up to 64 MiB: 10,000 of them are 572 GiB."""
    buffer = bytearray()
    number = 0
    for chunk in chunks:
        buffer += chunk
        if len(buffer) >= (size := min(64, 8 + number // 100) * 1024**2):
            yield bytes(memoryview(buffer)[:size])
            del buffer[:size]
            number += 1
    if buffer or not number:
        yield bytes(buffer)


def hold_back(chunks: Iterable[bytes], verified: Callable[[], None]) -> Iterator[bytes]:
    """Yield the chunks; the last of them after they have ended well and ``verified`` was called."""
    held: bytes | None = None
    for chunk in chunks:
        if held is not None:
            yield held
        held = chunk
    verified()
    if held is not None:
        yield held


def md5_of(data: bytes) -> str:
    """Return the MD5 of ``data`` in hex."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def md5_header(md5: str | None, data: bytes = b"") -> dict[str, str]:
    """Return Content-MD5 of an MD5 in hex, or of ``data``."""
    digest = bytes.fromhex(md5) if md5 else hashlib.md5(data, usedforsecurity=False).digest()
    return {"Content-MD5": b64encode(digest).decode()}
