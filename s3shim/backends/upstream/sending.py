"""Connections that look once more, just before a change is sent, whether it may still be sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from urllib3 import PoolManager

READING = frozenset({"GET", "HEAD"})
"""The methods that change nothing."""


def guard(pools: PoolManager, sending: Callable[[], float | None]) -> None:
    """Call ``sending`` in the thread that sends a change, when it is connected and nothing has left.

    It returns for how many seconds each step of sending may take, None for as long as ever; what it raises is
    raised, and nothing is sent.
    """

    def begin(connection: Any, method: str) -> None:
        if method in READING:
            return
        if connection.sock is None:
            connection.connect()
        connection.patience = type(connection).patience
        seconds = sending()
        if seconds is not None:
            connection.patience = seconds

    pools.pool_classes_by_scheme = {
        scheme: _guarded(pool, begin) for scheme, pool in pools.pool_classes_by_scheme.items()
    }


def _guarded(pool: Any, begin: Callable[[Any, str], None]) -> Any:
    class Guarded(pool.ConnectionCls):  # type: ignore[misc]
        def request(self, method: str, url: str, *rest: Any, **named: Any) -> None:
            begin(self, method)
            super().request(method, url, *rest, **named)

    class Pool(pool):  # type: ignore[misc]
        ConnectionCls = Guarded

    return Pool
