"""HTTP/1.1 on one connection: a patient socket, strict requests, answers in one piece.

What gunicorn's parser lets through but RFC 9112 or common sense does not is refused here. Errors
are gunicorn's ParseException; the worker turns them into answers.
"""

from __future__ import annotations

import math
import re
import socket
import struct
import sys
import termios
import time
from fcntl import ioctl
from typing import Any

from gunicorn import SERVER_SOFTWARE, util
from gunicorn.http import errors, wsgi
from gunicorn.http.body import LengthReader
from gunicorn.http.message import Request as BaseRequest
from gunicorn.http.parser import RequestParser

MAX_HEADER_SECTION = 8192
"""Bytes of all header lines together; Amazon S3 has the same limit."""

MAX_DRAIN = 64 * 1024
"""Bytes of an unread body that are thrown away to keep a connection."""

DRAIN_SECONDS = 2.0

_SMALL = 64 * 1024

_RECEIVE = 16 * 1024

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

# The end of a head; or a bare line feed, which the parser refuses at once.
_END = re.compile(rb"\r\n\r\n|(?<!\r)\n")

_EMPTY_EXPECT = re.compile(rb"(?i)(?:\A|\r\n)expect:[ \t]*(?=\r\n|\Z)")


class PatientSocket:
    """A client's socket that gives up with TimeoutError when no byte has moved for ``idle`` seconds.

    A slow transfer that goes on is never cut, unless ``total`` seconds (0: no limit) have passed
    since ``begin``.
    """

    def __init__(self, sock: socket.socket, idle: float, total: float) -> None:
        self.raw = sock
        self._idle = idle
        self._total = total
        self._deadline = math.inf
        self.fileno = sock.fileno
        self.close = sock.close
        self.gettimeout = sock.gettimeout
        self.settimeout = sock.settimeout

    def begin(self) -> None:
        """A request begins: reads and writes wait."""
        if self._total:
            self._deadline = time.monotonic() + self._total
        self.raw.settimeout(self._idle)

    def _check(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request takes too long")
        self.raw.settimeout(min(self._idle, left))

    def recv(self, size: int) -> bytes:
        """Return 1 to ``size`` bytes, or b"" where the client has closed."""
        if self._total:
            self._check()
        return self.raw.recv(size)

    def sendall(self, data: bytes) -> None:
        """Send all of ``data``.

        The system may hold megabytes for a slow client before it takes more, so what counts as
        movement is that the client's system has acknowledged something, not that we could write.
        """
        view = memoryview(data)
        waiting = math.inf
        while view:
            if self._total:
                self._check()
            try:
                view = view[self.raw.send(view) :]
            except TimeoutError:
                queued = self._unacknowledged()
                if queued >= waiting:
                    raise
                waiting = queued
            else:
                if view:
                    waiting = self._unacknowledged()

    def _unacknowledged(self) -> int:
        return int(struct.unpack("i", ioctl(self.raw, termios.TIOCOUTQ, b"\0\0\0\0"))[0])


class Request(BaseRequest):
    """A request whose head is complete in the parser's buffer before it is made.

    ``sent_headers`` are the header lines in order, names as the client wrote them. ``headers`` has
    upper-case names and none with ``_``: WSGI could not tell them from those with ``-``.
    """

    def __init__(self, *args: Any) -> None:
        self.sent_headers: list[tuple[str, str]] = []
        self.expecting = False
        super().__init__(*args)

    def read_into(self, unreader: Any, buf: bytearray, stop: bool = False) -> None:
        """Take the buffered head. Asked for more, the head is not one that we read."""
        if not stop:
            raise errors.LimitRequestHeaders("header section too long")
        super().read_into(unreader, buf, stop)

    def parse_request_line(self, line_bytes: bytes) -> None:
        """Refuse a fragment too (RFC 9112, 3.2: a request target has none)."""
        super().parse_request_line(line_bytes)
        if "#" in self.uri:
            raise errors.InvalidRequestLine(self.uri)

    def parse_headers(self, data: bytes, from_trailer: bool = False) -> list[tuple[str, str]]:
        """Parse header or trailer lines; the limit holds for each section."""
        if len(data) > MAX_HEADER_SECTION:
            raise errors.LimitRequestHeaders("header section too long")
        if b"expect:" in data.lower():
            # An empty list of expectations is none (RFC 9110, 10.1.1); the parser would refuse it.
            data = _EMPTY_EXPECT.sub(b"", data).removeprefix(b"\r\n")
        headers: list[tuple[str, str]] = super().parse_headers(data, from_trailer)
        if from_trailer:
            return headers
        names = [line.partition(b":")[0].decode("latin-1") for line in data.split(b"\r\n")]
        self.sent_headers = [(name, value) for name, (_, value) in zip(names, headers, strict=True)]
        return [header for header in headers if "_" not in header[0]]

    def set_body_reader(self) -> None:
        """Decide where the body ends (RFC 9112, 6.3) and demand a Host (RFC 9112, 3.2)."""
        # Trailers and lines between chunks have the limit of the header section.
        self.max_buffer_headers = MAX_HEADER_SECTION
        for name, value in self.sent_headers:
            # A proxy that takes this for the real header sees another end of the body.
            if name.upper() in ("TRANSFER_ENCODING", "CONTENT_LENGTH"):
                raise errors.InvalidHeader(name, req=self)
            if name.upper() == "TRANSFER-ENCODING" and value.lower() != "chunked":
                raise errors.UnsupportedTransferCoding(value)
        super().set_body_reader()
        if self.version >= (1, 1) and not any(name == "HOST" for name, _ in self.headers):
            raise errors.InvalidHeader("HOST", req=self)
        self.framing = self.body.reader
        if self._expected_100_continue:
            self._expect_invitation()

    def _expect_invitation(self) -> None:
        """Hold "100 Continue" back until the body is wanted; an empty body is wanted at once.

        A client that is never invited may take the connection for one that ends with the answer
        (botocore does), and without a body there is nothing to hold back.
        """
        if self.unread:
            self.expecting = True
            self.body.reader = _Inviting(self)
        else:
            self.unreader.sock.sendall(_CONTINUE)

    @property
    def unread(self) -> float:
        """How many bytes of the body are still to come; infinite where that is not known."""
        if self.body.failed or self.expecting:
            return math.inf
        if isinstance(self.framing, LengthReader):
            return int(self.framing.length) + int(self.body.buf.tell())
        return math.inf if self.framing.parser else int(self.framing.buf.tell()) + int(self.body.buf.tell())


class _Inviting:
    """Sends "100 Continue" when the application asks for the body, not before (RFC 9110, 10.1.1)."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def read(self, size: int) -> bytes:
        request = self._request
        if request.expecting:
            request.expecting = False
            request.unreader.sock.sendall(_CONTINUE)
        data: bytes = request.framing.read(size)
        return data


class Response(wsgi.Response):
    """An answer whose head leaves together with the first bytes of its body.

    Where the request's body has been left unread the connection is not kept, and the answer says so.
    """

    headers_sent: bool

    def __init__(self, request: Request, sock: PatientSocket, cfg: Any) -> None:
        super().__init__(request, sock, cfg)
        self._head = b""
        self.begun = False

    @property
    def complete(self) -> bool:
        """Whether as many bytes were sent as the head announced."""
        return self._omits_body or self.response_length is None or self.sent == self.response_length

    def should_close(self) -> bool:
        """Whether the connection ends with this answer."""
        return bool(super().should_close()) or (not self.begun and self.req.unread > MAX_DRAIN)

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Take the application's headers, its Server and a Connection: close too."""
        super().process_headers(headers)
        for name, value in headers:
            if name.lower() == "server":
                self.version = value
            elif name.lower() == "connection" and value.lower() == "close":
                self.force_close()

    def send_headers(self) -> None:
        """Make the head; ``_emit_body`` or ``close`` sends it."""
        if not self.headers_sent:
            if self.should_close():
                self.force_close()
            lines: list[str] = self.default_headers()
            lines += [f"{name}: {value}\r\n" for name, value in self.headers]
            self._head = ("".join(lines) + "\r\n").encode("latin-1")
            self.headers_sent = True

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            data = b"%X\r\n%s\r\n" % (len(data), data)
        self._send(data)

    def _send(self, data: bytes) -> None:
        head, self._head = self._head, b""
        self.begun = True
        if head and len(data) <= _SMALL:
            data = head + data
        elif head:
            self.sock.sendall(head)
        self.sock.sendall(data)

    def close(self) -> None:
        """End the answer."""
        self.send_headers()
        if self.chunked:
            self._send(b"0\r\n\r\n")
        elif self._head:
            self._send(b"")


class Connection:
    """A client's connection: between requests a buffer for the next head, then a parser's source."""

    def __init__(self, cfg: Any, sock: PatientSocket, client: Any, server: Any) -> None:
        self.sock = sock
        self.client = client
        self.server = server
        self.head = bytearray()
        self.parser = RequestParser(cfg, sock, client)
        self.parser.mesg_class = Request
        self.timeout = math.inf
        self.queue: Any = None
        self.discarded = 0
        self.ready = False

    def fill(self, max_head: int) -> bool:
        """Take what has arrived; return whether a request can be parsed from it, or refused.

        Raises BlockingIOError or TimeoutError where nothing has, EOFError where the client has left.
        """
        searched = max(0, len(self.head) - 3)
        data = self.sock.raw.recv(_RECEIVE)
        if not data:
            raise EOFError
        self.head += data
        return self.whole(max_head, searched)

    def whole(self, max_head: int, searched: int = 0) -> bool:
        """Return whether the head is complete, or certain to be refused; hand it to the parser then."""
        if self.head[:2] == b"\r\n":  # RFC 9112, 2.2: an empty line before the request line
            del self.head[:2]
            searched = 0
        if len(self.head) <= max_head and not _END.search(self.head, searched):
            return False
        self.parser.unreader.unread(bytes(self.head))
        self.head.clear()
        return True

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()


def make_environ(request: Request, conn: Connection, base: dict[str, Any]) -> dict[str, Any]:
    """Return the WSGI environment: ``base`` and what the request says.

    ``s3shim.headers`` holds the header lines as sent; ``RAW_URI`` the target as sent.
    """
    environ = {
        **base,
        "wsgi.input": request.body,
        "REQUEST_METHOD": request.method,
        "RAW_URI": request.uri,
        "PATH_INFO": util.unquote_to_wsgi_str(request.path),
        "QUERY_STRING": request.query,
        "SERVER_PROTOCOL": f"HTTP/{request.version[0]}.{request.version[1]}",
        "SERVER_NAME": conn.server[0],
        "SERVER_PORT": str(conn.server[1]),
        "REMOTE_ADDR": conn.client[0],
        "REMOTE_PORT": str(conn.client[1]),
        "s3shim.headers": request.sent_headers,
    }
    for name, value in request.headers:
        key = name.replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    # A program that the application starts would take it for its proxy setting.
    environ.pop("HTTP_PROXY", None)
    return environ


def base_environ(workers: int) -> dict[str, Any]:
    """Return what is the same for every request of a worker."""
    return {
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": workers > 1,
        "wsgi.run_once": False,
        "wsgi.url_scheme": "http",
        # The body's reader ends by itself, so a body without Content-Length can be read.
        "wsgi.input_terminated": True,
        "SERVER_SOFTWARE": SERVER_SOFTWARE,
        "SCRIPT_NAME": "",
    }
