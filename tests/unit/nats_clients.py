"""Clients of a nats-server: ours, and those that know nothing of us."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import nats
from nats.js.api import ObjectStoreConfig
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from s3shim.backends.nats.bridge import Bridge
from s3shim.backends.nats.connection import Connection
from s3shim.backends.nats.format import store_of, stream_of
from s3shim.backends.nats.jetstream import JetStream
from s3shim.backends.nats.settings import NatsSettings

T = TypeVar("T")


class Client:
    """The client of the storage, and a JetStream of it."""

    def __init__(self, url: str, directory: Path) -> None:
        self.bridge = Bridge(died=lambda: None)
        self.bridge.start()
        self.connection = Connection(NatsSettings(directory, servers=(url,)))
        self.jetstream = JetStream(self.connection.link)
        self._running = self.bridge.submit(self.connection.run())
        deadline = time.monotonic() + 10
        while not self.connection.connected:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns."""
        return self.bridge.call(work)

    def disconnect(self) -> None:
        """Have no connection from now on."""
        self._running.cancel()
        self.call(self.connection.close())

    def close(self) -> None:
        """Disconnect, and end the loop."""
        self._running.cancel()
        self.bridge.stop(self.connection.close())


def stranger(url: str, work: Callable[[JetStreamContext], Coroutine[Any, Any, T]]) -> T:
    """Do what a client that is not ours does."""

    async def connected() -> T:
        client = await nats.connect(url)
        try:
            return await work(client.jetstream(timeout=30))
        finally:
            await client.close()

    return asyncio.run(connected())


def make_bucket(url: str, bucket: str) -> None:
    """Make an Object Store as other clients make it."""
    stranger(url, lambda js: js.create_object_store(store_of(bucket), ObjectStoreConfig()))


def remove_bucket(url: str, bucket: str) -> None:
    """Remove the stream of an Object Store, if it is there."""
    remove_stream(url, stream_of(bucket))


def remove_stream(url: str, stream: str) -> None:
    """Remove a stream, if it is there."""

    async def work(js: JetStreamContext) -> None:
        with suppress(NotFoundError):
            await js.delete_stream(stream)

    stranger(url, work)


def put(url: str, bucket: str, *names: str) -> None:
    """Put objects as another client does; the name is the body."""

    async def work(js: JetStreamContext) -> None:
        store = await js.object_store(store_of(bucket))
        for name in names:
            await store.put(name, name.encode())

    stranger(url, work)


def delete(url: str, bucket: str, *names: str) -> None:
    """Delete objects as another client does."""

    async def work(js: JetStreamContext) -> None:
        store = await js.object_store(store_of(bucket))
        for name in names:
            await store.delete(name)

    stranger(url, work)
