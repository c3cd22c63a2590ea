"""The chunks of a body: sent while it is read, verified at its end, removed where it fails.

Of a long body several chunks are on their way while the next are read from the client; what is one window at
most stays here until all of it has been read.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from s3shim import checksums
from s3shim.backends.nats.chunk_stream import ChunkStream, open_stream
from s3shim.backends.nats.chunks import WINDOW, ChunkWriter, split
from s3shim.backends.nats.failures import FAILURES, NoAnswer, NotSent, answer_of
from s3shim.backends.nats.format import Content, new_nuid
from s3shim.backends.nats.store import Store
from s3shim.errors import Code, S3Error
from s3shim.model import Body, Digests

T = TypeVar("T")

_UNDER_WAY = 3
_AT_ONCE = 0.5
_PAUSE = 0.1
_STALE = 1800.0
"""Seconds without a new chunk after which those before could be taken for abandoned ones by the sweep."""


class Written:
    """The chunks of a body that has been read to its end and verified; the last window may be under way."""

    def __init__(self, store: Store, bucket: str, nuid: str = "") -> None:
        self.store = store
        self.bucket = bucket
        known = store.buckets.remembered(bucket) or store.call(store.buckets.find(bucket))
        self.incarnation = known.incarnation
        self.looked = -math.inf
        self.nuid = nuid or new_nuid()
        self.size = 0
        self.digests = Digests("", {})
        self.rest: list[bytes] = []
        self.writer: ChunkWriter | None = None
        self._stream: ChunkStream | None = None
        self._windows: deque[Future[None]] = deque()
        self._unanswered = False
        self._moved = time.monotonic()

    def take(self, body: Body) -> None:
        """Read ``body``. What is at most one window stays in ``rest``, nothing is sent of it yet.

        Raises what ``body.read`` raises, NoSuchBucket, InsufficientStorage, SlowDown, ServiceUnavailable;
        nothing is left behind then.
        """
        body.also("sha256")
        try:
            buffer = bytearray()
            while True:
                data = body.read(WINDOW - len(buffer))
                buffer += data
                if data and len(buffer) < WINDOW:
                    continue
                if not data:
                    break
                self._send(buffer)
                self.size += len(buffer)
                buffer = bytearray()
            self.size += len(buffer)
            if body.length is not None and body.length != self.size:
                raise S3Error(Code.IncompleteBody)
            self.rest = split(buffer)
            self._settle()
            self.digests = body.digests
        except BaseException:
            self.discard()
            raise

    def check_age(self) -> None:
        """Raise RequestTimeout where the chunks have waited so long that they may be gone."""
        if time.monotonic() - self._moved > _STALE:
            raise S3Error(Code.RequestTimeout)

    def _send(self, window: bytearray) -> None:
        self.check_age()
        self._moved = time.monotonic()
        if self.writer is None:
            self.writer = self.store.call(_writer(self.store, self.bucket, self.nuid))
            self._stream = open_stream(self.store.remote, self.bucket, self.nuid)
        if self._stream is not None:
            try:
                self._stream.send(window)
            except FAILURES as failure:
                raise self.store.call(self.reason(failure)) from None
            return
        while len(self._windows) >= _UNDER_WAY:
            self._await()
        self.store.take_window()
        future = self.store.bridge.submit(self.writer.publish(split(window)))
        future.add_done_callback(lambda _: self.store.give_window())
        self._windows.append(future)

    def _settle(self) -> None:
        while self._windows:
            self._await()
        stream = self._stream
        if stream is None or self.writer is None:
            return
        try:
            stream.settle()
        except FAILURES as failure:
            raise self.store.call(self.reason(failure)) from None
        self.writer.count, self.writer.first, self.writer.last = stream.count, stream.first, stream.last
        self.store.remote.give_back(stream.wire)
        self._stream = None

    def _await(self) -> None:
        try:
            self.store.bridge.wait(self._windows.popleft())
        except FAILURES as failure:
            raise self.store.call(self.reason(failure)) from None

    async def find_same(self) -> None:
        """Raise NoSuchBucket unless the bucket is the one that the chunks were written to."""
        self.looked = await self.store.catalog.find_same(self.bucket, self.incarnation)

    async def reason(self, failure: Exception) -> S3Error:
        """Return what the client is told of a failure: nobody takes chunks where the bucket is gone."""
        if isinstance(failure, NotSent) and self.store.remote.connection.connected:
            try:
                await self.find_same()
            except S3Error as error:
                return error
        answer = answer_of(failure, self.bucket)
        self._unanswered = isinstance(failure, NoAnswer)
        if answer.code is Code.InsufficientStorage:
            self.store.reclaim.press()
        return answer

    @property
    def content(self) -> Content:
        """What is stored, once ``rest`` is stored too."""
        sha256 = checksums.decode("sha256", self.digests.checksums["sha256"]) or b""
        writer = self.writer
        assert writer is not None or not self.size
        count, first, last = (0, 0, 0) if writer is None else (writer.count, writer.first, writer.last)
        return Content(self.incarnation, self.nuid, self.size, count, sha256, first=first, last=last)

    @property
    def sums(self) -> dict[str, str]:
        """The checksum of the client's algorithm; SHA-256 was computed for NATS's own digest."""
        return dict([next(iter(self.digests.checksums.items()))])

    def rest_is_stored(self, sequences: list[int], looked: float) -> None:
        """Note that all there was is stored, as these messages, and when the bucket was looked at."""
        self.writer = ChunkWriter(self.store.js, self.bucket, self.nuid)
        self.writer.count, self.rest, self.looked = len(sequences), [], looked
        self.writer.first, self.writer.last = sequences[0], sequences[-1]

    def begin_anew(self) -> None:
        """Give up what was stored, under another nuid what is sent now cannot be mixed with it."""
        self.store.reclaim.abandon(self.bucket, self.nuid)
        self.nuid, self.writer = new_nuid(), None

    def discard(self) -> None:
        """Remove what was stored, once what is under way has come, if it comes at once; see ``remove``."""
        late = wait(self._windows, 0.0 if self._unanswered else _AT_ONCE).not_done
        for future in late:
            future.cancel()
        if self._stream is not None:
            self._stream.end()
        if late:
            self.store.reclaim.abandon(self.bucket, self.nuid)
        elif self.writer is not None:
            with contextlib.suppress(S3Error):
                self.store.call(self.remove())

    async def remove(self) -> None:
        """Remove what was stored, at once if NATS answers at once; for the loop.

        It is done again later: what was just sent may be stored only after it was removed.
        """
        if self.writer is None:
            return
        self.store.reclaim.abandon(self.bucket, self.nuid)
        if not self._unanswered:
            with contextlib.suppress(TimeoutError, *FAILURES):
                async with asyncio.timeout(_AT_ONCE):
                    await self.store.reclaim.remove(self.bucket, self.nuid)


async def _writer(store: Store, bucket: str, nuid: str) -> ChunkWriter:
    return ChunkWriter(store.js, bucket, nuid)


async def store_rest(written: Written) -> None:
    """Store the last window, which is not under way yet. Raises S3Error.

    Where it is all that there is, it is sent again while there is time: a cluster chooses a leader in less.
    The chunks are of no use to a bucket that was made anew under the name meanwhile: NoSuchBucket then.
    """
    store, bucket = written.store, written.bucket
    again = written.writer is None
    deadline = time.monotonic() + store.js.timeout / 2
    while True:
        try:
            if written.rest and written.writer is None:
                written.writer = ChunkWriter(store.js, bucket, written.nuid)
            if written.writer is not None:
                await both(written.find_same(), written.writer.publish(written.rest))
            else:
                await written.find_same()
            return
        except FAILURES as failure:
            answer = await written.reason(failure)
            if not again or answer.code is not Code.ServiceUnavailable or time.monotonic() > deadline:
                raise answer from None
        written.begin_anew()
        await asyncio.sleep(_PAUSE)


async def both(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, None]) -> T:
    """Do both at the same time; return what ``first`` returns. Where one fails, the other is ended first."""
    tasks = asyncio.ensure_future(first), asyncio.ensure_future(second)
    try:
        result, _ = await asyncio.gather(*tasks)
        return result
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
