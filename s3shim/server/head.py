"""The head of a request: parsed by llhttp, its framing decided here (RFC 9112).

What llhttp lets through but RFC 9112 or common sense does not is refused here. Where the body ends is decided
from the header lines as they were sent, never from the environ, which cannot tell ``-`` from ``_``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

MAX_REQUEST_LINE = 8190
"""Bytes of the request line: a presigned URL of a key of 1,024 bytes with a session token fits."""

MAX_HEADER_SECTION = 8192
"""Bytes of all header lines together; Amazon S3 has the same limit."""

MAX_HEADERS = 100

MAX_HEAD = MAX_REQUEST_LINE + MAX_HEADER_SECTION + len(b"\r\n\r\n\r\n")

CHUNKED = -1
"""The length of a body that comes in chunks."""

END = b"\r\n\r\n"
"""What a head ends with."""

HeaderLines = list[tuple[str, str]]

_BARE_LF = re.compile(rb"(?<!\r)\n")
_REQUEST_LINE = re.compile(rb"([A-Z][A-Z0-9_-]{0,31}) ([!-~]+) HTTP/1\.([01])")
# llhttp refuses a method that it does not know; to say so is the application's (RFC 9110, 9.1: 501 or 405).
_METHODS = {b"GET", b"HEAD", b"PUT", b"POST", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT"}
_TRANSFER_ENCODING = re.compile(rb"(?i)\r\ntransfer-encoding:([^\r\n]*)(?=\r\n)")
_LENGTH = re.compile("[0-9]{1,18}", re.ASCII)
_MAX_NAMES = 1000  # header names that are kept as text

# What decides where the body ends, whether it is invited, and who is asked.
_FRAMING = frozenset(
    [
        "connection",
        "content-length",
        "content_length",
        "expect",
        "host",
        "transfer-encoding",
        "transfer_encoding",
    ]
)


class Refused(Exception):
    """What was sent is no request that is served: the status that says so, and why."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Head:
    """A request's head. ``target`` is as sent; ``headers`` are the header lines in order, names as sent.

    ``length`` is that of the body in bytes, or CHUNKED. ``expects`` is whether the client waits for
    "100 Continue". ``keep`` is whether the client wants to keep the connection.
    """

    __slots__ = ("expects", "headers", "keep", "length", "method", "target", "version")

    def __init__(self, method: str, target: str, version: str, headers: HeaderLines) -> None:
        self.method = method
        self.target = target
        self.version = version
        self.headers = headers
        self.length = 0
        self.expects = False
        self.keep = version == "1.1"


def end_of_head(data: bytes) -> int:
    """Return the length of the head that ``data`` begins with, 0 while it has not come whole.

    Raises Refused for what cannot become one.
    """
    end = data.find(END)
    if end >= 0:
        return end + len(END)
    if _BARE_LF.search(data):
        raise Refused(400, "a line ends with a bare line feed")
    if len(data) > MAX_HEAD or (len(data) > MAX_REQUEST_LINE + 1 and b"\r\n" not in data):
        raise _too_long(data)
    return 0


def parse_head(data: bytes) -> Head:
    """Parse a whole head. Raises Refused."""
    line_end = data.find(b"\r\n")
    if line_end > MAX_REQUEST_LINE or len(data) - line_end - len(b"\r\n\r\n\r\n") > MAX_HEADER_SECTION:
        raise _too_long(data)
    line = _REQUEST_LINE.fullmatch(data, 0, line_end)
    if line is None:
        raise Refused(400, "not a request line of HTTP/1.1")
    method, target, minor = line.groups()
    headers, framing = _header_lines(data if method in _METHODS else b"POST" + data[len(method) :])
    if b"#" in target:
        raise Refused(400, "a request target has no fragment")  # RFC 9112, 3.2
    head = Head(method.decode(), target.decode(), "1.1" if minor == b"1" else "1.0", headers)
    _frame(head, framing)
    return head


class _Lines:
    """What llhttp calls."""

    __slots__ = ("on_header",)

    def __init__(self, on_header: Callable[[bytes, bytes], object]) -> None:
        self.on_header = on_header


