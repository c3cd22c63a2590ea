"""The gunicorn worker: it takes connections, and lets threads serve them until it is told to stop.

The main thread takes connections and watches deadlines; the threads of the crew wait in the lobby's epoll.
Who gets an event has the connection, without a hand-over between threads. A head that has not come whole
holds no thread, and a thread that waits for a slow client gives its seat away.
"""

from __future__ import annotations

import errno
import gc
import math
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.sock import ssl_context
from gunicorn.workers.base import Worker as BaseWorker

from s3shim.server.connection import Connection, Limits
from s3shim.server.crew import Crew
from s3shim.server.environ import base_environ, connection_environ
from s3shim.server.lobby import Lobby
from s3shim.server.service import LINGER, Service

_HELD = (signal.SIGTERM, signal.SIGQUIT, signal.SIGINT)
_NO_ROOM = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_TICK = 0.5  # seconds between two looks at the deadlines
_HOUSEKEEPING = 20.0  # seconds between two calls of housekeeping
_STAND_INS = 512  # threads, at most, in place of those that wait for clients
_COMPLAINTS = 10.0  # seconds between two messages of the same kind
_DESCRIPTORS = 64  # that are no connections, and
_DESCRIPTORS_OF_A_THREAD = 8
_DESCRIPTORS_OF_A_STAND_IN = 2


class Worker(BaseWorker):
    """gunicorn's worker with threads, deadlines (see Limits) and sendfile.

    An application with ``http_error(status, reason, peer) -> (status line, headers, body)`` answers what
    never becomes a request: framing errors, time-outs of the head, and its own crashes; ``peer`` is the other
    end's address, as REMOTE_ADDR. It finds the header lines as sent in ``environ["s3shim.headers"]``, and
    where ``environ["s3shim.sendfile"]`` is true it may yield pieces of files: objects with ``fd``, ``offset``
    and ``length``. gunicorn's hooks pre_request and post_request and its access log are not called.
    """

    limits = Limits()

    @staticmethod
    def housekeeping() -> None:
        """Do what is to be done now and then in each worker; worker_class may say what."""

    @staticmethod
    def waits(announce: Callable[[], None]) -> None:
        """Take what a thread is to call before it waits for something; worker_class may say how."""

    def run(self) -> None:
        """Serve until told to stop, then let running requests end."""
        threads = self.cfg.threads
        self.most = _make_room_for(self.cfg.worker_connections, threads)
        self.tls = ssl_context(self.cfg) if self.cfg.is_ssl else None
        self.base = base_environ(workers=self.cfg.workers, secure=self.cfg.is_ssl)
        self.lobby = Lobby()
        self.service = Service(self.wsgi, self.lobby, self.limits, self.log)
        self.crew = Crew(self.service.work, threads, threads + _STAND_INS, self.lobby.attended)
        # What is there now stays: it is not worth another look of the collector.
        gc.collect()
        gc.freeze()
        self.lobby.start()
        self.waits(self.lobby.step_aside)
        self.crew.start()
        arrivals = select.poll()
        listeners = {listener.fileno(): listener for listener in self.sockets}
        for fd, listener in listeners.items():
            listener.setblocking(False)
            arrivals.register(fd, select.POLLIN)
        arrivals.register(self.PIPE[0], select.POLLIN)
        due = 0.0
        self.rested = time.monotonic()
        self.complained = -math.inf
        while self.alive:
            for fd, _ in arrivals.poll(max(due - time.monotonic(), 0) * 1000):
                if fd in listeners:
                    self.accept(listeners[fd])
                else:
                    os.read(fd, 4096)  # the signals have been seen to
            if time.monotonic() >= due:
                self.tick()
                due = time.monotonic() + _TICK
        self.stop()

    def tick(self) -> None:
        """Do what is due now and then. An orphan stops as at SIGTERM: its answers end their connections."""
        self.notify()
        self.service.expire()
        if time.monotonic() - self.rested > _HOUSEKEEPING:
            self.housekeeping()
            self.rested = time.monotonic()
        if self.ppid != os.getppid() or self.service.served >= self.max_requests:
            self.alive = False

    def accept(self, listener: Any) -> bool:
        """Take a connection, and return whether there was one.

        Where there are too many, the one that has waited longest makes room.
        """
        oldest = None
        if len(self.lobby) >= self.most:
            oldest = self.lobby.oldest()
            if oldest is None:
                self.hold_back("all connections are at a request")
                return False
        try:
            sock, peer = listener.accept()
        except OSError as error:
            if error.errno in _NO_ROOM:
                oldest = oldest or self.lobby.oldest()
                if oldest is None:
                    self.hold_back(str(error))
                else:
                    self.lobby.drop(oldest)
            elif oldest is not None:
                self.lobby.arm(oldest, again=True)  # another worker was faster
            return False
        if oldest is not None:
            self.lobby.drop(oldest)
        self.admit(sock, peer)
        return True

    def admit(self, sock: socket.socket, peer: Any) -> None:
        """Let a new connection in."""
        try:
            here = sock.getsockname()
            sock.setblocking(False)
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            base = connection_environ(self.base, peer, here)
            conn = Connection(sock, base, self.limits, self.crew.away, self.crew.short, self.lobby.step_aside)
            conn.deadline = time.monotonic() + (self.limits.header if self.tls else self.limits.keepalive)
            self.lobby.admit(conn)
        except OSError as error:
            self.log.debug("connection lost: %s", error)
            sock.close()

    def hold_back(self, reason: str) -> None:
        """Leave new connections to the system's queue, and to other workers, for a moment."""
        if time.monotonic() - self.complained > _COMPLAINTS:
            self.log.error("cannot accept a connection: %s", reason)
            self.complained = time.monotonic()
        time.sleep(_TICK / 5)

    def stop(self) -> None:
        """Let running requests end, for the graceful time-out; kept connections get a moment."""
        self.service.stopping = True
        for listener in self.sockets:
            # Who waits to be accepted may have sent a request: closing would reset it.
            while self.accept(listener):
                pass
            listener.close()
        self.lobby.hurry(LINGER)
        end = time.monotonic() + self.cfg.graceful_timeout
        while len(self.lobby) and time.monotonic() < end:
            self.notify()
            self.service.expire()
            time.sleep(0.02)
        self.crew.end()
        self.lobby.wake_all()
        end = time.monotonic() + 1
        while not self.crew.gone and time.monotonic() < end:
            time.sleep(0.005)
        if not self.crew.gone:
            os._exit(0)  # threads that wait for a client are not waited for

    def init_signals(self) -> None:
        """Take the signals that have come since the fork, now that they reach the worker."""
        super().init_signals()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """SIGQUIT, SIGINT: stop now. Threads that wait for a client are not waited for."""
        self.alive = False
        os._exit(0)


