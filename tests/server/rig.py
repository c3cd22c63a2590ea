"""The worker's classes without gunicorn: a service, a few threads, and connections that are socket pairs."""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from s3shim.server.connection import Connection, Limits
from s3shim.server.crew import Crew
from s3shim.server.environ import base_environ, connection_environ
from s3shim.server.lobby import Lobby
from s3shim.server.service import Service
from tests.server.process import Client

PATIENCE = 10.0


class Complaints(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.texts.append(self.format(record))


class Rig(AbstractContextManager["Rig"]):
    """Serves the WSGI application ``app``; ``complaints`` are the errors that the service has logged."""

    def __init__(self, app: Any, limits: Limits | None = None, *, threads: int = 2, most: int = 100) -> None:
        log = logging.Logger("rig", logging.ERROR)
        complaints = Complaints()
        log.addHandler(complaints)
        self.complaints = complaints.texts
        self.limits = limits or Limits(header=PATIENCE, keepalive=PATIENCE, idle=PATIENCE)
        self.lobby = Lobby()
        self.service = Service(app, self.lobby, self.limits, log)
        self.crew = Crew(self.service.work, threads, most, self.lobby.attended)
        self.lobby.start()
        self.crew.start()
        self._ended = threading.Event()
        self._clock = threading.Thread(target=self._tick, daemon=True)
        self._clock.start()
        self._base = connection_environ(base_environ(workers=1, secure=False), "", "")

    def _tick(self) -> None:
        while not self._ended.wait(0.1):
            self.service.expire()

    def connect(self) -> Client:
        """Return the client's end of a new connection."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        conn = Connection(
            ours, self._base, self.limits, self.crew.away, self.crew.short, self.lobby.step_aside
        )
        conn.deadline = math.inf
        theirs.settimeout(PATIENCE)
        self.lobby.admit(conn)
        return Client(theirs)

    def exchange(self, pieces: Iterable[bytes]) -> bytes:
        """Send ``pieces`` on a new connection, close that side, return all that comes back.

        Raises TimeoutError where the connection does not end.
        """
        with self.connect() as client:
            try:
                for piece in pieces:
                    client.sock.sendall(piece)
                client.sock.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has been refused before all of it was sent
            received = bytearray()
            while data := client.receive():
                received += data
            return bytes(received)

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._clock.join()
        self.crew.end()
        self.lobby.wake_all()
        deadline = time.monotonic() + PATIENCE
        while not self.crew.gone and time.monotonic() < deadline:
            time.sleep(0.001)
        assert self.crew.gone
        self.lobby.close()