def _header_lines(data: bytes) -> tuple[HeaderLines, HeaderLines]:
    """Return all header lines, and those that decide about framing with their names in lower case."""
    # A dict takes the lines without a call to Python; it is too short where a name comes twice.
    found: dict[bytes, bytes] = {}
    _feed(_Lines(found.setdefault), data)
    count = data.count(b"\r\n") - 2
    if count > MAX_HEADERS:
        raise Refused(431, "too many header lines")
    lines: Iterable[tuple[bytes, bytes]] = found.items()
    if len(found) != count:
        lines = several = []
        _feed(_Lines(lambda name, value: several.append((name, value))), data)
    headers: HeaderLines = []
    framing: HeaderLines = []
    for sent, value in lines:
        name, kind = _names.get(sent) or _name(sent)
        text = value.rstrip(b" \t").decode("latin-1")
        headers.append((name, text))
        if kind:
            framing.append((kind, text))
    return headers, framing


def _feed(lines: _Lines, data: bytes) -> None:
    try:
        HttpRequestParser(lines).feed_data(data)
    except HttpParserUpgrade:
        pass  # nobody has to follow to another protocol: the request is answered as it is
    except HttpParserError as error:
        raise _refused(data, str(error)) from None


def _refused(data: bytes, reason: str) -> Refused:
    # llhttp tells errors apart by words only. A transfer coding that nobody knows is 501 (RFC 9112, 6.1).
    codings = _TRANSFER_ENCODING.findall(data)
    unknown = len(codings) == 1 and codings[0].strip(b" \t").lower() != b"chunked"
    return Refused(501 if unknown else 400, reason)


def _too_long(data: bytes) -> Refused:
    line = data.find(b"\r\n")
    if not 0 <= line <= MAX_REQUEST_LINE:
        return Refused(414, "request line too long")
    return Refused(431, "header section too long")


_names: dict[bytes, tuple[str, str]] = {}


def _name(sent: bytes) -> tuple[str, str]:
    """Return a header's name as text, and in lower case where it decides about framing, else empty."""
    name = sent.decode("latin-1")
    lower = name.lower()
    found = name, (lower if lower in _FRAMING else "")
    if len(_names) < _MAX_NAMES:
        _names[sent] = found
    return found


def _frame(head: Head, lines: HeaderLines) -> None:
    """Decide where the body ends (RFC 9112, 6.3), and demand one Host (RFC 9112, 3.2)."""
    hosts = 0
    closing = False
    length: str | None = None
    coding: str | None = None
    for name, value in lines:
        if name == "host":
            hosts += 1
        elif name == "content-length":
            if length is not None or not _LENGTH.fullmatch(value):
                raise Refused(400, "Content-Length is not one number")
            length = value
        elif name == "transfer-encoding":
            if coding is not None:
                raise Refused(400, "more than one Transfer-Encoding")
            coding = value.lower()
        elif name == "connection":
            closing = _asks_to_close(head, value) or closing
        elif name == "expect":
            _take_expectation(head, value)
        else:
            # A proxy that takes it for the real one sees another end of the body.
            raise Refused(400, f"the header {name} passes for another")
    if closing:
        head.keep = False
    if hosts != 1 and (hosts or head.version == "1.1"):
        raise Refused(400, "there must be one Host")
    if coding is not None:
        if coding != "chunked":
            raise Refused(501, "unknown transfer coding")
        if length is not None or head.version == "1.0":
            raise Refused(400, "Transfer-Encoding is not possible here")
        head.length = CHUNKED
    elif length is not None:
        head.length = int(length)


def _asks_to_close(head: Head, value: str) -> bool:
    tokens = {token.strip(" \t") for token in value.lower().split(",")}
    if head.version == "1.0" and "keep-alive" in tokens:
        head.keep = True
    return "close" in tokens


def _take_expectation(head: Head, value: str) -> None:
    # An empty list of expectations is none (RFC 9110, 10.1.1).
    if value.lower() == "100-continue":
        head.expects = head.version == "1.1"
    elif value:
        raise Refused(417, "unknown expectation")
