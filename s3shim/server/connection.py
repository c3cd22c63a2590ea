"""A client's connection: bytes in and out of a socket that never blocks, with a limit on every wait.

A wait that is not over in a moment gives the thread's seat to another one; see Crew.
"""

from __future__ import annotations

import errno
import fcntl
import math
import os
import select
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass

from s3shim.server.crew import NotSpared

RECEIVE = 16 * 1024
"""Bytes that are read at once where a head may come."""

_MOST = 256 * 1024  # bytes read, or sent from a file over TLS, at once
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_WANTS = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_MOMENT = 0.05  # seconds that a thread waits for a client, in all of a request, before another takes its seat
_SHORT_MOMENT = 0.005  # and where nobody is free for others that have sent something
_RATE_AFTER = 30.0  # seconds of waiting after which the rate of a body counts

_NO_SENDFILE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)  # from file systems that do not support it

_MORE = getattr(socket, "MSG_MORE", 0)

IDLE, READING, ENDING = range(3)
"""The phases of a connection: no byte of a request has come; a part of a head has; the last answer is out."""


@dataclass(slots=True)
class Limits:
    """How long a client is waited for, in seconds; ``rate`` in bytes per second, 0 is none.

    ``header``: for a head, from its first byte. ``keepalive``: for the next request. ``idle``: without a
    byte moving, in a body or an answer. ``body``: for a whole body, from the end of its head, 0 is none.
    ``request``: for a whole request, 0 is none. ``rate``: the least at which a body has to come, over all the
    time that was spent waiting for it.
    """

    header: float = 10.0
    keepalive: float = 20.0
    idle: float = 60.0
    request: float = 0.0
    rate: int = 0
    body: float = 0.0


