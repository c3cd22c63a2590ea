"""What is cleaned up in the background: unneeded chunks, traces of removed names, rows of old streams.

No client waits for it, and it may end at any point: the next round goes on with it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable
from typing import TypeVar

from s3shim.backends.nats.cache import Cache
from s3shim.backends.nats.failures import STREAM_NOT_FOUND, JetStreamError
from s3shim.backends.nats.format import all_chunks, bucket_of_stream
from s3shim.backends.nats.index import Index
from s3shim.backends.nats.mirror import Mirror, Source
from s3shim.backends.nats.rows import Rows
from s3shim.times import milliseconds

T = TypeVar("T")

GRACE = 3600.0
"""Seconds that a removal leaves a trace and that unneeded chunks stay.

More than IDLE of ``mirror``: an index that may have missed a removal for longer counts before it answers.
"""

_ROWS = 1000

Held = Callable[[], set[str]]
"""Returns the ids of the chunks of a bucket that are needed though no object names them, such as a part's.

What it no longer returns is by then named by the object that has taken it over, or is not needed.
"""

log = logging.getLogger(__name__)


class Housekeeper:
    """Cleans up, in one process of a host: that whose ``hired`` was first."""

    def __init__(self, source: Source, index: Index, grace: float = GRACE) -> None:
        self._source = source
        self._index = index
        self.grace = grace
        self._fd = -1
        self._orphans: dict[str, dict[str, float]] = {}

    def hired(self) -> bool:
        """Whether this process is the one; it stays it until ``leave``, or until it ends."""
        if self._fd >= 0:
            return True
        try:
            self._source.cache.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(
                self._source.cache.path / "HOUSEKEEPER", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            log.warning("the key index: %s", error)
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    def leave(self) -> None:
        """Let another process do it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def check(self, other: Mirror) -> None:
        """Count what the host has looked at, of buckets and of ``other``; drop what belongs to no stream."""
        known = _quietly("the key index", lambda: self._source.cache.read(lambda rows: rows.streams()))
        for stream in known or ():
            bucket = bucket_of_stream(stream)
            if bucket is not None:
                _quietly(stream, self._index.mirror(bucket).count)
            elif stream == other.stream:
                _quietly(stream, other.count)
        _quietly("the key index", lambda: drop_old_rows(self._source))

    def clean(self, bucket: str, held: Held) -> None:
        """Remove the bucket's traces of removed names, and chunks that nobody needs."""
        _quietly(bucket, lambda: compact(self._index.mirror(bucket), self.grace))
        _quietly(bucket, lambda: self.remove_orphans(bucket, held))

    def remove_orphans(self, bucket: str, held: Held) -> int:
        """Remove the chunks that nobody has needed for the grace time; return of how many ids.

        A reader may still be at what has just gone out of use, a writer may not have named what it wrote.
        Raises FAILURES, CacheLost and S3Error.
        """
        source, mirror = self._source, self._index.mirror(bucket)
        # An index that misses an object would have its bytes removed.
        mirror.count()
        seen = self._orphans.get(bucket, {})
        still: dict[str, float] = {}
        offset = removed = 0
        while True:
            # The chunks first, then who needs them: whoever comes later has chunks that are young.
            info = source.bridge.call(
                source.jetstream.stream_info(mirror.stream, subjects_filter=all_chunks(bucket), offset=offset)
            )
            subjects = list(info["state"].get("subjects") or ())
            orphans = self._unneeded(bucket, subjects, held)
            now = time.monotonic()
            page = {subject: seen.get(subject, now) for subject in orphans}
            due = [subject for subject, since in page.items() if now - since >= self.grace]
            before = milliseconds(info["ts"]) - int(self.grace * 1000)
            gone = source.bridge.call(_remove_old(source, mirror.stream, due, before))
            still |= page
            removed += gone
            offset += len(subjects) - gone
            if not subjects or offset + gone >= int(info.get("total") or 0):
                self._orphans[bucket] = still
                return removed

    def _unneeded(self, bucket: str, subjects: list[str], held: Held) -> list[str]:
        needed = held()
        named = self._index.nuids(bucket)
        if named is None:
            log.warning("bucket %s has metadata that cannot be read, its chunks stay", bucket)
            return []
        needed |= named
        prefix = len(all_chunks(bucket)) - 1
        return [subject for subject in subjects if subject[prefix:].partition(".")[0] not in needed]


async def _remove_old(source: Source, stream: str, subjects: list[str], before: int) -> int:
    removed = 0
    for subject in subjects:
        last = await source.jetstream.last(stream, subject)
        if last is not None and last.time <= before:
            await source.jetstream.purge(stream, subject, below=last.seq + 1)
            removed += 1
    return removed


def compact(mirror: Mirror, grace: float) -> int:
    """Remove what is left of names that were removed more than ``grace`` s ago; return of how many.

    Raises FAILURES, CacheLost and ServiceUnavailable.
    """
    source = mirror.source
    state = mirror.catch_up()
    info = source.bridge.call(source.jetstream.stream_info(mirror.stream))
    before = milliseconds(info["ts"]) - int(grace * 1000)
    removed = 0
    start: bytes | None = b""
    while start is not None:
        page, start = mirror.dead(state, start)
        old = [row for row in page if row[2] <= before]
        # Another host may have been first.
        vanished = set(mirror.vanished(old))
        left = [(name, seq) for name, seq, _ in old if (name, seq) not in vanished]
        source.bridge.call(_purge(mirror, left))
        mirror.drop(state, "dead", [(name, seq) for name, seq, _ in old])
        removed += len(left)
    return removed


async def _purge(mirror: Mirror, names: list[tuple[bytes, int]]) -> None:
    for name, seq in names:
        # What has been put since then has a higher number, and stays.
        await mirror.source.jetstream.purge(mirror.stream, mirror.kind.subject(name), below=seq + 1)


def drop_old_rows(source: Source) -> None:
    """Drop the rows of streams that are no more, and of those that are other ones by now.

    Raises FAILURES, CacheLost and ServiceUnavailable.
    """
    cache = source.cache
    for stream in cache.read(lambda rows: rows.streams()):
        try:
            source.bridge.call(source.jetstream.stream_info(stream))
        except JetStreamError as refused:
            if refused.code != STREAM_NOT_FOUND:
                raise
            _abandon(cache, stream)
    while cache.write(lambda rows: rows.sweep(_ROWS)):
        pass


def _abandon(cache: Cache, stream: str) -> None:
    def work(rows: Rows) -> None:
        state = rows.state(stream)
        if state is not None:
            rows.abandon(stream, state)

    cache.write(work)


def _quietly(name: str, work: Callable[[], T]) -> T | None:
    try:
        return work()
    except Exception as error:  # the next round is another chance
        log.warning("%s cannot be cleaned up now: %r", name, error)
        return None
