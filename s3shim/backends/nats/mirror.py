"""What a stream holds on the subjects of a filter, in order of names, brought up to date by whoever asks.

Nobody subscribes: ``look`` asks the stream's leader how far the stream is, reads what came since, and
answers from the cache. Messages replace each other, so what is read in several answers is true of no instant
until somebody has read to the end: State.whole. Any replica may answer a batch, with the beginning of what
the leader has; the leader says where the end is.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from s3shim.backends.nats.bridge import Bridge
from s3shim.backends.nats.cache import Cache, CacheLost
from s3shim.backends.nats.failures import NotSent
from s3shim.backends.nats.jetstream import JetStream, Stored
from s3shim.backends.nats.rows import ID, Change, Rows, State
from s3shim.errors import Code, S3Error

T = TypeVar("T")

IDLE = 1800.0
"""Seconds after which what nobody looked at is counted first: a removal may have left no trace since."""

_BATCH, _BATCH_SIZE = 1000, 4 << 20
_TAIL = 256
_TRIES = 8
_TURN = 60.0
_NOTED = 60.0
_AGREE = 3
_BEYOND = 1 << 31
_PAGE = 500

log = logging.getLogger(__name__)


class Kind(Protocol):
    """What the messages of a stream mean."""

    def name(self, subject: str) -> bytes:
        """Return the name, up to 1,900 bytes, that a subject stands for. Raises ValueError."""
        ...

    def subject(self, name: bytes) -> str:
        """Return the subject of a name."""
        ...

    def value(self, message: Stored) -> bytes | None:
        """Return what is kept of a message, None where it removes its name. Raises ValueError."""
        ...

    def salvage(self, message: Stored) -> bytes:
        """Return what is kept of a message that ``name`` or ``value`` refused."""
        ...


@dataclass(slots=True)
class Source:
    """What mirrors are made from: the cache, the thread of the client, and the requests."""

    cache: Cache
    bridge: Bridge
    jetstream: JetStream


class Mirror:
    """The rows of ``stream`` on the subjects of ``filter``. Raises FAILURES besides what its methods say."""

    def __init__(self, source: Source, stream: str, subjects: str, kind: Kind) -> None:
        self.source = source
        self.stream = stream
        self.subjects = subjects
        self.kind = kind
        self._odd_told = False

    # -- looking ----------------------------------------------------------------------------------

    def look(self, work: Callable[[Rows, State], T]) -> T:
        """Return what ``work`` finds, at one instant after the call began. Raises ServiceUnavailable."""
        for _ in range(_TRIES):
            try:
                found = self._look(self.catch_up(), work)
            except CacheLost:
                continue
            if found is not None:
                return found[0]
        raise S3Error(Code.ServiceUnavailable)

    def _look(self, reached: State, work: Callable[[Rows, State], T]) -> tuple[T] | None:
        def at_once(rows: Rows) -> tuple[T] | None:
            # Another process may just have begun to read on, in steps.
            state = rows.state(self.stream)
            if state is None or state.id != reached.id or not state.whole or state.applied < reached.applied:
                return None
            return (work(rows, state),)

        return self.source.cache.read(at_once)

    def catch_up(self) -> State:
        """Bring the rows to where the stream is by now. Raises CacheLost, ServiceUnavailable."""
        state, least = self._begin()
        idle = state.rows > 0 and not 0 <= _now() - state.caught <= IDLE
        if not state.whole or state.applied < least:
            state = self._advance(state, least)
        elif not 0 <= _now() - state.caught <= _NOTED and not idle:
            state = self._note(state)
        if idle:
            state = self.count()
        return state

    def _begin(self) -> tuple[State, int]:
        """Return the rows' state, of the stream that there is, and the stream's last sequence number."""
        for attempt in range(_TRIES):
            # Before the leader is asked: what it then says cannot be less.
            state = self._state()
            info = self._call(self.source.jetstream.stream_info(self.stream))
            created, found = str(info["created"]), info["state"]
            least = int(found["last_seq"])
            if state is not None and state.created == created:
                if state.rows and int(found["first_seq"]) > state.applied:
                    # Whatever has been read is gone, and all that is there is still to be read.
                    pass
                elif least >= state.applied and int(found["messages"]) >= state.live:
                    return state, least
                elif attempt < _AGREE:
                    # A leader that was just chosen may not have everything in place yet.
                    time.sleep(0.1)
                    continue
                else:
                    log.warning("messages of %s are gone, its keys are read anew", self.stream)
            state = self._restart(state, created)
            if state is not None:
                return state, least
        raise S3Error(Code.ServiceUnavailable)

    def _restart(self, seen: State | None, created: str) -> State | None:
        """Begin with no rows; None where another process has done something else meanwhile."""
        fresh = State(created, secrets.token_bytes(ID), caught=_now())

        def work(rows: Rows) -> State | None:
            state = rows.state(self.stream)
            if (state and state.id) != (seen and seen.id):
                return None
            if state is not None:
                rows.abandon(self.stream, state)
            rows.keep(self.stream, fresh)
            return fresh

        return self.source.cache.write(work)

    def _note(self, seen: State) -> State:
        """Remember that the rows are as the stream is."""

        def work(rows: Rows) -> State:
            state = rows.state(self.stream)
            if state is None or state.id != seen.id or not state.whole:
                return seen
            state = msgspec.structs.replace(state, caught=_now())
            rows.keep(self.stream, state)
            return state

        return self.source.cache.write(work)

    # -- reading on -------------------------------------------------------------------------------

    def _advance(self, seen: State, least: int) -> State:
        with self._turn(seen, least):
            deadline = time.monotonic() + _TURN
            while time.monotonic() < deadline:
                state = self._state()
                if state is None or state.id != seen.id:
                    raise CacheLost
                if state.whole and state.applied >= least:
                    return state
                state = self._read_batches(state, least)
                if not state.whole or state.applied < least:
                    state = self._read_tail(state, least)
        raise S3Error(Code.ServiceUnavailable)

    def _read_batches(self, state: State, least: int) -> State:
        """Read to where some replica's messages end."""
        first = state
        while True:
            base = state.applied
            try:
                found, pending = self._call(
                    self.source.jetstream.batch(self.stream, self.subjects, base + 1, _BATCH, _BATCH_SIZE)
                )
            except NotSent:
                # The stream allows no direct get, or there is no stream: the leader will say.
                return state
            ended = not found or not pending
            # One answer has all there was: nobody, the leader neither, knows of more before ``least``.
            whole = ended and state is first and state.whole and bool(found) and found[-1].seq >= least
            state = self._apply(state, found, 0, whole)
            if ended:
                return state

    def _read_tail(self, state: State, least: int) -> State:
        """Read on as the leader has it."""
        found: list[Stored] = []

        async def ask() -> bool:
            seq = state.applied
            while len(found) < _TAIL:
                message = await self.source.jetstream.following(self.stream, self.subjects, seq + 1)
                if message is None:
                    return True
                found.append(message)
                seq = message.seq
            return False

        ended = self._call(ask())
        return self._apply(state, found, least if ended else 0, ended)

    def _apply(self, base: State, found: list[Stored], through: int, ended: bool) -> State:
        """Put messages that follow ``base`` into the rows; with ``ended`` they are all that there were."""
        changes = [self._change(message) for message in found]

        def work(rows: Rows) -> State:
            state = rows.state(self.stream)
            if state is None or state.id != base.id:
                return base
            alone = state.applied == base.applied and state.whole == base.whole
            new = [change for change in changes if change.message.seq > state.applied]
            if not alone and not new:
                return state
            whole = alone and ended
            applied = max(new[-1].message.seq if new else state.applied, through if whole else 0)
            fresh = 0 <= _now() - state.caught <= IDLE
            state = msgspec.structs.replace(
                rows.put(state, new),
                applied=applied,
                whole=whole or (state.whole and not new),
                # What was idle is counted before it is right.
                caught=_now() if whole and fresh else state.caught,
            )
            rows.keep(self.stream, state)
            return state

        return self.source.cache.write(work)

    def _change(self, message: Stored) -> Change:
        name = None
        try:
            name = self.kind.name(message.subject)
            return Change(message, name, self.kind.value(message))
        except ValueError as error:
            if not self._odd_told:
                self._odd_told = True
                log.warning("%s: message %d is none of ours: %s", self.stream, message.seq, error)
            return Change(message, name, self.kind.salvage(message), odd=True)

    @contextmanager
    def _turn(self, seen: State, least: int) -> Iterator[None]:
        """Wait while another one does the same work, as long as it gets on with it."""
        try:
            fd = os.open(
                _turn_file(self.source.cache.turns, self.stream), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            )
        except OSError as error:
            log.warning("the key index: %s", error)
            yield
            return
        try:
            self._wait(fd, seen, least)
            yield
        finally:
            os.close(fd)

    def _wait(self, fd: int, seen: State, least: int) -> None:
        began = moved = time.monotonic()
        pause, applied = 0.001, seen.applied
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                pass
            now = time.monotonic()
            state = self._state()
            if state is None or state.id != seen.id or (state.whole and state.applied >= least):
                return
            if state.applied != applied:
                applied, moved = state.applied, now
            if now - moved > 2 * self.source.jetstream.timeout:
                return
            if now - began > _TURN:
                raise S3Error(Code.ServiceUnavailable)
            time.sleep(pause)
            pause = min(pause * 2, 0.05)

    # -- being right ------------------------------------------------------------------------------

    def count(self) -> State:
        """Catch up, and begin anew where the stream has other subjects than the rows; see ``catch_up``."""
        for attempt in range(_AGREE):
            before, _ = self._settled()
            info = self._call(
                self.source.jetstream.stream_info(self.stream, subjects_filter=self.subjects, offset=_BEYOND)
            )
            total = int(info.get("total") or 0)
            after, _ = self._settled()
            if before.id == after.id and total in range(before.rows, after.rows + 1):
                return self._note(after)
            if attempt == 0:
                self.drop_vanished(after)
        log.warning("%s has other keys than the index, they are read anew", self.stream)
        self._restart(after, after.created)
        return self._settled()[0]

    def _settled(self) -> tuple[State, int]:
        state, least = self._begin()
        if not state.whole or state.applied < least:
            state = self._advance(state, least)
        return state, least

    def drop_vanished(self, state: State) -> None:
        """Drop the rows of removed names of which the stream has no message any more."""
        start: bytes | None = b""
        while start is not None:
            page, start = self.dead(state, start)
            self.drop(state, "dead", self.vanished(page))

    def dead(self, state: State, start: bytes) -> tuple[list[tuple[bytes, int, int]], bytes | None]:
        """Return some removed names from ``start`` on, with number and time, and where the next begin."""
        page = self.source.cache.read(lambda rows: list(islice(rows.dead(state, start), _PAGE)))
        return page, page[-1][0] + b"\0" if len(page) == _PAGE else None

    def vanished(self, page: list[tuple[bytes, int, int]]) -> list[tuple[bytes, int]]:
        """Return those of removed names of which the stream has no message any more."""
        if not page:
            return []
        subjects = [self.kind.subject(name) for name, _, _ in page]
        there = self._call(self._present(subjects))
        return [(row[0], row[1]) for row, subject in zip(page, subjects, strict=True) if subject not in there]

    async def _present(self, subjects: list[str]) -> set[str]:
        jetstream = self.source.jetstream
        try:
            return await jetstream.present(self.stream, subjects)
        except NotSent:
            # No direct get.
            return {subject for subject in subjects if await jetstream.last(self.stream, subject) is not None}

    def forget(self, name: bytes, seq: int) -> None:
        """Drop the row of a name whose message of this number is no more. Raises ServiceUnavailable."""
        with suppress(CacheLost):
            state = self._state()
            if state is not None:
                self.drop(state, "live", [(name, seq)])

    def drop(self, seen: State, table: str, names: list[tuple[bytes, int]]) -> None:
        """Drop the rows in "live" or "dead" that still have these numbers."""

        def work(rows: Rows) -> None:
            state = rows.state(self.stream)
            if state is not None and state.id == seen.id:
                rows.keep(self.stream, rows.drop(state, table, names))

        if names:
            self.source.cache.write(work)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return self.source.bridge.call(work)

    def _state(self) -> State | None:
        return self.source.cache.read(lambda rows: rows.state(self.stream))


def _turn_file(directory: Path, stream: str) -> Path:
    # So many files at most; that two streams share one costs them a wait.
    return directory / blake2b(stream.encode(), digest_size=1).hexdigest()


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
