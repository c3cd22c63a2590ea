"""Key-value buckets of NATS: documents of buckets, uploads under way, leases.

What the storage keeps is in one stream, ``KV_s3shim``, so that every NATS tool shows it. Keys are dots
between tokens of A-Z a-z 0-9 _ - =. Source: ADR-8 (JetStream based Key-Value Stores).
"""

from __future__ import annotations

import asyncio

from s3shim.backends.nats.failures import STREAM_EXISTS, STREAM_NOT_FOUND, JetStreamError, NotSent
from s3shim.backends.nats.jetstream import Headers, JetStream, Stored

BUCKET = "s3shim"
STREAM = f"KV_{BUCKET}"
PREFIX = f"$KV.{BUCKET}."

_EXPECT = "Nats-Expected-Last-Subject-Sequence"
_OPERATION = "KV-Operation"
_MARK = 4 * 3600
"""Seconds for which a deleted key leaves a mark: longer than an index of values may be idle unchecked."""


class KeyValue:
    """A bucket; its stream is made when it is first missed, with these ``options``. For the loop."""

    def __init__(self, js: JetStream, replicas: int, bucket: str = BUCKET, **options: object) -> None:
        self.js = js
        self.replicas = replicas
        self.stream = f"KV_{bucket}"
        self.prefix = f"$KV.{bucket}."
        self._options = options
        self._making = asyncio.Lock()

    async def get(self, key: str) -> Stored | None:
        """Return the value's message as the leader has it; None where there is none or it was deleted."""
        found = await self.last(key)
        return None if found is None or is_gone(found) else found

    async def last(self, key: str) -> Stored | None:
        """Return the key's last message, which may say that it was deleted."""
        try:
            return await self.js.last(self.stream, self.prefix + key)
        except JetStreamError as refused:
            if refused.code != STREAM_NOT_FOUND:
                raise
            return None

    async def put(self, key: str, value: bytes, expected: int | None = None, *, seconds: int = 0) -> int:
        """Store a value; return its number.

        With ``expected`` only over the message of that number, 0 for none. After ``seconds``, where given,
        the server removes it. Raises JetStreamError, NotSent, NoAnswer.
        """
        headers: Headers = {}
        if expected is not None:
            headers[_EXPECT] = str(expected)
        if seconds:
            headers["Nats-TTL"] = f"{seconds}s"
        return await self._publish(key, value, headers)

    async def delete(self, key: str, expected: int | None = None) -> int:
        """Mark a key as deleted; the mark goes after some hours. Raises as ``put``."""
        headers = {_OPERATION: "DEL", "Nats-TTL": f"{_MARK}s"}
        if expected is not None:
            headers[_EXPECT] = str(expected)
        return await self._publish(key, b"", headers)

    async def _publish(self, key: str, value: bytes, headers: Headers) -> int:
        try:
            return await self.js.publish(self.prefix + key, value, headers)
        except NotSent:
            await self.ensure()
        return await self.js.publish(self.prefix + key, value, headers)

    async def ensure(self) -> None:
        """Make the stream where there is none, with the replicas that are asked for."""
        async with self._making:
            try:
                info = await self.js.stream_info(self.stream)
            except JetStreamError as refused:
                if refused.code != STREAM_NOT_FOUND:
                    raise
                try:
                    await self.js.do(f"STREAM.CREATE.{self.stream}", self._config())
                except JetStreamError as again:
                    if again.code != STREAM_EXISTS:
                        raise
                return
            config = info["config"]
            if config.get("num_replicas", 1) != self.replicas:
                await self.js.do(f"STREAM.UPDATE.{self.stream}", config | {"num_replicas": self.replicas})

    def _config(self) -> dict[str, object]:
        return {
            "name": self.stream,
            "subjects": [self.prefix + ">"],
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "max_msgs_per_subject": 1,
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_msg_size": -1,
            "max_age": 0,
            "num_replicas": self.replicas,
            "allow_direct": True,
            "allow_rollup_hdrs": True,
            "deny_delete": True,
            "allow_msg_ttl": True,
            "subject_delete_marker_ttl": 3_600_000_000_000,
            **self._options,
        }


def is_gone(message: Stored) -> bool:
    """Whether a message says that its key has no value any more."""
    return message.headers.get(_OPERATION) in ("DEL", "PURGE") or "Nats-Marker-Reason" in message.headers