class Connection:
    """One client. Between requests it is nobody's; one thread has it while it is served.

    ``buffer`` is what has come and was not asked for yet. ``phase`` is IDLE, READING or ENDING, and
    ``deadline`` (time.monotonic) until when that may last. ``discarded`` counts the bytes thrown away after
    the last answer. ``away`` and ``short`` are the crew's, ``aside`` is the
    lobby's.
    """

    __slots__ = (
        "_away", "_body_end", "_end", "_limits", "_received", "_short", "_waited", "base", "buffer",
        "deadline", "discarded", "fd", "handshaking", "phase", "secure", "sock", "step_aside",
        "wants_to_write",
    )  # fmt: skip

    def __init__(
        self,
        sock: socket.socket,
        base: dict[str, object],
        limits: Limits,
        away: Callable[[int], AbstractContextManager[None]],
        short: Callable[[], bool] = lambda: False,
        aside: Callable[[], None] = lambda: None,
    ) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.base = base
        self.buffer = b""
        self.deadline = math.inf
        self.wants_to_write = False
        self.phase = IDLE
        self.discarded = 0
        self.secure = self.handshaking = isinstance(sock, ssl.SSLSocket)
        self._limits = limits
        self._away = away
        self._short = short
        self.step_aside = aside
        self._end = self._body_end = math.inf
        self._waited = 0.0
        self._received = 0

    def begin(self) -> None:
        """A request begins."""
        self._waited = 0.0
        self._received = 0
        self._end = self._body_end = math.inf
        limits = self._limits
        if limits.request:
            self._end = self._body_end = time.monotonic() + limits.request
        if limits.body:
            self._body_end = min(self._body_end, time.monotonic() + limits.body)

    def hurry(self, seconds: float) -> None:
        """Give what is left of the request no more than ``seconds``."""
        self._end = min(self._end, time.monotonic() + seconds)
        self._body_end = min(self._body_end, self._end)

    # -- in

    def shake_hands(self) -> bool:
        """Go on with the TLS handshake; return whether it is done. Raises OSError where it fails."""
        assert isinstance(self.sock, ssl.SSLSocket)
        self.wants_to_write = False
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLWantWriteError:
            self.wants_to_write = True
            return False
        self.handshaking = False
        return True

    def has_more(self) -> bool:
        """Whether TLS has decrypted more than was taken; the socket does not tell of it."""
        return isinstance(self.sock, ssl.SSLSocket) and not self.handshaking and self.sock.pending() > 0

    def has_arrived(self) -> bool:
        """Whether there is something to read, were it the end."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(0))

    def poll(self) -> bytes | None:
        """Return what has arrived, b"" where the client has gone, None where nothing has. Raises OSError."""
        try:
            return self.sock.recv(RECEIVE)
        except _WANTS:
            return None

    def take(self, size: int) -> bytes:
        """Return 1 to ``size`` bytes of a body, b"" where the client has gone.

        Raises TimeoutError, OSError.
        """
        buffer = self.buffer
        if buffer:
            self.buffer = buffer[size:]
            return buffer[:size]
        size = min(size, _MOST)
        while True:
            try:
                data = self.sock.recv(size)
            except ssl.SSLWantWriteError:
                self._wait(select.POLLOUT)
            except _WANTS:
                self._wait(select.POLLIN, end=self._body_end)
                self._check_rate()
            else:
                self._received += len(data)
                if self._body_end < math.inf:
                    self._check_time()
                return data

    def give_back(self, data: bytes) -> None:
        """Take back what belongs to the next request."""
        self.buffer = data + self.buffer

    def invite(self) -> None:
        """Send "100 Continue"."""
        self.send(_CONTINUE)

    def _check_rate(self) -> None:
        rate = self._limits.rate
        if rate and self._waited > _RATE_AFTER and self._received < self._waited * rate:
            raise TimeoutError("the body comes too slowly")

    # -- out

    def send(self, data: bytes | memoryview, *, more: bool = False) -> None:
        """Send all of ``data``; with ``more`` the system may hold it back until more is sent.

        Raises TimeoutError, OSError.
        """
        try:
            sent = self.sock.send(data, _MORE) if more and not self.secure else self.sock.send(data)
        except _WANTS:
            sent = 0
        if sent < len(data):
            self._send_rest(memoryview(data)[sent:])

    def _send_rest(self, view: memoryview) -> None:
        while view:
            self._wait_out(len(view))
            try:
                view = view[self.sock.send(view) :]
            except _WANTS:
                continue

    def send_file(self, fd: int, offset: int, length: int) -> None:
        """Send a piece of a file. Raises TimeoutError, OSError; EOFError where the file is shorter."""
        direct = not self.secure
        while length > 0:
            try:
                if direct:
                    sent = os.sendfile(self.fd, fd, offset, length)
                else:
                    data = os.pread(fd, min(length, _MOST), offset)
                    self.send(data)
                    sent = len(data)
            except BlockingIOError:
                self._wait_out()
                continue
            except OSError as error:
                if not direct or error.errno not in _NO_SENDFILE:
                    raise
                direct = False
                continue
            if not sent:
                raise EOFError("the file is shorter than its answer")
            offset += sent
            length -= sent

    def _wait_out(self, held: int = 0) -> None:
        # The system may hold megabytes for a slow client before it takes more, so what counts as movement is
        # that the client's system has acknowledged something, not that we could write.
        waiting = self._unacknowledged()
        while True:
            try:
                self._wait(select.POLLOUT, held)
            except NotSpared:
                raise
            except TimeoutError:
                queued = self._unacknowledged()
                if queued >= waiting:
                    raise
                waiting = queued
            else:
                return

    def _unacknowledged(self) -> int:
        return int(struct.unpack("i", fcntl.ioctl(self.fd, termios.TIOCOUTQ, b"\0\0\0\0"))[0])

    # -- time

    def _check_time(self) -> None:
        if self._body_end <= time.monotonic():
            raise TimeoutError("the body takes too long")

    def _wait(self, events: int, held: int = 0, end: float | None = None) -> None:
        """Wait until the socket is ready, with ``held`` bytes to send, until ``end`` or that of the request.

        Raises TimeoutError.
        """
        self.step_aside()
        began = time.monotonic()
        patience = min(self._limits.idle, (self._end if end is None else end) - began)
        poll = select.poll()
        poll.register(self.fd, events)
        most = _SHORT_MOMENT if self._short() else _MOMENT
        moment = max(min(most - self._waited, patience), 0)
        ready = poll.poll(moment * 1000)
        if not ready and patience > moment:
            with self._away(held):
                ready = poll.poll((patience - moment) * 1000)
        self._waited += time.monotonic() - began
        if not ready:
            raise TimeoutError("the client does not go on")

    # -- the end

    def send_now(self, data: bytes) -> None:
        """Send what goes without waiting, if anything does."""
        with suppress(OSError):
            self.sock.send(data)

    def finish(self) -> None:
        """Tell the client that nothing more comes. Raises OSError."""
        self._close_tls()
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the socket."""
        self._close_tls()
        self.sock.close()

    def _close_tls(self) -> None:
        # Without close_notify the client cannot tell this end from an attacker's (RFC 8446, 6.1). The
        # client's own is not waited for: that is what the OSError says.
        if isinstance(self.sock, ssl.SSLSocket) and not self.handshaking:
            with suppress(OSError, ValueError):
                self.sock.unwrap()
