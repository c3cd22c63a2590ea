"""Where connections wait: one epoll for all that nobody serves, so that thousands of them cost nothing.

Each is armed for one event. Whoever takes it out of ``_waiting`` owns it; a dict gives it to one only.
"""

from __future__ import annotations

import errno
import math
import os
import select
import time
from collections.abc import Callable

from s3shim.server.connection import IDLE, Connection
from s3shim.server.lead import Lead

_ONCE = select.EPOLLIN | select.EPOLLONESHOT
# A socket can be written to nearly always, so this event comes at once, after those of the others.
_AT_ONCE = _ONCE | select.EPOLLOUT


class Lobby:
    """The open connections. The methods may be called from any thread."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._alarm = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._alarm, select.EPOLLIN)
        self._waiting: dict[int, Connection] = {}
        self._open: set[Connection] = set()
        self._lead = Lead(self._epoll.fileno(), self._alarm)

    def start(self) -> None:
        """Let threads come. Raises RuntimeError where the system has none for the watch over them."""
        self._lead.start()

    def __len__(self) -> int:
        """How many connections are open, served ones too."""
        return len(self._open)

    def admit(self, conn: Connection) -> None:
        """Let a new connection wait for its first event. Raises OSError; then it is not let in."""
        self._open.add(conn)
        self._waiting[conn.fd] = conn
        try:
            self._epoll.register(conn.fd, _ONCE)
        except OSError:
            self._waiting.pop(conn.fd, None)
            self._open.discard(conn)
            raise

    def arm(self, conn: Connection, *, again: bool = False) -> None:
        """Let a connection wait; it is nobody's from here on. ``again``: there is something to do already."""
        event = _AT_ONCE if again or conn.has_more() else _ONCE
        self._waiting[conn.fd] = conn
        try:
            self._epoll.modify(conn.fd, event)
        except OSError as error:
            # Somebody has taken and closed it meanwhile. By now the descriptor, and its place among the
            # waiting, may be those of a new connection that is about to be registered: leave it alone.
            if error.errno not in (errno.EBADF, errno.ENOENT):
                raise

    def hold(self, conn: Connection) -> None:
        """Let a connection wait for nothing but its deadline."""
        self._waiting[conn.fd] = conn

    def next(self) -> Connection | None:
        """Wait for an event and return its connection, which is the caller's; None for nothing to do.

        One thread at a time waits here for events, the others for their turn; see Lead.
        """
        lead = self._lead
        lead.take()
        lead.attendants.append(None)
        try:
            events = self._epoll.poll(-1, 1)
        finally:
            lead.attendants.pop()
        lead.came()
        for fd, _ in events:
            return self._waiting.pop(fd, None)
        return None

    def attended(self) -> bool:
        """Whether a thread is in ``next``: whatever comes is taken at once, or a tick later."""
        return self._lead.attended()

    def step_aside(self) -> None:
        """Let another thread wait for events: the calling one is about to wait for something else."""
        self._lead.give_up()

    def expired(self) -> list[Connection]:
        """Return the waiting connections whose deadline is over; they are the caller's."""
        now = time.monotonic()
        return self._taken(lambda conn: conn.deadline <= now, math.inf)

    def oldest(self) -> Connection | None:
        """Return the one that has waited longest for a request, for the caller; None where all are at one.

        A request that has come and that no thread has looked at yet is one too.
        """
        found = self._taken(
            lambda conn: conn.phase == IDLE and not conn.handshaking and not conn.has_arrived(), 1
        )
        return found[0] if found else None

    def _taken(self, wanted: Callable[[Connection], bool], most: float) -> list[Connection]:
        found: list[Connection] = []
        for fd, conn in list(self._waiting.items()):
            if len(found) >= most:
                break
            if wanted(conn) and self._waiting.pop(fd, None) is conn:
                # It may have been served between the look and the grip, and wait for something else now.
                if wanted(conn):
                    found.append(conn)
                else:
                    self.arm(conn, again=True)
        return found

    def hurry(self, seconds: float) -> None:
        """Let all that wait do so no longer than ``seconds``."""
        latest = time.monotonic() + seconds
        for conn in list(self._waiting.values()):
            conn.deadline = min(conn.deadline, latest)

    def drop(self, conn: Connection) -> None:
        """Close a connection that is the caller's."""
        self._open.discard(conn)
        conn.close()

    def wake_all(self) -> None:
        """Let ``next`` return at once, from now on."""
        os.eventfd_write(self._alarm, 1)
        self._lead.end()

    def close(self) -> None:
        """Close all connections, and what the lobby waits with."""
        for conn in list(self._open):
            self.drop(conn)
        self._lead.close()
        self._epoll.close()
        os.close(self._alarm)
