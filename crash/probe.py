"""Looks at objects of a shelf of which some are damaged: every read is right, or fails as it must."""

from __future__ import annotations

import http.client
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from random import Random
from xml.etree import ElementTree

from crash.shelf import BLOCK, BUCKET, Interval, Shelf
from crash.suite import Outcome
from s3shim.backends.local import LocalBackend
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import S3Error
from s3shim.model import ObjectRef
from s3shim.ranges import ByteRange
from tests.wire.client import LiveClient


@dataclass(slots=True)
class Reading:
    """What a reader got: ``whole`` if it may take ``data`` for all, else ``code`` if nothing was begun."""

    data: bytes
    whole: bool
    code: str | None = None


@dataclass(slots=True)
class Damage:
    """What a change of stored bytes breaks: by key, the pieces that cannot be read, in order.

    ``lost`` are the keys whose records are damaged: their HEAD fails too.
    """

    label: str
    broken: dict[str, list[Interval]]
    lost: set[str] = field(default_factory=set)


class Reader(ABC):
    """Reads objects of a shelf."""

    @abstractmethod
    def read(self, key: str, first: int | None = None, last: int = 0) -> Reading:
        """Read an object, or its bytes ``first`` to ``last``."""

    @abstractmethod
    def size(self, key: str) -> int | None:
        """Return what HEAD says of the size; None where it is an error."""


class BackendReader(Reader):
    """Reads from the backend."""

    def __init__(self, backend: LocalBackend) -> None:
        self._backend = backend

    def read(self, key: str, first: int | None = None, last: int = 0) -> Reading:
        """See Reader."""
        byte_range = None if first is None else ByteRange(first, last)
        data = bytearray()
        try:
            stream = self._backend.get_object(ObjectRef(BUCKET, key), byte_range, NO_CONDITIONS)
        except S3Error as error:
            return Reading(b"", False, error.code.name)
        try:
            for chunk in stream.chunks:
                data += chunk
        except S3Error:
            return Reading(bytes(data), False)
        finally:
            stream.chunks.close()
        return Reading(bytes(data), len(data) == stream.length)

    def size(self, key: str) -> int | None:
        """See Reader."""
        try:
            return self._backend.head_object(ObjectRef(BUCKET, key), NO_CONDITIONS).size
        except S3Error:
            return None


class ServerReader(Reader):
    """Reads from a server, each time on a connection of its own."""

    def __init__(self, client: LiveClient) -> None:
        self._client = client

    def read(self, key: str, first: int | None = None, last: int = 0) -> Reading:
        """See Reader."""
        headers = {} if first is None else {"Range": f"bytes={first}-{last}"}
        draft = self._client.draft("GET", f"/{BUCKET}/{key}", headers)
        connection = http.client.HTTPConnection(*self._client.address, timeout=30)
        try:
            connection.request("GET", draft.target, headers=dict(draft.headers))
            answer = connection.getresponse()
            assert answer.headers["content-length"], key
            try:
                data, whole = answer.read(), True
            except http.client.IncompleteRead as cut:
                data, whole = cut.partial, False
            except ConnectionResetError:
                data, whole = b"", False
        finally:
            connection.close()
        if answer.status >= 300:
            return Reading(b"", False, ElementTree.fromstring(data).findtext("Code"))
        assert answer.status == (200 if first is None else 206), answer.status
        return Reading(data, whole)

    def size(self, key: str) -> int | None:
        """See Reader."""
        answer = self._client.request("HEAD", f"/{BUCKET}/{key}")
        assert answer.status in (200, 500), (key, answer)
        return int(answer.headers["content-length"]) if answer.status == 200 else None


class Probe:
    """Holds what a Reader gives against a shelf; counts into ``outcome`` and notes what is wrong there."""

    def __init__(self, shelf: Shelf, reader: Reader, outcome: Outcome, random: Random) -> None:
        self._shelf = shelf
        self._reader = reader
        self._outcome = outcome
        self._random = random

    def look(self, damage: Damage) -> None:
        """Look at everything that ``damage`` breaks, and at some object that it does not."""
        for key, broken in damage.broken.items():
            self._look_at(damage, key, broken)
        intact = sorted(self._shelf.held.keys() - damage.broken.keys())
        self._read(damage, self._random.choice(intact), [], None)

    def look_at_all(self) -> None:
        """Look at every object, none of which is damaged."""
        nothing = Damage("nothing", {})
        for key in self._shelf.held:
            self._read(nothing, key, [], None)
            self._head(nothing, key)

    def _look_at(self, damage: Damage, key: str, broken: list[Interval]) -> None:
        size = len(self._shelf.held[key].data)
        self._read(damage, key, broken, None)
        if size:
            start, stop = self._random.choice(broken)
            within = self._random.randrange(start, stop)
            self._read(damage, key, broken, (within, self._random.randrange(within, size)))
            self._read(damage, key, broken, (self._random.randrange(within + 1), within))
            for first, last in _between(broken, size):
                self._read(damage, key, broken, (first, last - 1))
        self._head(damage, key)

    def _head(self, damage: Damage, key: str) -> None:
        size = self._reader.size(key)
        right = None if key in damage.lost else len(self._shelf.held[key].data)
        self._outcome.check(size == right, f"{damage.label}: HEAD of {key} says {size}")

    def _read(self, damage: Damage, key: str, broken: list[Interval], asked: tuple[int, int] | None) -> None:
        # The first piece is read before the answer begins; what follows ends it at the damage.
        data = self._shelf.held[key].data
        first, last = (0, len(data) - 1) if asked is None else asked
        got = self._reader.read(key, *(asked or ()))
        hit = [interval for interval in broken if interval[0] <= last and first < interval[1]]
        label = f"{damage.label}: {key} from {first} to {last}"
        counts, check = self._outcome.counts, self._outcome.check
        counts["reads"] += 1
        if not check(data[first : last + 1].startswith(got.data), f"{label}: wrong bytes"):
            counts["wrong bytes"] += 1
        if not hit and key not in damage.lost:
            check(got.whole and len(got.data) == last + 1 - first, f"{label}: {got.code} though not damaged")
            return
        if not check(not got.whole, f"{label}: the damage is not detected"):
            counts["undetected"] += 1
            return
        begins = hit[0][0] if hit else 0
        if begins <= first or got.code is not None:
            check(got.code == "InternalError", f"{label}: {got.code}, and not an error before the answer")
        else:
            check(len(got.data) == begins - first, f"{label}: {len(got.data)} bytes, then the end")


def _between(broken: list[Interval], size: int) -> list[Interval]:
    # The largest runs without damage, and none of one block or more in the midst of others is left out.
    position, runs = 0, []
    for start, stop in [*broken, (size, size)]:
        if position < start:
            runs.append((position, start))
        position = stop
    return sorted(runs, key=lambda run: run[0] - run[1])[: 1 + (size > 4 * BLOCK)]
