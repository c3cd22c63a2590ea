"""An answer on its way out: its head leaves together with a small body, files leave by sendfile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from email.utils import formatdate
from types import TracebackType
from typing import Any

from s3shim.server.body import Body
from s3shim.server.connection import Connection
from s3shim.server.head import Head

MAX_DRAIN = 64 * 1024
"""Bytes of an unread body that are thrown away to keep a connection."""

HeaderList = list[tuple[str, str]]
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType]

_SMALL = 64 * 1024  # bytes of a body that are copied to go with the head
_BODILESS = ("204", "304", "1")

# The headers that matter here, by length of their name.
_KINDS = {
    4: {"date"},
    6: {"server"},
    10: {"connection"},
    14: {"content-length"},
    17: {"transfer-encoding"},
}


class Answer:
    """What the application answers to ``head``; ``start`` is WSGI's start_response.

    Where the request's body has been left unread the connection is not kept, and the answer says so.
    """

    __slots__ = ("_body", "_chunked", "_conn", "_head", "_headers", "_length", "_request", "_sent", "_status",
                 "begun", "keep")  # fmt: skip

    def __init__(self, request: Head, body: Body, conn: Connection, *, keep: bool) -> None:
        self._request = request
        self._body = body
        self._conn = conn
        self._status = ""
        self._headers: HeaderList = []
        self._head = b""
        self._length: int | None = None
        self._chunked = False
        self._sent = 0
        self.begun = False
        self.keep = keep

    @property
    def complete(self) -> bool:
        """Whether as many bytes were sent as the head announced."""
        return self._length is None or self._sent == self._length

    @property
    def _bodiless(self) -> bool:
        return self._status.startswith(_BODILESS) or self._request.method == "HEAD"

    def start(
        self, status: str, headers: HeaderList, exc_info: _ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """Take status and headers; see PEP 3333. Nothing is sent yet."""
        if exc_info is not None and self.begun:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._status and exc_info is None:
            raise AssertionError("start_response was called twice")
        self._status = status
        self._headers = headers
        return self.write

    def send(self, chunks: Iterable[Any]) -> None:
        """Send the body that the application returned, and the end of the answer.

        A chunk is bytes, or something with ``fd``, ``offset`` and ``length``: a piece of a file. Raises
        TimeoutError, OSError, ValueError for a header that is none.
        """
        only = chunks[0] if type(chunks) is list and len(chunks) == 1 else None
        if type(only) is bytes and not self.begun:
            self._begin(len(only))
            self._give(only)
        else:
            for chunk in chunks:
                self.write(chunk)
            if not self.begun and not self._head:
                self._begin(0)
        if self._head:
            self._give(b"")
        if self._chunked:
            self._conn.send(b"0\r\n\r\n")

    def write(self, chunk: Any) -> None:
        """Send a chunk; WSGI's write()."""
        if not self.begun and not self._head:
            self._begin(None)
        if isinstance(chunk, bytes):
            if chunk:
                self._give(chunk)
        else:
            self._give_file(chunk)

    def _begin(self, known: int | None) -> None:
        """Make the head. ``known`` is the length of the body where the application has given all of it."""
        if not self._status:
            raise AssertionError("start_response was not called")
        length: int | None = None
        date = server = False
        lines = [f"HTTP/1.1 {self._status}\r\n"]
        for name, value in self._headers:
            kind = _KINDS.get(len(name))
            if kind is not None and (lower := name.lower()) in kind:
                if lower == "content-length":
                    if not value.isdigit():
                        raise ValueError("Content-Length is not a number")
                    length = int(value)
                elif lower == "date":
                    date = True
                elif lower == "server":
                    server = True
                else:
                    self.keep = self.keep and lower == "connection" and value.lower() != "close"
                    continue
            lines.append(f"{name}: {value}\r\n")
        self._end_at(length, known, lines)
        if not date:
            lines.append(_date_line())
        if not server:
            lines.append("Server: gunicorn\r\n")
        if self._body.unread > MAX_DRAIN:
            self.keep = False
        lines.append("Connection: keep-alive\r\n\r\n" if self.keep else "Connection: close\r\n\r\n")
        text = "".join(lines)
        # One line end for each line, or a value has brought its own (response splitting).
        if text.count("\n") != len(lines) + 1 or text.count("\r") != len(lines) + 1 or "\0" in text:
            raise ValueError("a header of the answer has a line end or a NUL")
        self._head = text.encode("latin-1")

    def _end_at(self, length: int | None, known: int | None, lines: list[str]) -> None:
        """Decide how the client finds the end of the body (RFC 9112, 6.3)."""
        if self._bodiless:
            self._length = 0
        elif length is not None:
            self._length = length
        elif known is not None:
            self._length = known
            lines.append(f"Content-Length: {known}\r\n")
        elif self._request.version == "1.1":
            self._chunked = True
            lines.append("Transfer-Encoding: chunked\r\n")
        else:
            self.keep = False

    def _give(self, data: bytes) -> None:
        head, self._head = self._head, b""
        self.begun = True
        data = self._framed(data)
        if not head:
            if data:
                self._conn.send(data)
        elif len(data) <= _SMALL:
            self._conn.send(head + data)
        else:
            self._conn.step_aside()
            self._conn.send(head, more=True)
            self._conn.send(data)

    def _framed(self, data: bytes) -> bytes:
        if self._length is not None:
            left = self._length - self._sent
            if len(data) > left:
                data = data[:left]
            self._sent += len(data)
            return data
        if self._chunked and data:
            return b"%X\r\n%b\r\n" % (len(data), data)
        return data

    def _give_file(self, piece: Any) -> None:
        if self._bodiless:
            return
        if self._length is None or self._sent + piece.length > self._length:
            raise ValueError("a piece of a file needs room in the Content-Length")
        head, self._head = self._head, b""
        self.begun = True
        if head:
            self._conn.step_aside()
            self._conn.send(head, more=True)
        self._conn.send_file(piece.fd, piece.offset, piece.length)
        self._sent += piece.length


_date = (0, "")


def _date_line() -> str:
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = now, f"Date: {formatdate(now, usegmt=True)}\r\n"
    return _date[1]


def refusal(status: str, headers: HeaderList, body: bytes, *, head_only: bool = False) -> bytes:
    """Return an answer without a request; the connection ends with it."""
    given = {name.lower() for name, _ in headers}
    lines = [f"{name}: {value}\r\n" for name, value in headers if name.lower() != "connection"]
    if "content-length" not in given:
        lines.append(f"Content-Length: {len(body)}\r\n")
    if "date" not in given:
        lines.append(_date_line())
    head = f"HTTP/1.1 {status}\r\n{''.join(lines)}Connection: close\r\n\r\n"
    return head.encode("latin-1") + (b"" if head_only else body)
