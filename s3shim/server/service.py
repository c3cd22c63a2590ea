"""What the threads do: take what a client has sent, let the application answer, let the client wait again."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from http import HTTPStatus
from time import monotonic
from typing import Any

from s3shim.server.answer import MAX_DRAIN, Answer, HeaderList, refusal
from s3shim.server.body import BadChunk, Body, BodyCutShort, ChunkedBody, LengthBody
from s3shim.server.connection import ENDING, IDLE, READING, Connection, Limits
from s3shim.server.environ import make_environ
from s3shim.server.head import CHUNKED, END, Head, Refused, end_of_head, parse_head
from s3shim.server.lobby import Lobby

LINGER = 2.0
"""Seconds that a client gets to read its last answer, and a kept connection at a stop."""

_DRAIN_SECONDS = 2.0
_PIPELINED = 16  # requests of one connection before others get a turn
_LONG = 64 * 1024  # bytes of a body that takes its time
_REASON = 200  # characters
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")

HttpError = Callable[[int, str, str], tuple[str, HeaderList, bytes]]


class Service:
    """Serves the connections of ``lobby`` with the WSGI application ``wsgi``.

    ``stopping`` ends each connection with its next answer. ``served`` counts requests.
    """

    def __init__(self, wsgi: Any, lobby: Lobby, limits: Limits, log: logging.Logger) -> None:
        self.stopping = False
        self.served = 0
        self._wsgi = wsgi
        self._http_error: HttpError = getattr(wsgi, "http_error", _plain_error)
        self._lobby = lobby
        self._limits = limits
        self._log = log

    def work(self) -> None:
        """Wait for an event and serve its connection."""
        conn = self._lobby.next()
        if conn is None:
            return
        try:
            self._serve(conn)
        except OSError as error:
            self._log.debug("connection lost: %s", error)
            self._lobby.drop(conn)
        except BaseException:
            self._log.exception("a connection failed")
            self._lobby.drop(conn)

    def expire(self) -> None:
        """End the connections whose time is up."""
        for conn in self._lobby.expired():
            if _waits_for_us(conn):
                self._lobby.arm(conn, again=True)
                continue
            if conn.phase == READING:
                conn.send_now(refusal(*self._error(conn, 408, "the request head did not arrive in time")))
            self._lobby.drop(conn)

    def _serve(self, conn: Connection) -> None:
        if conn.handshaking and not conn.shake_hands():
            self._lobby.arm(conn, again=conn.wants_to_write)
            return
        if _holds_head(conn):
            # It is served before more is read: so what a client sends ahead is bounded, and done even if it
            # has closed its side by now.
            self._serve_buffer(conn)
            return
        data = conn.poll()
        if data is None:
            self._lobby.arm(conn)
        elif not data:
            self._lobby.drop(conn)
        elif conn.phase == ENDING:
            self._discard(conn, len(data))
        else:
            conn.buffer = conn.buffer + data if conn.buffer else data
            self._serve_buffer(conn)

    def _serve_buffer(self, conn: Connection) -> None:
        """Answer the requests that have come whole, then let the connection wait, or end it."""
        for _ in range(_PIPELINED):
            try:
                head = _take_head(conn)
            except Refused as refused:
                self._refuse(conn, refused.status, refused.reason)
                self._finish(conn)
                return
            if head is None:
                self._wait_on(conn)
                return
            conn.phase = IDLE
            if not self._answer(head, conn):
                self._finish(conn)
                return
        self._wait_on(conn, again=bool(conn.buffer))

    def _answer(self, head: Head, conn: Connection) -> bool:
        """Serve one request; return whether the connection may carry another."""
        conn.begin()
        body = _body(head, conn)
        if body.unread > _LONG:
            self._lobby.step_aside()
        keep = head.keep and not self.stopping and self._limits.keepalive > 0
        answer = Answer(head, body, conn, keep=keep)
        try:
            chunks = self._wsgi(make_environ(head, body, conn.base), answer.start)
            try:
                answer.send(chunks)
            finally:
                close = getattr(chunks, "close", None)
                if close is not None:
                    close()
        except OSError as error:
            self._log.debug("connection lost: %s", error)
            return False
        except Exception:
            self._log.exception("the application failed")
            if not answer.begun:
                self._refuse(conn, 500, "internal error", head_only=head.method == "HEAD")
            return False
        self.served += 1
        return answer.keep and answer.complete and _drained(conn, body)

    def _wait_on(self, conn: Connection, *, again: bool = False) -> None:
        """Let the connection wait for its next request, or for the rest of a head."""
        if not conn.buffer:
            conn.phase = IDLE
            conn.deadline = monotonic() + (
                min(self._limits.keepalive, LINGER) if self.stopping else self._limits.keepalive
            )
        elif conn.phase != READING:
            # From the first byte of the head on: more bytes do not move the deadline.
            conn.phase = READING
            conn.deadline = monotonic() + self._limits.header
        self._lobby.arm(conn, again=again)

    def _refuse(self, conn: Connection, status: int, reason: str, *, head_only: bool = False) -> None:
        """Answer what is no request; the connection ends with it."""
        conn.send(refusal(*self._error(conn, status, reason[:_REASON]), head_only=head_only))

    def _error(self, conn: Connection, status: int, reason: str) -> tuple[str, HeaderList, bytes]:
        return self._http_error(status, reason, str(conn.base["REMOTE_ADDR"]))

    def _finish(self, conn: Connection) -> None:
        # Closing with unread bytes would reset the connection and could take the answer with it.
        conn.finish()
        conn.buffer = b""
        conn.phase = ENDING
        conn.deadline = monotonic() + LINGER
        self._lobby.arm(conn)

    def _discard(self, conn: Connection, size: int) -> None:
        """Throw away what an ended client still sends, so that it can read its answer.

        Beyond the limit nothing is read any more: the client's writes stall until the time is up.
        """
        conn.discarded += size
        if conn.discarded < MAX_DRAIN:
            self._lobby.arm(conn)
        else:
            self._lobby.hold(conn)


def _holds_head(conn: Connection) -> bool:
    return conn.phase == READING and END in conn.buffer


def _waits_for_us(conn: Connection) -> bool:
    """Whether the client has done its part, and no thread has come to it yet."""
    if conn.phase == IDLE:
        return not conn.handshaking and conn.has_arrived()
    return _holds_head(conn)


def _take_head(conn: Connection) -> Head | None:
    """Take the head that the buffer begins with, None while it has not come whole. Raises Refused."""
    buffer = conn.buffer
    if buffer[:1] == b"\r" and (empty := _EMPTY_LINES.match(buffer)):
        # RFC 9112, 2.2: an empty line before the request line is no reason to refuse it.
        conn.buffer = buffer = buffer[empty.end() :]
    end = end_of_head(buffer)
    if not end:
        return None
    conn.buffer = buffer[end:]
    return parse_head(buffer if len(buffer) == end else buffer[:end])


def _body(head: Head, conn: Connection) -> Body:
    if head.length == CHUNKED:
        return ChunkedBody(conn, expects=head.expects)
    if head.expects and not head.length:
        # A client that is never invited may take the connection for one that ends with the answer (botocore
        # does), and without a body there is nothing to hold back.
        conn.invite()
    return LengthBody(conn, head.length, expects=head.expects and head.length > 0)


def _drained(conn: Connection, body: Body) -> bool:
    """Read what the application has left of a body; return whether it came to its end."""
    if body.unread:
        conn.hurry(_DRAIN_SECONDS)
        try:
            body.drain()
        except (BodyCutShort, BadChunk, OSError):
            return False
    return True


def _plain_error(status: int, reason: str, _peer: str) -> tuple[str, HeaderList, bytes]:
    return f"{status} {HTTPStatus(status).phrase}", [("Content-Type", "text/plain")], reason.encode() + b"\n"
