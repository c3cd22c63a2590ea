"""Plain connections for small reads and long writes, each of one thread at a time, without the loop.

Most of what a small read costs is the way into the loop and back: two changes of threads, a task, its
futures, a timer. A thread that sends its question itself and waits for the answer pays a third of that. Only
what may be asked twice goes this way: whatever is not an answer is asked again through the loop, with its
retries and its deadline; and chunks, under a nuid that is thrown away where one of them fails. Servers that
demand TLS or a signed nonce are talked to through the loop alone.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Sequence
from urllib.parse import ParseResult

from nats.aio.client import Client

from s3shim.backends.nats.settings import NatsSettings
from s3shim.waiting import WAITS

_PATIENCE = 2.5
"""Seconds without an answer after which the loop is asked, which has at least four times as many."""

_PAUSE = 1.0
_KEPT = 64
_SHORT = 0.0005  # seconds for an answer, as a rule, for which nobody is to be told that there is a wait
_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 16
_STATUS, _END = b"NATS/1.0 ", (b"NATS/1.0 204", b"NATS/1.0 404")


class Unanswered(Exception):
    """No answer came; the question may be asked again."""


class Wire:
    """One connection. Raises OSError and ValueError where the server is not one that can be talked to."""

    def __init__(self, address: tuple[str, int], login: dict[str, str], patience: float) -> None:
        self.address = address
        self._buffer = b""
        self._at = 0
        self._inbox = b"_INBOX.s3shim"
        self._number = 0
        self._patience = 0.0
        self._usual = 0.0
        self._socket = socket.create_connection(address, patience)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.settimeout(None)
            self.be_patient(patience)
            self._greet(login)
        except BaseException:
            self._socket.close()
            raise

    def _greet(self, login: dict[str, str]) -> None:
        info = json.loads(self._line().removeprefix(b"INFO "))
        if info.get("tls_required"):
            raise ValueError("the server demands TLS")
        self._inbox = f"_INBOX.{info['client_id']}{int(time.time() * 1e6):x}".encode()
        hello = {"verbose": False, "pedantic": False, "lang": "python3", "version": "1", "protocol": 1}
        hello |= {"headers": True, "no_responders": True, "name": "s3shim", **login}
        greeting = b"CONNECT %b\r\nSUB %b.* 1\r\n" % (json.dumps(hello).encode(), self._inbox)
        self._socket.sendall(greeting)
        self.ping()

    def ask(self, subject: str, payload: bytes, *, batch: bool = True) -> list[tuple[bytes, bytes]]:
        """Return the answer, or the messages of a batch: of each its headers as they came, and its data.

        Where it is no ``batch`` a message has no end behind it. Raises Unanswered; OSError and ValueError
        where the connection is of no use any more.
        """
        reply = self.new_reply()
        self._socket.sendall(b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply, len(payload), payload))
        if self._usual > _SHORT:
            WAITS.announce()
        asked = time.monotonic()
        found: list[tuple[bytes, bytes]] = []
        while True:
            head, data = self.receive(reply)
            if not found:
                self._usual += (time.monotonic() - asked - self._usual) / 8
            if not head:
                return [(b"", data)]
            if head.startswith(_END):
                return found
            if head.startswith(_STATUS):
                raise Unanswered
            found.append((head, data))
            if not batch:
                return found

    def new_reply(self) -> bytes:
        """Return a subject that no answer has come on."""
        self._number += 1
        return b"%b.%x" % (self._inbox, self._number)

    def send(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Send bytes in order, to be stored. Raises OSError: the connection is of no use then."""
        WAITS.announce()
        sent = self._socket.sendmsg(pieces)
        for piece in pieces:
            if sent < len(piece):
                self._socket.sendall(memoryview(piece)[sent:])
            sent = max(sent - len(piece), 0)

    def receive(self, reply: bytes) -> tuple[bytes, bytes]:
        """Return the next message on ``reply``; see ``next``."""
        while True:
            subject, head, data = self.next()
            if subject == reply:
                return head, data

    def next(self) -> tuple[bytes, bytes, bytes]:
        """Return the next message: its subject, its headers as they came, b"" for none, and its data.

        Raises OSError, ValueError, IndexError: the connection is of no use then.
        """
        while True:
            words = self._line().split()
            if words[0] in (b"MSG", b"HMSG"):
                data = self._take(int(words[-1]))
                size = int(words[-2]) if words[0] == b"HMSG" else 0
                return words[1], data[:size], data[size:]
            if words[0] == b"PING":
                self._socket.sendall(b"PONG\r\n")
            elif words[0] == b"-ERR":
                raise ValueError(b" ".join(words).decode("utf-8", "replace"))

    def ping(self) -> None:
        """Raise OSError, ValueError where nobody is at the other end."""
        self._socket.sendall(b"PING\r\n")
        while (line := self._line()) != b"PONG":
            if line.startswith(b"-ERR"):
                raise ValueError(line.decode("utf-8", "replace"))

    def be_patient(self, seconds: float) -> None:
        """Wait so long at most in each call of the kernel."""
        if seconds == self._patience:
            return
        self._patience = seconds
        # The kernel's own timeout: Python's costs a poll before each call.
        limit = struct.pack("ll", *divmod(int(seconds * 1_000_000), 1_000_000))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n", self._at)) < 0:
            if len(self._buffer) - self._at > _LONGEST_LINE:
                raise ValueError("that is not NATS")
            more = self._more()
            self._buffer, self._at = self._buffer[self._at :] + more, 0
        line = self._buffer[self._at : end]
        self._at = end + 2
        return line

    def _take(self, size: int) -> bytes:
        missing = self._at + size + 2 - len(self._buffer)
        if missing > 0:
            pieces = [self._buffer[self._at :]]
            while missing > 0:
                pieces.append(self._more())
                missing -= len(pieces[-1])
            self._buffer, self._at = b"".join(pieces), 0
        start = self._at
        self._at += size + 2
        return self._buffer[start : start + size]

    def _more(self) -> bytes:
        data = self._socket.recv(_CHUNK)
        if not data:
            raise OSError("the server has closed the connection")
        return data

    def close(self) -> None:
        """Close it."""
        self._socket.close()


