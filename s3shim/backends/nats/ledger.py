"""A ledger in a key-value bucket of NATS, ``KV_s3shim_leases``.

A line is removed as a message, not marked as deleted: then whoever takes the name next writes over
revision 0, in one round trip.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from s3shim.backends.ledger import Ledger, Line
from s3shim.backends.nats.failures import (
    FAILURES,
    STREAM_NOT_FOUND,
    WRONG_LAST_SEQUENCE,
    JetStreamError,
)
from s3shim.backends.nats.kv import KeyValue, is_gone
from s3shim.backends.nats.remote import Remote
from s3shim.backends.nats.settings import NatsSettings
from s3shim.errors import Code, S3Error

T = TypeVar("T")

_BUCKET = "s3shim_leases"
_REMOVING = 1.0
_AWAY = "The leases of the storage cannot be reached."

_OPTIONS = {
    "deny_delete": False,
    # What a process that died has left and nobody asks for: no lease is nearly so long.
    "max_age": 86_400 * 10**9,
    "allow_msg_ttl": False,
    "subject_delete_marker_ttl": 0,
}

log = logging.getLogger(__name__)


class NatsLedger(Ledger):
    """See Ledger."""

    def __init__(self, settings: NatsSettings) -> None:
        self._settings = settings
        self._remote: Remote | None = None
        self._kv: KeyValue | None = None

    def start(self) -> None:
        """See Ledger."""
        self._remote = Remote(self._settings)
        self._kv = KeyValue(self._remote.js, self._settings.replicas, _BUCKET, **_OPTIONS)
        self._remote.start()

    def close(self) -> None:
        """See Ledger."""
        remote, self._remote, self._kv = self._remote, None, None
        if remote is not None:
            remote.close()

    def check(self) -> None:
        """See Ledger."""
        if self._remote is None:
            raise S3Error(Code.ServiceUnavailable)
        try:
            self._remote.check()
        except S3Error:
            raise S3Error(Code.ServiceUnavailable, _AWAY) from None

    def read(self, name: str) -> Line:
        """See Ledger."""
        kv = self._open()
        found = self._call(kv.last(name))
        if found is None:
            return Line(0, b"")
        return Line(found.seq, b"" if is_gone(found) else found.data)

    def write(self, lines: Mapping[str, Line]) -> dict[str, int]:
        """See Ledger."""
        return self._call(_write(self._open(), lines))

    def remove(self, revisions: Mapping[str, int]) -> None:
        """See Ledger."""
        try:
            self._call(_remove(self._open(), list(revisions.values())))
        except S3Error:
            log.debug("leases are not given back: they will run out")

    def names(self, stem: str) -> list[str]:
        """See Ledger."""
        return self._call(_names(self._open(), stem))

    def _open(self) -> KeyValue:
        # Without a connection at once: whoever asks would wait for one in the way of those who only read.
        if self._remote is None or self._kv is None or not self._remote.connection.connected:
            raise S3Error(Code.ServiceUnavailable, _AWAY)
        return self._kv

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        remote = self._remote
        if remote is None:
            work.close()
            raise S3Error(Code.ServiceUnavailable)
        try:
            return remote.bridge.call(work)
        except FAILURES as failure:
            remote.connection.warn(_AWAY, str(failure))
            raise S3Error(Code.ServiceUnavailable, _AWAY) from None


async def _write(kv: KeyValue, lines: Mapping[str, Line]) -> dict[str, int]:
    writes = (_put(kv, name, line) for name, line in lines.items())
    outcomes = dict(zip(lines, await asyncio.gather(*writes, return_exceptions=True), strict=True))
    written = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, int)}
    for outcome in outcomes.values():
        if isinstance(outcome, BaseException):
            await _remove(kv, list(written.values()))
            raise outcome
    return written


async def _put(kv: KeyValue, name: str, line: Line) -> int | None:
    """Return the new revision, None where another one is there. Raises FAILURES."""
    try:
        return await kv.put(name, line.value, line.revision)
    except JetStreamError as refused:
        if refused.code in WRONG_LAST_SEQUENCE:
            return None
        raise


async def _remove(kv: KeyValue, revisions: list[int]) -> None:
    operation = f"STREAM.MSG.DELETE.{kv.stream}"
    removals = (kv.js.do(operation, {"seq": seq, "no_erase": True}, _REMOVING) for seq in revisions)
    # What is not there any more is another one's by now.
    await asyncio.gather(*removals, return_exceptions=True)


async def _names(kv: KeyValue, stem: str) -> list[str]:
    try:
        info = await kv.js.stream_info(kv.stream, subjects_filter=f"{kv.prefix}{stem}.>")
    except JetStreamError as refused:
        if refused.code == STREAM_NOT_FOUND:
            return []
        raise
    return [subject.removeprefix(kv.prefix) for subject in info["state"].get("subjects") or ()]
