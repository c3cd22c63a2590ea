"""The bytes of an object from one on, in windows, verified before they are given.

A range of an object of ours begins at the chunk that holds its first byte: the server tells how many chunks
follow a message, so the place of a chunk is found by looking where it should be, which is right at once
unless other objects were written at the same time. The chunks of other clients may have any size: they are
read from the first, and the last is held back until the SHA-256 of the whole is right.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Future
from hashlib import sha256
from hmac import compare_digest

from s3shim.backends.nats.chunks import WINDOW, fetch, is_sound
from s3shim.backends.nats.failures import answered
from s3shim.backends.nats.format import CHUNK_SIZE, Entry
from s3shim.backends.nats.jetstream import Stored
from s3shim.backends.nats.locating import Place, only_chunk
from s3shim.backends.nats.store import Store
from s3shim.errors import Code, S3Error
from s3shim.model import ReadyChunks

_AT_ONCE = WINDOW // CHUNK_SIZE


LAGS = 0.05, 0.2, 0.5
"""Seconds to wait for a replica that has not yet what the leader has acknowledged."""


class Damaged(Exception):
    """The chunks are not those of the entry: replaced meanwhile, or damaged."""


def open_pieces(store: Store, place: Place, start: int, length: int) -> ReadyChunks | ObjectChunks:
    """Return so many bytes of an object. Raises Damaged, also where it is replaced meanwhile."""
    if not length:
        return ReadyChunks(b"")
    reader = ObjectChunks(store, place, start, length)
    try:
        first = only_chunk(store, place)
        if first is None:
            first = store.call(_seek(store, place, start, length))
        data = reader.open(first)
    except BaseException:
        reader.close()
        raise
    if data is None:
        return reader
    reader.close()
    return ReadyChunks(data)


def read_content(store: Store, bucket: str, entry: Entry) -> Iterator[bytes]:
    """Yield all bytes of an entry's chunks. Raises InternalError, ServiceUnavailable."""
    try:
        yield from open_pieces(store, Place(bucket, "", entry), 0, entry.size)
    except Damaged as damage:
        raise S3Error(Code.InternalError, f"A stored part is damaged: {damage}") from None


