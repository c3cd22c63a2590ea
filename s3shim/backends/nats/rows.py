"""The rows that mirror streams, within a transaction of the cache."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice

import lmdb
import msgspec

from s3shim.backends.nats.jetstream import Stored

TABLES = ("state", "live", "dead", "odd", "gone")
ID = 8
LIVE = struct.Struct(">Q")
DEAD = struct.Struct(">QQ")


class Damaged(lmdb.Error):
    """A row is not what was written, or stands where it does not belong."""


class State(msgspec.Struct, array_like=True, frozen=True):
    """How far the rows of a stream are.

    ``created`` is when the stream was, as the server says it, ``id`` begins the keys of its rows. All
    messages up to ``applied`` have been read; with ``whole`` the rows are what the stream held at an instant.
    ``live``, ``dead`` and ``odd`` count the rows. ``caught``: when the rows were last whole, in s since the
    machine's start; see IDLE of ``mirror``.
    """

    created: str
    id: bytes
    applied: int = 0
    whole: bool = False
    live: int = 0
    dead: int = 0
    odd: int = 0
    caught: float = 0.0

    @property
    def rows(self) -> int:
        """How many subjects the stream has, if the rows are right."""
        return self.live + self.dead + self.odd


class Change(msgspec.Struct, frozen=True):
    """A message as rows: ``name`` None where its subject is none of ours, ``value`` None where it removes.

    ``odd``: it holds nothing that we know, ``value`` is what was salvaged.
    """

    message: Stored
    name: bytes | None
    value: bytes | None = None
    odd: bool = False


_decode_state = msgspec.msgpack.Decoder(State).decode
_encode = msgspec.msgpack.Encoder().encode


class Rows:
    """The tables within a transaction.

    state  name of a stream             State
    live   id of its rows, name         what is there: sequence number (8 bytes), value
    dead   id of its rows, name         what was removed: sequence number and time (8 bytes each)
    odd    id of its rows, digest       the subject of what we do not know: sequence number, what was salvaged
    gone   id of rows                   nothing: these rows belong to no stream any more
    """

    __slots__ = ("_tables", "txn")

    def __init__(self, txn: lmdb.Transaction[bytes], tables: dict[str, lmdb._Database]) -> None:
        self.txn = txn
        self._tables = tables

    def end(self) -> None:
        """Give the transaction up: LMDB's slot is free once nothing refers to it, no traceback either."""
        self.txn.abort()
        del self.txn

    def scan(self, table: str, stem: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield (name, value) of the rows under ``stem`` from the name ``start`` on, in order.

        Damaged where their order is broken: in a damaged tree LMDB may go back and forth for ever.
        """
        least, width = stem + start, len(stem)
        with self.txn.cursor(self._tables[table]) as cursor:
            if cursor.set_range(least):
                for key, value in cursor:
                    if not key.startswith(stem):
                        return
                    if key < least:
                        raise Damaged("the order of rows is broken")
                    yield key[width:], value
                    least = key + b"\0"

    # -- state ------------------------------------------------------------------------------------

    def streams(self) -> list[str]:
        """Return the names of the streams that have rows."""
        return [name.decode() for name, _ in self.scan("state", b"")]

    def state(self, stream: str) -> State | None:
        """Return the state of a stream's rows, None where it has none."""
        value = self.txn.get(stream.encode(), db=self._tables["state"])
        return None if value is None else _decode_state(value)

    def keep(self, stream: str, state: State) -> None:
        """Put the state of a stream's rows."""
        self.txn.put(stream.encode(), _encode(state), db=self._tables["state"])

    def abandon(self, stream: str, state: State) -> None:
        """Let the rows of a stream belong to none."""
        self.txn.put(state.id, b"", db=self._tables["gone"])
        self.txn.delete(stream.encode(), db=self._tables["state"])

    def sweep(self, limit: int) -> bool:
        """Remove up to ``limit`` rows that belong to no stream; return whether there may be more."""
        for identity, _ in list(self.scan("gone", b"")):
            for table in ("live", "dead", "odd"):
                names = [name for name, _ in islice(self.scan(table, identity), limit)]
                for name in names:
                    self.txn.delete(identity + name, db=self._tables[table])
                limit -= len(names)
            if not limit:
                return True
            self.txn.delete(identity, db=self._tables["gone"])
        return False

    # -- names ------------------------------------------------------------------------------------

    def put(self, state: State, changes: list[Change]) -> State:
        """Put messages, in order, into the rows of ``state``; return it with the counts of now."""
        live, dead, odd = state.live, state.dead, state.odd
        txn, tables = self.txn, self._tables
        for change in changes:
            seq = LIVE.pack(change.message.seq)
            row = None if change.name is None else state.id + change.name
            unknown = state.id + blake2b(change.message.subject.encode(), digest_size=16).digest()
            if odd and not change.odd:
                odd -= txn.delete(unknown, db=tables["odd"])
            if row is not None and dead:
                dead -= txn.delete(row, db=tables["dead"])
            if row is not None and (change.odd or change.value is None):
                live -= txn.delete(row, db=tables["live"])
            if change.odd:
                odd += self._set("odd", unknown, seq + (change.value or b""))
            elif row is not None and change.value is None:
                dead += self._set("dead", row, DEAD.pack(change.message.seq, change.message.time))
            elif row is not None and change.value is not None:
                live += self._set("live", row, seq + change.value)
        return msgspec.structs.replace(state, live=live, dead=dead, odd=odd)

    def _set(self, table: str, row: bytes, value: bytes) -> bool:
        """Put a row; return whether it is a new one."""
        if self.txn.put(row, value, overwrite=False, db=self._tables[table]):
            return True
        self.txn.put(row, value, db=self._tables[table])
        return False

    def live(self, state: State, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield (name, value) of what is there, the value behind its sequence number, from ``start`` on."""
        # A name has fewer bytes than what LMDB refuses to look for.
        return self.scan("live", state.id, start[:1900])

    def odd(self, state: State) -> Iterator[bytes]:
        """Yield what was salvaged of the messages that we do not know."""
        for _, value in self.scan("odd", state.id):
            yield value[LIVE.size :]

    def dead(self, state: State, start: bytes = b"") -> Iterator[tuple[bytes, int, int]]:
        """Yield (name, sequence number, time in ms) of what was removed, from ``start`` on."""
        for name, value in self.scan("dead", state.id, start):
            try:
                yield name, *DEAD.unpack(value)
            except struct.error:
                raise Damaged("a removed name has no number") from None

    def drop(self, state: State, table: str, names: list[tuple[bytes, int]]) -> State:
        """Remove the rows in "live" or "dead" that still have these numbers; return the state of now."""
        dropped = 0
        for name, seq in names:
            row = state.id + name
            found = self.txn.get(row, db=self._tables[table])
            if found is not None and found[:ID] == LIVE.pack(seq):
                dropped += self.txn.delete(row, db=self._tables[table])
        return msgspec.structs.replace(state, **{table: getattr(state, table) - dropped})
