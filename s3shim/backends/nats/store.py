"""What the calls on the NATS storage share."""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from s3shim.backends.nats.buckets import BucketStreams
from s3shim.backends.nats.cached import Cached
from s3shim.backends.nats.catalog import Catalog
from s3shim.backends.nats.kv import KeyValue
from s3shim.backends.nats.reclaim import Reclaim
from s3shim.backends.nats.remote import Remote
from s3shim.backends.nats.settings import NatsSettings
from s3shim.errors import Code, S3Error

T = TypeVar("T")

_WINDOWS = 32
_WINDOW_WAIT = 5.0


class Store:
    """Made after the fork. The windows bound the bytes of writes that are under way in this process."""

    def __init__(self, settings: NatsSettings) -> None:
        self.remote = Remote(settings)
        self.bridge = self.remote.bridge
        self.js = self.remote.js
        self.kv = KeyValue(self.js, settings.replicas)
        self.buckets = BucketStreams(self.js, settings.replicas, settings.account)
        self.catalog = Catalog(self.js, self.buckets)
        self.reclaim = Reclaim(self.js, self.catalog, self.kv, settings.grace)
        self.cached = Cached(self.remote)
        self.windows_taken = 0
        self._counting = threading.Lock()
        self._windows = threading.BoundedSemaphore(_WINDOWS)

    def start(self) -> None:
        """Begin to connect, to reclaim and to count."""
        self.remote.start(self.reclaim.run, self.remote.census.run)

    def close(self) -> None:
        """Let everything go."""
        self.remote.close()
        self.cached.close()

    def call(self, work: Coroutine[Any, Any, T], bucket: str = "") -> T:
        """Return what ``work`` returns, done in the loop. Raises S3Error."""
        return self.remote.call(work, bucket)

    def take_window(self) -> None:
        """Wait for room for one more window of bytes under way. Raises SlowDown."""
        if not self._windows.acquire(timeout=_WINDOW_WAIT):
            raise S3Error(Code.SlowDown)
        self._count_windows(1)

    def give_window(self) -> None:
        """Give the room back."""
        self._count_windows(-1)
        self._windows.release()

    def _count_windows(self, more: int) -> None:
        with self._counting:
            self.windows_taken += more


class Calls:
    """A part of the storage's calls; ``store`` is what is open."""

    def __init__(self, settings: NatsSettings) -> None:
        self.settings = settings
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """What is open. Raises ServiceUnavailable before ``start`` and after ``close``."""
        if self._store is None:
            raise S3Error(Code.ServiceUnavailable)
        return self._store

    def start(self) -> None:
        """See Backend. Returns without a connection where there is none yet."""
        self._store = Store(self.settings)
        self._store.start()

    def close(self) -> None:
        """See Backend."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def check(self) -> None:
        """See Backend."""
        self.store.remote.check()
