"""What the parts of the NATS storage share: the loop, the connection, the catalog, the reclaiming."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from s3shim.backends.nats.bridge import Bridge
from s3shim.backends.nats.buckets import BucketStreams
from s3shim.backends.nats.cache import Cache
from s3shim.backends.nats.catalog import Catalog
from s3shim.backends.nats.connection import Connection
from s3shim.backends.nats.failures import FAILURES, answer_of
from s3shim.backends.nats.index import Index
from s3shim.backends.nats.jetstream import JetStream
from s3shim.backends.nats.kv import KeyValue
from s3shim.backends.nats.mirror import Source
from s3shim.backends.nats.reclaim import Reclaim
from s3shim.backends.nats.settings import NatsSettings
from s3shim.backends.nats.values import Value, Values
from s3shim.errors import Code, S3Error

T = TypeVar("T")

_WINDOWS = 32
_WINDOW_WAIT = 5.0
_FIRST_CONNECTION = 2.0
_REMEMBERED = 1.0
_PROBE = 2.0


class Store:
    """Made after the fork. ``windows`` bounds the bytes of writes that are under way in this process."""

    def __init__(self, settings: NatsSettings) -> None:
        self.settings = settings
        self.bridge = Bridge()
        self.connection = Connection(settings)
        self.js = JetStream(self.connection.link, api_prefix(settings), settings.timeout)
        self.kv = KeyValue(self.js, settings.replicas)
        self.buckets = BucketStreams(self.js, settings.replicas, settings.account)
        self.catalog = Catalog(self.js, self.buckets)
        self.reclaim = Reclaim(self.js, self.catalog, self.kv, settings.grace)
        self.cache = Cache(settings.index)
        source = Source(self.cache, self.bridge, self.js)
        self.index = Index(source)
        self.values = Values(source)
        self._windows = threading.BoundedSemaphore(_WINDOWS)
        self._work: asyncio.Task[None] | None = None
        self._asked = -_REMEMBERED
        self._answers = False

    def start(self) -> None:
        """Begin to connect; wait a moment for it, and go on without."""
        self.bridge.start()
        self.bridge.call(self._begin())

    async def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        self._work = loop.create_task(self._serve())
        until = loop.time() + _FIRST_CONNECTION
        while not self.connection.connected and not self.connection.failures and loop.time() < until:
            await asyncio.sleep(0.01)
        if self.connection.connected:
            await self._ask()

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.connection.run())
            group.create_task(self.reclaim.run())

    def close(self) -> None:
        """End the connection and the loop."""
        self.bridge.stop(self._end())
        self.cache.close()

    async def _end(self) -> None:
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        await self.connection.close()

    def check(self) -> None:
        """Raise ServiceUnavailable where there is no connection, or no JetStream behind it."""
        if not self.connection.connected:
            raise S3Error(Code.ServiceUnavailable, "There is no connection to the storage.")
        if not self.call(self._ask()):
            raise S3Error(Code.ServiceUnavailable, "The storage does not answer.")

    async def _ask(self) -> bool:
        """Whether JetStream answers; what it answers is remembered for a second."""
        now = time.monotonic()
        if now >= self._asked + _REMEMBERED:
            self._answers = False
            try:
                await self.js.do("INFO", {}, min(self.settings.timeout, _PROBE))
                self._answers = True
            except FAILURES as failure:
                self.connection.warn(f"JetStream does not answer on {self.js.prefix}", str(failure))
            self._asked = time.monotonic()
        return self._answers

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what ``work`` returns, done in the loop."""
        return self.bridge.call(work)

    def scan(self, prefix: str, bucket: str, start: str = "") -> list[Value]:
        """Return values of the key-value bucket in order, as they are now. Raises ServiceUnavailable."""
        try:
            return self.values.scan(prefix, start)
        except FAILURES as failure:
            raise answer_of(failure, bucket) from None

    def take_window(self) -> None:
        """Wait for room for one more window of bytes under way. Raises SlowDown."""
        if not self._windows.acquire(timeout=_WINDOW_WAIT):
            raise S3Error(Code.SlowDown)

    def give_window(self) -> None:
        """Give the room back."""
        self._windows.release()


def api_prefix(settings: NatsSettings) -> str:
    """Return the prefix of the subjects of JetStream's API."""
    if settings.api_prefix is not None:
        return settings.api_prefix
    return "$JS.API" if settings.domain is None else f"$JS.{settings.domain}.API"
