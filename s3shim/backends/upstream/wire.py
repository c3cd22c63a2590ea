"""HTTP/1.1 with the upstream over one connection: a request goes out, its answer comes back (RFC 9112).

Without TLS the kernel keeps the time limits: one system call takes a whole piece, without a poll before it.
Whatever is not HTTP as it should be is BrokenAnswer, and the connection is closed.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable

from s3shim.waiting import WAITS

_HEAD = 64 * 1024
"""Bytes of the longest head of an answer; S3 has at most 8 KiB of its own and 2 KiB of metadata in it."""

_JOINED = 64 * 1024
"""A body of at most so many bytes leaves together with the head."""

_PIECE = 256 * 1024
"""Bytes that must be taken within the limit, so that a line which is slow but not dead is waited for."""

_DEAF = "the upstream does not take what is sent"

_STATUS_LINE = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: .*)?", re.ASCII)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r\n")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_TOKENS = re.compile(r"[ \t]*,[ \t]*")


class BrokenAnswer(OSError):
    """What came is no answer, or ended before its end."""


class Fields(dict[str, str]):
    """The header fields of an answer, by name in any case; those that are there twice are joined."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.lower())

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override]
        """Return the value, ``default`` where there is none."""
        return super().get(name.lower(), default)


class Connection:
    """A connection that is asked one thing at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        # TLS knows no flags, and asks again without end where the kernel gives up.
        self._plain = not isinstance(sock, ssl.SSLSocket)
        self._poll = select.poll()
        self._poll.register(sock.fileno(), select.POLLIN)
        self._limit = 0.0
        self._sending: float | None = None
        self._buffer = b""

    def limit(self, seconds: float) -> None:
        """Let no single wait from now on be longer than ``seconds``."""
        if seconds == self._limit:
            return
        self._limit = seconds
        if not self._plain:
            self._sock.settimeout(seconds)
            return
        whole, part = divmod(seconds, 1)
        timeval = struct.pack("@ll", int(whole), int(part * 1e6))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)

    def limit_sending(self, seconds: float | None) -> None:
        """Let what is sent next leave within ``seconds`` for each step, head and body; None is no limit."""
        self._sending = seconds

    def alive(self) -> bool:
        """Whether nothing came since the last answer: neither an end nor bytes that nobody asked for."""
        return not self._poll.poll(0)

    def close(self) -> None:
        """Close it."""
        self._sock.close()

    def send(self, head: bytes, body: bytes | Iterable[bytes], *, chunked: bool = False) -> None:
        """Send a request. What ``body`` raises, and OSError, leave a connection that is to be closed."""
        WAITS.announce()
        if self._sending is not None:
            # The kernel's limit is that of one call, and a step may be many.
            self._sock.settimeout(self._sending)
        self._send(head, body, chunked=chunked)
        if self._sending is not None:
            self._sock.settimeout(None if self._plain else self._limit)

    def _send(self, head: bytes, body: bytes | Iterable[bytes], *, chunked: bool) -> None:
        if isinstance(body, bytes):
            if len(body) <= _JOINED:
                self._put(head + body)
                return
            self._put(head)
            self._put(body)
            return
        self._put(head)
        for piece in body:
            if chunked and piece:
                self._put(b"%x\r\n" % len(piece))
                self._put(piece)
                self._put(b"\r\n")
            else:
                self._put(piece)
        if chunked:
            self._put(b"0\r\n\r\n")

    def _put(self, data: bytes) -> None:
        try:
            if self._sending is not None:
                self._sock.sendall(data)
                return
            view = memoryview(data)
            for start in range(0, len(view), _PIECE):
                self._put_piece(view[start : start + _PIECE])
        except BlockingIOError:
            raise TimeoutError(_DEAF) from None

    def _put_piece(self, piece: memoryview) -> None:
        end = time.monotonic() + self._limit
        while piece := piece[self._sock.send(piece) :]:
            # The limit of a call of the kernel begins anew with each byte that was taken.
            if time.monotonic() >= end:
                raise TimeoutError(_DEAF)

    def acknowledge(self) -> None:
        """Acknowledge what comes next at once.

        A server that sends head and body apart, as Garage does, waits for this for 40 ms otherwise.
        """
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def receive(self, size: int, *, whole: bool = False) -> bytes:
        """Return 1 to ``size`` bytes, with ``whole`` all of them where that can be; b"" at the end."""
        try:
            if self._plain:
                return self._sock.recv(size, socket.MSG_WAITALL if whole else 0)
            return self._sock.recv(size)
        except BlockingIOError:
            raise TimeoutError("the upstream does not answer in time") from None

    def answer(
        self, method: str, done: Callable[[Connection], None], refused: Callable[[Connection], None]
    ) -> Answer:
        """Read the head of the answer; ``done`` gets the connection once the whole answer was read.

        So does ``refused`` where the answer is beyond 2xx.
        """
        while True:
            status, version, fields = self._head()
            # An interim answer comes before the one that counts.
            if status >= 200:
                break
        framing = _framing(method, status, version, fields)
        return Answer(self, status, fields, framing, done if status < 300 else refused)

    def _head(self) -> tuple[int, str, Fields]:
        buffer = self._buffer
        while (end := buffer.find(b"\r\n\r\n")) < 0:
            if len(buffer) > _HEAD:
                raise BrokenAnswer("the head of the answer has no end")
            data = self.receive(_HEAD)
            if not data:
                raise BrokenAnswer("the connection was closed before an answer came")
            buffer = buffer + data if buffer else data
        self._buffer = buffer[end + 4 :]
        first, *lines = buffer[:end].decode("latin-1").split("\r\n")
        match = _STATUS_LINE.fullmatch(first)
        if match is None:
            raise BrokenAnswer("this is not HTTP/1.1")
        return int(match[2]), match[1], _fields(lines)

    def take(self, size: int, *, whole: bool) -> bytes:
        """Return 1 to ``size`` bytes of what follows the head. Raises BrokenAnswer where nothing does."""
        if self._buffer:
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            return data
        data = self.receive(size, whole=whole)
        if not data:
            raise BrokenAnswer("the answer was cut off")
        return data

    def line(self) -> bytes:
        """Return a line of a body in chunks, with its CRLF."""
        while (end := self._buffer.find(b"\r\n")) < 0:
            if len(self._buffer) > _HEAD:
                raise BrokenAnswer("a line of the answer has no end")
            data = self.receive(_HEAD)
            if not data:
                raise BrokenAnswer("the answer was cut off")
            self._buffer += data
        line, self._buffer = self._buffer[: end + 2], self._buffer[end + 2 :]
        return line

    @property
    def drained(self) -> bool:
        """Whether nothing was received beyond the answer."""
        return not self._buffer


_TO_CLOSE = -1
_CHUNKED = -2


def _framing(method: str, status: int, version: str, fields: Fields) -> tuple[int, bool]:
    """Return the length of the body, _TO_CLOSE or _CHUNKED, and whether the connection lives on."""
    tokens = _TOKENS.split(fields.get("connection").lower())
    keeps = "keep-alive" in tokens if version == "0" else "close" not in tokens
    if method == "HEAD" or status in (204, 304):
        return 0, keeps
    coding = fields.get("transfer-encoding")
    if coding:
        if coding.lower() != "chunked":
            raise BrokenAnswer("the answer has a transfer coding that was not asked for")
        return _CHUNKED, keeps
    length = fields.get("content-length")
    if not length:
        return _TO_CLOSE, False
    if not _LENGTH.fullmatch(length):
        raise BrokenAnswer("the answer has no length that is one")
    return int(length), keeps


def _fields(lines: list[str]) -> Fields:
    found = Fields()
    put, seen = found.__setitem__, dict.get
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not _NAME.fullmatch(name):
            raise BrokenAnswer("the answer has a header line that is none")
        value = value.strip(" \t")
        before = seen(found, name)
        put(name, value if before is None or before == value else f"{before}, {value}")
    return found


class Answer:
    """An answer whose body is still to be read. One that was not read to its end costs the connection."""

    __slots__ = ("_chunk_left", "_connection", "_done", "_keeps", "_left", "headers", "status")

    def __init__(
        self,
        connection: Connection,
        status: int,
        headers: Fields,
        framing: tuple[int, bool],
        done: Callable[[Connection], None],
    ) -> None:
        self.status = status
        self.headers = headers
        self._connection: Connection | None = connection
        self._done = done
        self._left, self._keeps = framing
        self._chunk_left = 0
        if not self._left:
            self._end()

    def read(self, size: int) -> bytes:
        """Return 1 to ``size`` bytes, b"" at the end. Raises OSError, TimeoutError among them."""
        connection = self._connection
        if connection is None:
            return b""
        try:
            if self._left >= 0:
                data = connection.take(min(size, self._left), whole=True)
                self._left -= len(data)
                if not self._left:
                    self._end()
                return data
            return (
                self._to_close(connection, size) if self._left == _TO_CLOSE else self._chunk(connection, size)
            )
        except OSError:
            self.close()
            raise

    def _to_close(self, connection: Connection, size: int) -> bytes:
        if not connection.drained:
            return connection.take(size, whole=False)
        data = connection.receive(size)
        if not data:
            self._end()
        return data

    def _chunk(self, connection: Connection, size: int) -> bytes:
        if not self._chunk_left:
            match = _CHUNK_LINE.fullmatch(connection.line())
            if match is None:
                raise BrokenAnswer("a chunk of the answer has no size")
            self._chunk_left = int(match[1], 16)
        if not self._chunk_left:
            while connection.line() != b"\r\n":
                continue
            self._end()
            return b""
        data = connection.take(min(size, self._chunk_left), whole=True)
        self._chunk_left -= len(data)
        if not self._chunk_left and connection.line() != b"\r\n":
            raise BrokenAnswer("a chunk of the answer is longer than it says")
        return data

    def _end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        # What comes after the end of the answer was not asked for.
        if self._keeps and connection.drained:
            self._done(connection)
        else:
            connection.close()

    @property
    def ended(self) -> bool:
        """Whether all of it was read."""
        return self._connection is None

    def close(self) -> None:
        """Let go of it; the connection is closed unless all was read."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
