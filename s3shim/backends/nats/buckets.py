"""Buckets as streams: made and removed without a race, their owner in the stream's metadata."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from s3shim.backends.nats.failures import (
    FAILURES,
    STORE_NOT_MADE,
    STREAM_EXISTS,
    STREAM_NOT_FOUND,
    JetStreamError,
    NoAnswer,
    NotSent,
    answer_of,
)
from s3shim.backends.nats.format import (
    all_chunks,
    all_meta,
    bucket_of_stream,
    is_store_name,
    store_of,
    stream_of,
)
from s3shim.backends.nats.jetstream import JetStream
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo
from s3shim.times import milliseconds

OWNER, CREATED, NONCE, CLOSING = "s3shim-owner", "s3shim-created", "s3shim-nonce", "s3shim-closing"

AT_REST = 0.03
"""Seconds for which a bucket to be deleted takes no metadata.

A writer that needs less, and has not seen that it is closing, has seen one bucket only.
"""

_REMEMBERED = 1.0
_LAST_LOOK = 0.5
_CLOSING_FOR = 30_000
_PAGE = 256
_PAUSES = (0.02, 0.05, 0.1, 0.2, 0.4)


@dataclass(slots=True)
class BucketStream:
    """A bucket and its stream. ``incarnation`` is another one for each stream of the same name.

    ``made`` is when the stream was, as the server says it; ``state`` is the stream's: first_seq, last_seq,
    messages, bytes.
    """

    info: BucketInfo
    store: str
    incarnation: str
    made: str
    replicas: int
    direct: bool
    config: dict[str, Any]
    state: dict[str, Any]

    @property
    def closing(self) -> bool:
        """Whether it may be about to be deleted."""
        return CLOSING in (self.config.get("metadata") or {})


class BucketStreams:
    """All buckets; for the loop, but ``remembered``. A stream of another client belongs to ``account``."""

    def __init__(self, js: JetStream, replicas: int, account: str) -> None:
        self.js = js
        self.replicas = replicas
        self.account = account
        self._seen: dict[str, tuple[float, BucketStream]] = {}

    def remembered(self, bucket: str) -> BucketStream | None:
        """Return what was seen of a bucket during the last second; for any thread."""
        seen = self._seen.get(bucket)
        return seen[1] if seen is not None and time.monotonic() < seen[0] else None

    async def find(self, bucket: str) -> BucketStream:
        """Return a bucket as the leader of its stream has it. Raises NoSuchBucket, ServiceUnavailable."""
        if not is_store_name(store_of(bucket)):
            raise S3Error(Code.NoSuchBucket, BucketName=bucket)
        try:
            answer = await self.js.stream_info(stream_of(bucket))
        except FAILURES as failure:
            self._seen.pop(bucket, None)
            raise answer_of(failure, bucket) from None
        return self.note(bucket, answer)

    def note(self, bucket: str, answer: dict[str, Any]) -> BucketStream:
        """Return the bucket that an answer of STREAM.INFO speaks of, and remember it; for any thread."""
        found = self._of(bucket, answer)
        if len(self._seen) > 10_000:
            self._seen.clear()
        self._seen[bucket] = time.monotonic() + _REMEMBERED, found
        return found

    async def list(self) -> list[BucketInfo]:
        """Return all buckets by name. Raises ServiceUnavailable."""
        found: list[BucketInfo] = []
        offset = 0
        try:
            while True:
                page = await self.js.ask("STREAM.LIST", {"offset": offset, "subject": "$O.>"})
                streams = page.get("streams") or []
                for answer in streams:
                    bucket = bucket_of_stream(answer["config"]["name"])
                    if bucket is not None:
                        found.append(self._of(bucket, answer).info)
                offset += len(streams)
                if not streams or offset >= page.get("total", 0):
                    return sorted(found, key=lambda info: info.name)
        except FAILURES as failure:
            raise answer_of(failure, "") from None

    async def create(self, info: BucketInfo) -> None:
        """Make a bucket. Raises BucketAlreadyOwnedByYou, BucketAlreadyExists, TooManyBuckets.

        Two streams of the same configuration are one for JetStream, so each has a number of its own.
        """
        nonce = secrets.token_hex(16)
        metadata = {OWNER: info.owner, CREATED: str(info.created), NONCE: nonce}
        stream = stream_of(info.name)
        try:
            answer = await self._make(stream, self._config(info.name, metadata))
            await self._empty(info.name, self._of(info.name, answer))
            return
        except JetStreamError as refused:
            if refused.code != STREAM_EXISTS:
                raise answer_of(refused, info.name) from None
        except NotSent as failure:
            raise answer_of(failure, info.name) from None
        except NoAnswer as failure:
            # It may have been made all the same: then it carries our number.
            found = await self._look(info.name)
            if found is None or (found.config.get("metadata") or {}).get(NONCE) != nonce:
                raise answer_of(failure, info.name) from None
            await self._empty(info.name, found)
            return
        same = (await self.find(info.name)).info.owner == info.owner
        raise S3Error(
            Code.BucketAlreadyOwnedByYou if same else Code.BucketAlreadyExists, BucketName=info.name
        )

    async def _look(self, bucket: str) -> BucketStream | None:
        try:
            async with asyncio.timeout(_LAST_LOOK):
                return await self.find(bucket)
        except (S3Error, TimeoutError):
            return None

    async def _make(self, stream: str, config: dict[str, Any]) -> dict[str, Any]:
        for pause in _PAUSES:
            try:
                return await self.js.do(f"STREAM.CREATE.{stream}", config)
            except JetStreamError as refused:
                # Its files are in the way of those of a stream of this name that is still being removed.
                if refused.code != STORE_NOT_MADE:
                    raise
            await asyncio.sleep(pause)
        return await self.js.do(f"STREAM.CREATE.{stream}", config)

    async def _empty(self, bucket: str, found: BucketStream) -> None:
        """Remove what is older than the stream.

        Where nats-server 2.15.1 is still removing the files of a stream, and the next of its name is removed
        as well, the files of that one stay, and the third stream begins with its messages.
        """
        state = found.state
        if state["messages"] and milliseconds(state["first_ts"]) <= milliseconds(found.made):
            try:
                await self.js.do(f"STREAM.PURGE.{stream_of(bucket)}", {"seq": state["last_seq"] + 1})
            except FAILURES as failure:
                raise answer_of(failure, bucket) from None

    async def shut(self, bucket: str) -> BucketStream:
        """Let the bucket take no metadata: what is in it now can be looked at without a race."""
        found = await self.find(bucket)
        metadata = dict(found.config.get("metadata") or {}) | {CLOSING: str(time.time_ns() // 1_000_000)}
        subjects = [subject for subject in found.config["subjects"] if subject != all_meta(bucket)]
        await self._update(bucket, found.config | {"subjects": subjects, "metadata": metadata})
        await asyncio.sleep(AT_REST)
        return found

    async def reopen(self, bucket: str, found: BucketStream) -> None:
        """Let the bucket take metadata again."""
        metadata = dict(found.config.get("metadata") or {})
        metadata.pop(CLOSING, None)
        subjects = [subject for subject in found.config["subjects"] if subject != all_meta(bucket)]
        config = found.config | {"subjects": [*subjects, all_meta(bucket)], "metadata": metadata}
        await self._update(bucket, config)

    async def reopen_abandoned(self, bucket: str, found: BucketStream) -> None:
        """Reopen a bucket whose deletion was begun by somebody who is gone."""
        closing = (found.config.get("metadata") or {}).get(CLOSING)
        if closing and time.time_ns() // 1_000_000 - int(closing) > _CLOSING_FOR:
            await self.reopen(bucket, found)

    async def remove(self, bucket: str) -> None:
        """Delete the stream."""
        self._seen.pop(bucket, None)
        try:
            await self.js.do(f"STREAM.DELETE.{stream_of(bucket)}", {})
        except FAILURES as failure:
            if isinstance(failure, JetStreamError) and failure.code == STREAM_NOT_FOUND:
                return
            raise answer_of(failure, bucket) from None

    async def _update(self, bucket: str, config: dict[str, Any]) -> None:
        try:
            await self.js.do(f"STREAM.UPDATE.{stream_of(bucket)}", config)
        except FAILURES as failure:
            raise answer_of(failure, bucket) from None

    def _of(self, bucket: str, answer: dict[str, Any]) -> BucketStream:
        config = answer["config"]
        metadata = config.get("metadata") or {}
        made = str(answer["created"])
        try:
            created = int(metadata[CREATED])
        except (KeyError, ValueError):
            created = milliseconds(made)
        owner = metadata.get(OWNER) or self.account
        incarnation = sha256(f"{config['name']}\0{made}".encode()).hexdigest()[:16]
        return BucketStream(
            BucketInfo(bucket, owner, created),
            store_of(bucket),
            incarnation,
            made,
            int(config.get("num_replicas", 1)),
            bool(config.get("allow_direct")),
            config,
            answer["state"],
        )

    def _config(self, bucket: str, metadata: dict[str, str]) -> dict[str, Any]:
        return {
            "name": stream_of(bucket),
            "subjects": [all_chunks(bucket), all_meta(bucket)],
            "retention": "limits",
            "storage": "file",
            "discard": "new",
            "max_consumers": -1,
            "max_msgs": -1,
            "max_bytes": -1,
            "max_msg_size": -1,
            "max_msgs_per_subject": -1,
            "max_age": 0,
            "num_replicas": self.replicas,
            "allow_rollup_hdrs": True,
            "allow_direct": True,
            "metadata": metadata,
        }