def _make_room_for(connections: int, threads: int) -> int:
    """Raise the limit of descriptors as far as needed and permitted; return how many connections fit.

    Where it stays low, half of it is for connections.
    """
    others = _DESCRIPTORS + _DESCRIPTORS_OF_A_THREAD * threads + _DESCRIPTORS_OF_A_STAND_IN * _STAND_INS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + others
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return max(min(connections, max(soft - others, soft // 2)), 1)
    return connections


def hold_signals_over_forks() -> None:
    """Keep the signals that stop a worker until it listens to them. Call it once, in the master.

    Else one that comes just after the fork meets the master's handler in the worker and is lost:
    the worker serves on, and the master waits for it until the graceful time-out is over.
    """
    os.register_at_fork(
        before=partial(signal.pthread_sigmask, signal.SIG_BLOCK, _HELD),
        after_in_parent=partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, _HELD),
    )


def worker_class(
    limits: Limits,
    housekeeping: Callable[[], None] | None = None,
    waits: Callable[[Callable[[], None]], None] | None = None,
) -> type[Worker]:
    """Return a worker class with these limits; their ``keepalive`` is gunicorn's setting of that name.

    ``housekeeping`` is called in the main thread of each worker, every 20 seconds. ``waits`` is given, once
    in each worker, what threads are to call before they wait for something but their client.
    """
    members: dict[str, Any] = {"limits": limits}
    if housekeeping is not None:
        members["housekeeping"] = staticmethod(housekeeping)
    if waits is not None:
        members["waits"] = staticmethod(waits)
    return type("Worker", (Worker,), members)
