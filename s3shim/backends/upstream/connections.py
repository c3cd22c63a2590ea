"""Connections that let a body take its time, as long as it moves.

urllib3 holds each ``sendall``, of a whole body too, against the time that there is to connect: an upstream
that takes nothing for a moment, or a line that is slow, would end an upload within seconds.
"""

from __future__ import annotations

from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

_PIECE = 256 * 1024


class _Patient(HTTPConnection):
    patience: float

    def send(self, data: Any) -> None:
        """Send bytes in pieces, each of which has the time that a body may stand still."""
        if self.sock is None:
            self.connect()
        self.sock.settimeout(self.patience)
        view = memoryview(data)
        for start in range(0, len(view), _PIECE):
            super().send(view[start : start + _PIECE])


def patient_pools(seconds: float) -> dict[str, type[HTTPConnectionPool]]:
    """Return pools by scheme, whose connections wait ``seconds`` for the upstream to take what they send."""

    class Plain(_Patient):
        patience = seconds

    class Secure(_Patient, HTTPSConnection):
        patience = seconds

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
