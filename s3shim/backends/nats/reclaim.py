"""Chunks that nothing refers to any more, removed once no reader needs them.

Whoever replaces or deletes an object knows its nuid and removes its chunks after ``grace`` seconds, and at
once where NATS is full: then a reader at another gateway may have to begin anew. A reader that takes longer
says so by a lease in the key-value bucket, which the other gateways respect. What is forgotten here, because
a process was killed, is found by the sweep.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass

from s3shim.backends.nats.catalog import Catalog
from s3shim.backends.nats.failures import FAILURES, JetStreamError
from s3shim.backends.nats.format import Entry, chunk_subject, store_of, stream_of
from s3shim.backends.nats.jetstream import JetStream
from s3shim.backends.nats.kv import KeyValue
from s3shim.errors import Code, S3Error

LEASES = "lease"
"""What the keys of leases begin with."""

_TURN = 1.0
_LEASE_AFTER = 10.0
_LEASE_EVERY = 10.0
_LEASE = 60
_ON_THE_WAY = 1.0, 15.0
_PRESSED_FOR = 60.0
_AGAIN = 5.0
_TRIED_FOR = 3600.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Replaced:
    """An object that is gone: its chunks are due at ``due`` of the monotonic clock.

    ``key`` is None where it has never been an object. Until ``end`` it is tried again.
    """

    due: float
    bucket: str
    key: str | None
    nuid: str
    end: float


class Reclaim:
    """The queue of what is to be removed, and the readers of this process. ``chunks`` were removed so far."""

    def __init__(self, js: JetStream, catalog: Catalog, kv: KeyValue, grace: float) -> None:
        self.js = js
        self.catalog = catalog
        self.kv = kv
        self.grace = grace
        self.chunks = 0
        self._queue: deque[Replaced] = deque()
        self._pressed = 0.0
        self._lock = threading.Lock()
        self._readers: Counter[tuple[str, str]] = Counter()
        self._since: dict[tuple[str, str], float] = {}

    def begin_reading(self, bucket: str, nuid: str) -> None:
        """Keep the chunks of ``nuid`` until ``end_reading``; for any thread."""
        with self._lock:
            self._readers[bucket, nuid] += 1
            self._since.setdefault((bucket, nuid), time.monotonic())

    def end_reading(self, bucket: str, nuid: str) -> None:
        """See ``begin_reading``."""
        with self._lock:
            self._readers[bucket, nuid] -= 1
            if self._readers[bucket, nuid] <= 0:
                del self._readers[bucket, nuid]
                del self._since[bucket, nuid]

    def later(self, bucket: str, key: str, nuid: str) -> None:
        """Remove the chunks of an object that has been replaced; for any thread."""
        if nuid:
            self._add(self.grace, bucket, key, nuid)

    def abandon(self, bucket: str, nuid: str) -> None:
        """Remove the chunks of what could not be made an object, once they have come; for any thread."""
        for wait in _ON_THE_WAY:
            self._add(wait, bucket, None, nuid)

    def press(self) -> None:
        """Let nothing wait for a while: there was no room for an object; for any thread."""
        self._pressed = time.monotonic() + _PRESSED_FOR

    def _add(self, wait: float, bucket: str, key: str | None, nuid: str) -> None:
        now = time.monotonic()
        self._queue.append(Replaced(now + wait, bucket, key, nuid, now + wait + _TRIED_FOR))

    def replaced(self, bucket: str, key: str, entry: Entry | None) -> None:
        """Remove the chunks of an entry that is gone, in due time."""
        if entry is not None and not entry.deleted and entry.chunks:
            self.later(bucket, key, entry.nuid)

    async def run(self) -> None:
        """Remove what is due and renew leases, until cancelled."""
        leased = 0.0
        while True:
            await asyncio.sleep(min(_TURN, max(self.grace, 0.05)))
            try:
                if time.monotonic() - leased > _LEASE_EVERY:
                    leased = time.monotonic()
                    await self._renew()
                await self.turn()
            except Exception:
                # Without this nothing would be removed any more, and nobody would know.
                log.exception("removing chunks has failed")

    async def turn(self) -> None:
        """Remove what is due; what cannot be removed now is tried again."""
        now = time.monotonic()
        for _ in range(len(self._queue)):
            gone = self._queue.popleft()
            if gone.due > now and (gone.key is None or now > self._pressed):
                self._queue.append(gone)
                continue
            try:
                if await self._is_needed(gone):
                    continue
                await self.remove(gone.bucket, gone.nuid)
            except (S3Error, *FAILURES) as failure:
                if self._may_come_right(failure) and now < gone.end:
                    gone.due = now + _AGAIN
                    self._queue.append(gone)
                    return
                log.debug("chunks of %s stay for the sweep: %s", gone.nuid, failure)

    async def _is_needed(self, gone: Replaced) -> bool:
        """Whether the chunks stay; those that are only being read are put back into the queue."""
        if gone.key is None:
            return False
        if await self._is_current(gone.bucket, gone.key, gone.nuid):
            return True
        if not await self._is_read(gone):
            return False
        gone.due = time.monotonic() + max(self.grace, 1.0)
        self._queue.append(gone)
        return True

    def _may_come_right(self, failure: Exception) -> bool:
        if isinstance(failure, S3Error):
            return failure.code is Code.ServiceUnavailable
        return not isinstance(failure, JetStreamError)

    async def remove(self, bucket: str, nuid: str) -> None:
        """Remove the chunks, and the table of parts where there is one."""
        subject = chunk_subject(bucket, nuid)
        self.chunks += await self.js.purge(stream_of(bucket), subject)
        await self.js.purge(stream_of(bucket), f"{subject}.>")

    async def _is_current(self, bucket: str, key: str, nuid: str) -> bool:
        """Whether the object is there again: a client that knows nothing of us may have brought it back."""
        entry = await self.catalog.entry(bucket, key)
        return entry is not None and not entry.deleted and entry.nuid == nuid

    async def _is_read(self, gone: Replaced) -> bool:
        with self._lock:
            if (gone.bucket, gone.nuid) in self._readers:
                return True
        return await self.kv.get(lease_key(gone.bucket, gone.nuid)) is not None

    async def _renew(self) -> None:
        now = time.monotonic()
        with self._lock:
            long = [reader for reader, since in self._since.items() if now - since > _LEASE_AFTER]
        for bucket, nuid in long:
            try:
                await self.kv.put(lease_key(bucket, nuid), b"", seconds=_LEASE)
            except FAILURES as failure:
                log.warning("a long read of %s in %s has no lease: %s", nuid, bucket, failure)


def lease_key(bucket: str, nuid: str) -> str:
    """Return the key under which a reader says that it needs the chunks."""
    return f"{LEASES}.{store_of(bucket)}.{nuid}"