class Wires:
    """The connections of this process that nobody uses just now, all to the server that the loop talks to."""

    def __init__(self, settings: NatsSettings) -> None:
        self._login = _login(settings)
        self._patience = min(_PATIENCE, settings.timeout / 4)
        # With an authority of its own TLS is a must: whoever is in the middle must not be told the password.
        by_loop = (settings.nkey, settings.creds, settings.tls_ca, settings.tls_cert)
        self._by_loop = any(file is not None for file in by_loop)
        self._free: list[Wire] = []
        self._not_before = 0.0
        self._lock = threading.Lock()
        self._closed = False
        self._server: tuple[ParseResult | None, tuple[str, int]] = (None, ("", 0))

    def ask(
        self, client: Client, subject: str, payload: bytes, *, batch: bool = True
    ) -> list[tuple[bytes, bytes]]:
        """Return what ``Wire.ask`` does. ``client`` is the loop's. Raises Unanswered."""
        wire = self.reach(client)
        try:
            answer = wire.ask(subject, payload, batch=batch)
        except Unanswered:
            self.give_back(wire)
            raise
        except (OSError, ValueError, IndexError) as error:
            self.lose(wire, error)
            raise Unanswered from None
        self.give_back(wire)
        return answer

    def borrow(self, client: Client, patience: float) -> Wire:
        """Return a connection that lives, to be given back or closed. Raises Unanswered."""
        while True:
            wire = self.reach(client)
            try:
                wire.ping()
                wire.be_patient(patience)
                return wire
            except (OSError, ValueError) as error:
                self.lose(wire, error)

    def lose(self, wire: Wire, error: Exception) -> None:
        """Close a connection that failed; where the server says nothing, leave it alone for a while."""
        wire.close()
        if isinstance(error, BlockingIOError):
            self._not_before = time.monotonic() + _PAUSE

    def give_back(self, wire: Wire) -> None:
        """Keep a connection on which nothing is outstanding."""
        wire.be_patient(self._patience)
        with self._lock:
            if not self._closed and len(self._free) < _KEPT:
                self._free.append(wire)
                return
        wire.close()

    def reach(self, client: Client) -> Wire:
        """Return a connection, to be given back or closed. Raises Unanswered."""
        if self._by_loop or not client.is_connected or time.monotonic() < self._not_before:
            raise Unanswered
        try:
            if getattr(client, "_server_info", {}).get("tls_required"):
                raise ValueError("the server demands TLS")
            return self._wire(client.connected_url)
        except (OSError, ValueError, KeyError):
            self._not_before = time.monotonic() + _PAUSE
            raise Unanswered from None

    def _wire(self, url: ParseResult | None) -> Wire:
        known, address = self._server
        if url is None or url is not known:
            if url is None or url.hostname is None or url.scheme not in ("nats", "tcp"):
                raise ValueError("there is no server of plain TCP")
            address = (url.hostname, url.port or 4222)
            self._server = url, address
        while self._free:
            try:
                wire = self._free.pop()
            except IndexError:
                break
            if wire.address == address:
                return wire
            wire.close()
        return Wire(address, self._login or _login_in(url), self._patience)

    def close(self) -> None:
        """Close all that nobody uses; the rest follows."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for wire in free:
            wire.close()


def _login(settings: NatsSettings) -> dict[str, str]:
    if settings.user is not None:
        return {"user": settings.user, "pass": settings.password or ""}
    return {} if settings.token is None else {"auth_token": settings.token}


def _login_in(url: ParseResult) -> dict[str, str]:
    if not url.username:
        return {}
    if url.password is None:
        return {"auth_token": url.username}
    return {"user": url.username, "pass": url.password}
