"""What h11, strict and by another hand, sees in a stream of requests."""

from __future__ import annotations

import re
from dataclasses import dataclass

import h11

MOST = 1 << 17  # bytes of a head or of what surrounds chunks: the limits are tested elsewhere

_EMPTY_LINES = re.compile(rb"(?:\r\n)+")


@dataclass
class Seen:
    """A request; ``body`` is None where it is not whole."""

    method: str
    target: str
    body: bytes | None


def requests_in(stream: bytes) -> list[Seen]:
    """Return the requests of a whole stream, up to the first fault or the end of the connection.

    In two points h11 is not followed. It refuses empty lines before a request, which RFC 9112, 2.2 says to
    ignore; and it does not keep connections of HTTP/1.0 (RFC 9112, 9.3), which clients may ask for.
    """
    found: list[Seen] = []
    while stream:
        empty = _EMPTY_LINES.match(stream)
        if empty:
            stream = stream[empty.end() :]
        seen, rest = _first(stream)
        if seen is None:
            break
        found.append(seen)
        if rest is None:
            break
        stream = rest
    return found


def _first(stream: bytes) -> tuple[Seen | None, bytes | None]:
    """Return the first request, and what follows it on the connection, None where nothing may."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST)
    connection.receive_data(stream)
    connection.receive_data(b"")
    seen = None
    parts: list[bytes] = []
    kept = False
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                seen = Seen(event.method.decode(), event.target.decode(), None)
                kept = event.http_version == b"1.1" or _asks_to_keep(event)
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                assert seen is not None
                seen.body = b"".join(parts)
                old = connection.their_http_version == b"1.0"
                kept = kept and (old or connection.their_state is not h11.MUST_CLOSE)
                return seen, connection.trailing_data[0] if kept else None
            else:
                return seen, None
    except h11.RemoteProtocolError:
        return seen, None


def _asks_to_keep(request: h11.Request) -> bool:
    values = b",".join(value for name, value in request.headers if name == b"connection")
    tokens = {token.strip() for token in values.lower().split(b",")}
    return b"keep-alive" in tokens and b"close" not in tokens
