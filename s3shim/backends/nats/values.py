"""The current values of the key-value bucket (``kv``), in byte order of their keys."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from s3shim.backends.nats.failures import STREAM_NOT_FOUND, JetStreamError
from s3shim.backends.nats.jetstream import Stored
from s3shim.backends.nats.kv import PREFIX, STREAM, is_gone
from s3shim.backends.nats.mirror import Mirror, Source
from s3shim.backends.nats.rows import Damaged, Rows, State

T = TypeVar("T")

_HEAD = struct.Struct(">QQ")
_LONGEST_KEY = 1024


@dataclass(slots=True)
class Value:
    """A value under its key; ``seq`` is its revision, ``time`` the server's when it was put, in ms."""

    key: str
    data: bytes
    seq: int
    time: int


Find = Callable[[str, str], Iterator[Value]]
"""Yields the values whose keys begin with the first string, from the second one on."""


class KeyValues:
    """The messages of the bucket; a Kind."""

    def name(self, subject: str) -> bytes:
        """Return the key."""
        name = subject.removeprefix(PREFIX).encode()
        if len(name) > _LONGEST_KEY:
            raise ValueError("the key is too long")
        return name

    def subject(self, name: bytes) -> str:
        """Return the subject of a key."""
        return PREFIX + name.decode()

    def value(self, message: Stored) -> bytes | None:
        """Return the time and the value, None for a marker."""
        return None if is_gone(message) else message.time.to_bytes(8, "big") + message.data

    def salvage(self, message: Stored) -> bytes:
        """Return nothing."""
        return b""


class Values:
    """The values, none where the bucket is not made yet. Raises FAILURES and ServiceUnavailable."""

    def __init__(self, source: Source) -> None:
        self.mirror = Mirror(source, STREAM, PREFIX + ">", KeyValues())

    def scan(self, prefix: str, start: str = "") -> list[Value]:
        """Return the values whose keys begin with ``prefix``, those from ``start`` on, at one instant."""
        return self.look(lambda find: list(find(prefix, start)))

    def look(self, work: Callable[[Find], T]) -> T:
        """Return what ``work`` makes of the values, at one instant."""
        try:
            return self.mirror.look(lambda rows, state: work(_finder(rows, state)))
        except JetStreamError as refused:
            if refused.code != STREAM_NOT_FOUND:
                raise
        return work(lambda prefix, start: iter(()))


def _finder(rows: Rows, state: State) -> Find:
    def find(prefix: str, start: str) -> Iterator[Value]:
        stem = prefix.encode()
        for name, value in rows.live(state, max(stem, start.encode())):
            if not name.startswith(stem):
                return
            try:
                seq, time = _HEAD.unpack_from(value)
            except struct.error:
                raise Damaged("a value has no number") from None
            yield Value(name.decode(), value[_HEAD.size :], seq, time)

    return find
