"""NATS as the parts of the storage see it: the loop, the connection in it, the requests of JetStream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from nats.aio.client import Client

from s3shim.backends.nats.bridge import Bridge
from s3shim.backends.nats.census import Census
from s3shim.backends.nats.connection import Connection
from s3shim.backends.nats.failures import FAILURES, NotSent, answered
from s3shim.backends.nats.jetstream import JetStream
from s3shim.backends.nats.settings import NatsSettings
from s3shim.backends.nats.wires import Unanswered, Wire, Wires
from s3shim.errors import Code, S3Error

T = TypeVar("T")

_FIRST_CONNECTION = 2.0
_REMEMBERED = 1.0
_PROBE = 2.0
_LAST = 5.0


class Remote:
    """Made after the fork. Whoever wants the ``census`` starts it."""

    def __init__(self, settings: NatsSettings) -> None:
        self.settings = settings
        self.bridge = Bridge()
        self.connection = Connection(settings)
        self.js = JetStream(self.connection.link, api_prefix(settings), settings.timeout)
        self._wires = Wires(settings)
        self.census = Census(self.js, lambda: self.connection.connected, settings.monitor)
        self._work: asyncio.Task[None] | None = None
        self._asked = -_REMEMBERED
        self._answers = False

    def start(self, *beside: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin to connect, and what runs ``beside``; wait a moment for a connection, and go on without."""
        self.bridge.start()
        self.bridge.call(self._begin(beside))

    async def _begin(self, beside: tuple[Callable[[], Coroutine[Any, Any, None]], ...]) -> None:
        loop = asyncio.get_running_loop()
        self._work = loop.create_task(self._serve(beside))
        until = loop.time() + _FIRST_CONNECTION
        while not self.connection.connected and not self.connection.failures and loop.time() < until:
            await asyncio.sleep(0.01)
        if self.connection.connected:
            await self._ask()

    async def _serve(self, beside: tuple[Callable[[], Coroutine[Any, Any, None]], ...]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self.connection.run())
            for work in beside:
                group.create_task(work())

    def close(self) -> None:
        """End the connection and the loop."""
        self.bridge.stop(self._end())
        self._wires.close()

    async def _end(self) -> None:
        self.connection.ending = True
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait({self._work}, timeout=_LAST)
        await self.connection.close()

    def check(self) -> None:
        """Raise ServiceUnavailable where there is no connection, or no JetStream behind it."""
        if not self.connection.connected:
            raise S3Error(Code.ServiceUnavailable, "There is no connection to the storage.")
        if not self.call(self._ask()):
            raise S3Error(Code.ServiceUnavailable, "The storage does not answer.")

    async def _ask(self) -> bool:
        """Whether JetStream answers; what it answers is remembered for a second."""
        if time.monotonic() >= self._asked + _REMEMBERED:
            self._answers = False
            try:
                await self.js.do("INFO", {}, min(self.settings.timeout, _PROBE))
                self._answers = True
            except FAILURES as failure:
                self.connection.warn(f"JetStream does not answer on {self.js.prefix}", str(failure))
            self._asked = time.monotonic()
        return self._answers

    def ask(self, operation: str, query: bytes, *, batch: bool = True) -> list[tuple[bytes, bytes]]:
        """Return an answer of JetStream to this thread itself; see Wire.ask. Raises Unanswered."""
        return self._wires.ask(self._client(), f"{self.js.prefix}.{operation}", query, batch=batch)

    def reach(self) -> Wire:
        """Return a connection for this thread, to be given back or closed. Raises Unanswered."""
        return self._wires.reach(self._client())

    def borrow(self) -> Wire:
        """Return one that has just answered, and waits as long as the loop does. Raises Unanswered."""
        return self._wires.borrow(self._client(), self.js.timeout)

    def give_back(self, wire: Wire) -> None:
        """Keep a connection on which nothing is outstanding."""
        self._wires.give_back(wire)

    def lose(self, wire: Wire, error: Exception) -> None:
        """Close a connection that failed."""
        self._wires.lose(wire, error)

    def _client(self) -> Client:
        try:
            return self.connection.link().client
        except NotSent:
            raise Unanswered from None

    def call(self, work: Coroutine[Any, Any, T], bucket: str = "") -> T:
        """Return what ``work`` returns, done in the loop; its FAILURES are S3Error."""
        with answered(bucket):
            return self.bridge.call(work)


def api_prefix(settings: NatsSettings) -> str:
    """Return the prefix of the subjects of JetStream's API."""
    if settings.api_prefix is not None:
        return settings.api_prefix
    return "$JS.API" if settings.domain is None else f"$JS.{settings.domain}.API"
