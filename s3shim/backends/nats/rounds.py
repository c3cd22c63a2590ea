"""What the storage does by itself, in one process of each host, again and again.

Every few minutes the key index is held against the streams; every hour uploads that have expired are aborted
and what nobody needs is removed.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from functools import partial

from s3shim.backends.nats.format import store_of
from s3shim.backends.nats.reclaim import LEASES
from s3shim.backends.nats.store import Store
from s3shim.backends.nats.sweep import compact
from s3shim.backends.nats.upload_listing import expire, held

_EVERY = 300.0
_CLEAN_EVERY = 3600.0

log = logging.getLogger(__name__)


class Rounds:
    """A thread beside those that serve. Uploads are aborted after ``upload_expiry`` s, 0 for never."""

    def __init__(self, store: Store, upload_expiry: int) -> None:
        self._store = store
        self._upload_expiry = upload_expiry
        self._cleaned = time.monotonic() - _CLEAN_EVERY
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="s3shim-nats-rounds", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more; what is being done ends with the store."""
        self._ended.set()

    def join(self) -> None:
        """Wait a moment for the end, once the store is closed."""
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._ended.wait(_EVERY * random.uniform(0.8, 1.2)):
            self.round()

    def round(self) -> bool:
        """Do what is due; return whether it is this process that does it."""
        cached = self._store.cached
        if not cached.housekeeper.hired():
            return False
        cached.housekeeper.check(cached.values.mirror)
        if time.monotonic() - self._cleaned >= _CLEAN_EVERY:
            self._cleaned = time.monotonic()
            self._clean()
        return True

    def _clean(self) -> None:
        store, keeper = self._store, self._store.cached.housekeeper
        try:
            if self._upload_expiry:
                expire(store, time.time_ns() // 1_000_000 - self._upload_expiry * 1000)
            compact(store.cached.values.mirror, keeper.grace)
            buckets = [info.name for info in store.call(store.buckets.list())]
        except Exception as error:
            log.warning("nothing is cleaned up now: %r", error)
            return
        for bucket in buckets:
            if self._ended.is_set():
                return
            keeper.clean(bucket, partial(needed, store, bucket))


def needed(store: Store, bucket: str) -> set[str]:
    """Return the ids of chunks of a bucket that are needed though no object names them."""
    leases = store.cached.scan(f"{LEASES}.{store_of(bucket)}.", bucket)
    return held(store, bucket) | {value.key.rpartition(".")[2] for value in leases}