async def _seek(store: Store, place: Place, start: int, length: int) -> list[Stored]:
    """Return the first window of chunks from that on which holds the byte ``start``."""
    entry, size = place.entry, place.entry.chunk_size
    if not size:
        return await _fetch(store, place, 1, _AT_ONCE)
    wanted = start // size
    count = min((start + length - 1) // size - wanted + 1, _AT_ONCE)
    low, high = entry.record.get("first", 1), entry.record.get("last", 0)
    if not wanted or entry.chunks < 2 or high <= low:
        return await _fetch(store, place, low, count)
    low_index, high_index = 0, entry.chunks - 1
    while True:
        # Where it is if all chunks lie at equal distances, which is exact where nothing lies between them.
        guess = low + (high - low) * (wanted - low_index) // max(high_index - low_index, 1)
        found = await _fetch(store, place, guess, count)
        if not found:
            return found
        if found[0].pending < 0:
            return await _walk(store, place, wanted, count)
        index = entry.chunks - 1 - found[0].pending
        if index == wanted:
            return found
        if index < wanted:
            low, low_index = found[0].seq + 1, index + 1
        else:
            high, high_index = guess - 1, index - 1
        if low > high:
            return []


async def _walk(store: Store, place: Place, wanted: int, count: int) -> list[Stored]:
    """Return the window in a store that allows no direct reads and does not tell what follows: count."""
    seq = place.entry.record.get("first", 1)
    for _ in range(wanted):
        found = await _fetch(store, place, seq, 1)
        if not found:
            return []
        seq = found[0].seq + 1
    return await _fetch(store, place, seq, count)


async def _fetch(store: Store, place: Place, seq: int, count: int) -> list[Stored]:
    return await fetch(store.js, place.bucket, place.entry.nuid, seq, count)


class ObjectChunks:
    """The bytes from ``start`` on, window by window: one is on its way while one is sent to the client."""

    def __init__(self, store: Store, place: Place, start: int, length: int) -> None:
        self._store = store
        self._place = place
        self._entry = place.entry
        self._size = place.entry.chunk_size
        self._skip = start
        self._left = length
        self._index = start // self._size if self._size else 0
        if self._size:
            self._skip -= self._index * self._size
        whole = not start and length == place.entry.size
        self._hash = sha256() if not self._size and whole else None
        self._read = 0
        self._first: list[Stored] = []
        self._ahead: Future[list[Stored]] | None = None
        self._seq = 0
        self._closed = False
        # From here on the chunks are needed, whoever replaces the object.
        store.reclaim.begin_reading(place.bucket, place.entry.nuid)

    def open(self, first: list[Stored]) -> bytes | None:
        """Take the first window; return all bytes where it holds them. Raises Damaged."""
        self._first = first
        if not first or (self._size and first[0].pending not in (-1, self._entry.chunks - 1 - self._index)):
            raise Damaged("a chunk is missing")
        if self._index + len(first) >= self._end():
            return b"".join(self._verified(first))
        # What is read of the first chunk now cannot be missing later.
        self._request(first[-1].seq + 1)
        return None

    def _end(self) -> int:
        """The index behind the last chunk that is needed; that of all chunks where sizes are not known."""
        if not self._size:
            return self._entry.chunks
        return self._index + (self._skip + self._left + self._size - 1) // self._size

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._pieces()
        except Damaged as damage:
            raise S3Error(Code.InternalError, f"The stored object is damaged: {damage}") from None
        finally:
            self.close()

    def _pieces(self) -> Iterator[bytes]:
        window, self._first = self._first, []
        while True:
            yield from self._verified(window)
            if not self._left or self._ahead is None:
                break
            window = self._next(self._ahead)
            if not window:
                raise Damaged("a chunk is missing")
            if self._index + len(window) < self._end():
                self._request(window[-1].seq + 1)
        if self._left:
            raise Damaged("the object is shorter than its record says")

    def _next(self, ahead: Future[list[Stored]]) -> list[Stored]:
        pauses = iter(LAGS)
        with answered(self._place.bucket):
            while True:
                window = self._store.bridge.wait(ahead)
                if window and window[0].pending in (-1, self._entry.chunks - 1 - self._index):
                    break
                pause = next(pauses, None)
                if pause is None:
                    break
                time.sleep(pause)
                ahead = self._request(self._seq)
        self._ahead = None
        return window

    def _request(self, seq: int) -> Future[list[Stored]]:
        self._seq = seq
        self._ahead = self._store.bridge.submit(_fetch(self._store, self._place, seq, _AT_ONCE))
        return self._ahead

    def _verified(self, window: list[Stored]) -> Iterator[bytes]:
        for chunk in window:
            data = self._check(chunk)
            if self._skip:
                cut = min(self._skip, len(data))
                self._skip -= cut
                data = data[cut:]
            if len(data) > self._left:
                data = data[: self._left]
            self._left -= len(data)
            if data:
                yield data
            if not self._left:
                return

    def _check(self, chunk: Stored) -> bytes:
        entry, data = self._entry, chunk.data
        self._read += len(data)
        last = self._index == entry.chunks - 1
        if chunk.pending >= 0 and chunk.pending != entry.chunks - 1 - self._index:
            raise Damaged("a chunk is missing")
        if self._size:
            expected = entry.size - self._index * self._size if last else self._size
            if len(data) != expected or not is_sound(chunk):
                raise Damaged("a chunk is not what was written")
        elif self._hash is not None:
            self._hash.update(data)
            if last and (self._read != entry.size or not self._digest_is_right()):
                raise Damaged("the digest is another one")
        self._index += 1
        return data

    def _digest_is_right(self) -> bool:
        digest = self._entry.digest
        return digest is None or self._hash is None or compare_digest(self._hash.digest(), digest)

    def close(self) -> None:
        """See model.Chunks."""
        if self._closed:
            return
        self._closed = True
        if self._ahead is not None:
            self._ahead.cancel()
        self._store.reclaim.end_reading(self._place.bucket, self._entry.nuid)
