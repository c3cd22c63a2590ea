"""The current values of a key-value store, in byte order of their keys.

Source: ADR-8 (JetStream based Key-Value Stores), ADR-43 (JetStream per-message TTL) for the marker that takes
the place of a value whose time is over.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from s3shim.backends.nats.jetstream import Stored
from s3shim.backends.nats.mirror import Mirror, Source
from s3shim.backends.nats.rows import Damaged, Rows, State

T = TypeVar("T")

_HEAD = struct.Struct(">QQ")
_LONGEST_KEY = 1024
_REMOVED = frozenset({"DEL", "PURGE"})


@dataclass(slots=True)
class Value:
    """A value under its key; ``seq`` is its revision, ``time`` the server's when it was put, in ms."""

    key: str
    data: bytes
    seq: int
    time: int


class KeyValues:
    """The messages of a key-value store; a Kind."""

    def __init__(self, store: str) -> None:
        self._prefix = f"$KV.{store}."

    def name(self, subject: str) -> bytes:
        """Return the key."""
        name = subject.removeprefix(self._prefix).encode()
        if len(name) > _LONGEST_KEY:
            raise ValueError("the key is too long")
        return name

    def subject(self, name: bytes) -> str:
        """Return the subject of a key."""
        return self._prefix + name.decode()

    def value(self, message: Stored) -> bytes | None:
        """Return the value, None for a marker."""
        headers = message.headers
        if headers.get("KV-Operation") in _REMOVED or "Nats-Marker-Reason" in headers:
            return None
        return message.time.to_bytes(8, "big") + message.data

    def salvage(self, message: Stored) -> bytes:
        """Return nothing."""
        return b""


class Values:
    """The values of the key-value store ``store``. Raises FAILURES and ServiceUnavailable."""

    def __init__(self, source: Source, store: str) -> None:
        self.mirror = Mirror(source, f"KV_{store}", f"$KV.{store}.>", KeyValues(store))

    def scan(self, prefix: str, start: str = "") -> list[Value]:
        """Return the values whose keys begin with ``prefix``, those from ``start`` on, at one instant."""
        return self.look(lambda values: list(values(prefix, start)))

    def look(self, work: Callable[[Callable[[str, str], Iterator[Value]]], T]) -> T:
        """Return what ``work`` makes of the values, at one instant.

        It is given a function that yields the values whose keys begin with a prefix, from a start on.
        """
        return self.mirror.look(
            lambda rows, state: work(lambda prefix, start: _values(rows, state, prefix, start))
        )


def _values(rows: Rows, state: State, prefix: str, start: str) -> Iterator[Value]:
    stem = prefix.encode()
    for name, value in rows.live(state, max(stem, start.encode())):
        if not name.startswith(stem):
            return
        try:
            seq, time = _HEAD.unpack_from(value)
        except struct.error:
            raise Damaged("a value has no number") from None
        yield Value(name.decode(), value[_HEAD.size :], seq, time)
