"""The body of a request, read as the application asks for it. Its end is never guessed.

A body that breaks off raises, and one in chunks that are not right too: neither is an end of file.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from typing import Protocol

from httptools import HttpParserError, HttpRequestParser

from s3shim.server.head import MAX_HEADER_SECTION

_PIECE = 64 * 1024  # bytes read at once where the application does not say
_SLICE = 4096  # bytes of a chunked body that are decoded at once

# For llhttp: the head of a request whose body comes in chunks.
_CHUNKS_FOLLOW = b"POST / HTTP/1.1\r\nHost: -\r\nTransfer-Encoding: chunked\r\n\r\n"
_END = b"\r\n\r\n"


class BodyCutShort(Exception):
    """The client has gone before the end of its body."""


class BadChunk(Exception):
    """A body in chunks is not in the form of RFC 9112, 7.1."""


class Source(Protocol):
    """Where the bytes of a body come from."""

    def take(self, size: int) -> bytes:
        """Return 1 to ``size`` bytes, b"" where the client has gone. Raises TimeoutError, OSError."""

    def give_back(self, data: bytes) -> None:
        """Take back what belongs to the next request."""

    def invite(self) -> None:
        """Send "100 Continue"."""


class Body:
    """``wsgi.input``. ``expects``: the client waits for "100 Continue" before it sends anything."""

    __slots__ = ("_broken", "_expects", "_source")

    def __init__(self, source: Source, *, expects: bool = False) -> None:
        self._source = source
        self._expects = expects
        self._broken = False

    @property
    def unread(self) -> float:
        """How many bytes are still to come; infinite where that is not known."""
        return math.inf if self._broken or self._expects else self._unread()

    def read1(self, size: int = -1) -> bytes:
        """Return 1 to ``size`` bytes as they come, b"" at the end.

        Raises BodyCutShort, BadChunk, TimeoutError, OSError.
        """
        if self._broken:
            raise BodyCutShort("it has failed before")
        try:
            if self._expects:
                self._expects = False
                self._source.invite()
            return self._next(size if size >= 0 else _PIECE) if size else b""
        except BaseException:
            self._broken = True
            raise

    def _next(self, size: int) -> bytes:
        raise NotImplementedError

    def _unread(self) -> float:
        raise NotImplementedError

    def read(self, size: int | None = -1) -> bytes:
        """Return ``size`` bytes, less only at the end; everything for a negative size."""
        wanted = math.inf if size is None or size < 0 else size
        parts: list[bytes] = []
        while wanted > 0:
            data = self.read1(int(min(wanted, _PIECE)) if wanted == math.inf else int(wanted))
            if not data:
                break
            parts.append(data)
            wanted -= len(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readline(self, size: int = -1) -> bytes:
        """Return a line with its end."""
        line = bytearray()
        while len(line) != size and not line.endswith(b"\n"):
            byte = self.read1(1)
            if not byte:
                break
            line += byte
        return bytes(line)

    def readlines(self, hint: int = -1) -> list[bytes]:
        """Return all lines."""
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def drain(self) -> None:
        """Read what the application has left unread. Raises as ``read1``."""
        while self.unread and self._next(_PIECE):
            pass


class LengthBody(Body):
    """A body whose length in bytes the head states; 0 is none."""

    __slots__ = ("_left",)

    def __init__(self, source: Source, length: int, *, expects: bool = False) -> None:
        super().__init__(source, expects=expects)
        self._left = length

    def _unread(self) -> float:
        return self._left

    def _next(self, size: int) -> bytes:
        if not self._left:
            return b""
        data = self._source.take(size if size < self._left else self._left)
        if not data:
            raise BodyCutShort(f"{self._left} bytes are missing")
        self._left -= len(data)
        return data


class _Chunks:
    """What llhttp finds in a body: the pieces of data, the bytes of trailers, the end."""

    __slots__ = ("ended", "on_body", "pieces", "trailers")

    def __init__(self) -> None:
        self.pieces: deque[bytes] = deque()
        self.on_body = self.pieces.append
        self.trailers = 0
        self.ended = False

    def on_message_complete(self) -> None:
        self.ended = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self.trailers += len(name) + len(value)


class ChunkedBody(Body):
    """A body in chunks. Trailers are read and dropped: WSGI has no place for them."""

    __slots__ = ("_barren", "_chunks", "_last", "_parser", "_pieces")

    def __init__(self, source: Source, *, expects: bool = False) -> None:
        super().__init__(source, expects=expects)
        self._chunks = _Chunks()
        self._pieces = self._chunks.pieces
        self._last = b""
        self._barren = 0
        self._parser = HttpRequestParser(self._chunks)
        self._parser.feed_data(_CHUNKS_FOLLOW)

    def _unread(self) -> float:
        return 0 if self._chunks.ended and not self._pieces else math.inf

    def _next(self, size: int) -> bytes:
        pieces = self._pieces
        while not pieces:
            if self._chunks.ended:
                return b""
            data = self._source.take(_PIECE)
            if not data:
                raise BodyCutShort("the last chunk is missing")
            self._decode(data)
        data = pieces.popleft()
        if len(data) > size:
            pieces.appendleft(data[size:])
            data = data[:size]
        return data

    def _decode(self, data: bytes) -> None:
        # llhttp does not tell where the body ended, but it must be at an empty line: it is fed up to the next
        # one, which may have begun in the bytes before.
        begun = len(self._last)
        data = self._last + data
        view = memoryview(data)
        start = begun
        while start < len(data):
            stop = min(start + _SLICE, len(data))
            found = data.find(_END, max(start - 3, 0), stop)
            if found >= 0:
                stop = found + len(_END)
            self._feed(view[start:stop])
            if self._chunks.ended:
                self._source.give_back(data[stop:])
                return
            start = stop
        self._last = data[-3:]

    def _feed(self, piece: memoryview) -> None:
        found = len(self._pieces)
        try:
            self._parser.feed_data(piece)
        except HttpParserError as error:
            raise BadChunk(str(error)) from None
        # Sizes, extensions and trailers have no limit in llhttp. A piece that brings data may bring some of
        # what is around it too, so nothing below 4 KiB is refused and everything above 8 KiB is.
        self._barren = 0 if len(self._pieces) > found else self._barren + len(piece)
        if self._barren >= _SLICE or self._chunks.trailers > MAX_HEADER_SECTION:
            raise BadChunk("more around the chunks than is read")
