"""What is asked of NATS now and then, for those who watch the service; no request waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from s3shim.backends.nats.durability import NotTold, Syncing, ask
from s3shim.backends.nats.failures import FAILURES
from s3shim.backends.nats.format import bucket_of_stream
from s3shim.backends.nats.jetstream import JetStream

_TURN = 0.2
_COUNT_EVERY = 15.0
_ASK_EVERY = 60.0

log = logging.getLogger(__name__)


class Census:
    """The number of buckets, and how the server syncs; None is not known. For the loop, but these two."""

    def __init__(self, js: JetStream, connected: Callable[[], bool], monitor: str | None) -> None:
        self.buckets: int | None = None
        self.syncing: Syncing | None = None
        self._js = js
        self._connected = connected
        self._monitor = monitor
        self._counted = self._asked = float("-inf")

    async def run(self) -> None:
        """Ask when it is time and there is a connection, until cancelled."""
        while True:
            if self._connected():
                await self._count()
                await self._ask()
            await asyncio.sleep(_TURN)

    async def _count(self) -> None:
        if time.monotonic() - self._counted < _COUNT_EVERY:
            return
        try:
            self.buckets = await self._buckets()
        except FAILURES as failure:
            log.debug("the buckets are not counted: %s", failure)
        self._counted = time.monotonic()

    async def _buckets(self) -> int:
        """Return how many buckets there are, by the names of the streams. Raises FAILURES."""
        found = offset = 0
        while True:
            page = await self._js.ask("STREAM.NAMES", {"offset": offset, "subject": "$O.>"})
            names = page.get("streams") or []
            found += sum(bucket_of_stream(name) is not None for name in names)
            offset += len(names)
            if not names or offset >= page.get("total", 0):
                return found

    async def _ask(self) -> None:
        if self._monitor is None or time.monotonic() - self._asked < _ASK_EVERY:
            return
        try:
            self.syncing = await asyncio.to_thread(ask, self._monitor)
        except NotTold as reason:
            self.syncing = None
            log.debug("how JetStream syncs is not known: %s", reason)
        self._asked = time.monotonic()
