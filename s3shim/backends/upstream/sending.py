"""Connections that look once more, just before a change is sent, whether it may still be sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection

READING = frozenset({"GET", "HEAD"})
"""The methods that change nothing."""


def guard(pools: PoolManager, sending: Callable[[], float | None]) -> None:
    """Call ``sending`` in the thread that sends a change, when it is connected and nothing has left.

    It returns for how many seconds each step of sending may take, None for as long as ever; what it raises is
    raised, and nothing is sent.
    """

    def begin(connection: HTTPConnection, method: str) -> None:
        if method in READING:
            return
        if connection.sock is None:
            connection.connect()
        seconds = sending()
        if seconds is not None:
            # urllib3 sets the socket's from it when it sends, and anew when it waits for the answer.
            connection.timeout = seconds

    class Plain(HTTPConnection):
        def request(self, method: str, url: str, *rest: Any, **named: Any) -> None:
            begin(self, method)
            super().request(method, url, *rest, **named)

    class Secure(HTTPSConnection):
        def request(self, method: str, url: str, *rest: Any, **named: Any) -> None:
            begin(self, method)
            super().request(method, url, *rest, **named)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    pools.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
