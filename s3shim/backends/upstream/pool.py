"""The connections to the upstream: opened where none is free, kept for the next request."""

from __future__ import annotations

import socket
import ssl
from collections import deque

from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.backends.upstream.wire import Connection


class NotConnected(OSError):
    """There is no connection, so nothing was sent; the cause says why."""


class Pool:
    """Connections by host. Threads share it."""

    def __init__(self, settings: UpstreamSettings, port: int, context: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._port = port
        self._context = context
        self._free: dict[str, deque[Connection]] = {}
        self._open = True

    def take(self, host: str) -> Connection:
        """Return a connection to be asked. Raises NotConnected, ssl.SSLError."""
        free = self._free.get(host)
        while free:
            try:
                connection = free.pop()
            except IndexError:
                break
            if connection.alive():
                return connection
            connection.close()
        return self._connect(host)

    def give(self, host: str, connection: Connection) -> None:
        """Keep a connection whose answer was read."""
        free = self._free.setdefault(host, deque())
        if self._open and len(free) < self._settings.connections:
            free.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close those that are free, and the others once they are."""
        self._open = False
        for free in self._free.values():
            while free:
                free.pop().close()

    def _connect(self, host: str) -> Connection:
        try:
            sock = socket.create_connection((host, self._port), self._settings.connect_timeout)
        except (OSError, UnicodeError) as error:
            raise NotConnected(str(error)) from error
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_hostname=host)
            sock.settimeout(None)
        except ssl.SSLError:
            sock.close()
            raise
        except OSError as error:
            sock.close()
            raise NotConnected(str(error)) from error
        return Connection(sock)
