"""The metadata messages of a bucket's objects: read from the leader, changed by compare-and-set.

A metadata message replaces the one before on its subject (``Nats-Rollup: sub``), and only if that is the
one that the writer has seen (``Nats-Expected-Last-Subject-Sequence``): of racing writers one wins, and knows
which object it has replaced.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Callable

from s3shim.backends.nats.buckets import AT_REST, BucketStreams
from s3shim.backends.nats.failures import (
    FAILURES,
    WRONG_LAST_SEQUENCE,
    JetStreamError,
    NoAnswer,
    NotSent,
    Uncertain,
    answer_of,
)
from s3shim.backends.nats.format import (
    Content,
    Entry,
    chunk_subject,
    info_of,
    meta_subject,
    read_entry,
    seq_of,
    stream_of,
    tombstone,
)
from s3shim.backends.nats.jetstream import JetStream, Stored
from s3shim.conditions import NO_CONDITIONS, Conditions, check_write
from s3shim.errors import Code, S3Error

_EXPECT = "Nats-Expected-Last-Subject-Sequence"
_CHANGES = 100
_PATIENCE = 20.0
"""Seconds that a writer goes on against others who win."""

_LAST_LOOK = 0.5


class Catalog:
    """The metadata of objects; for the loop."""

    def __init__(self, js: JetStream, buckets: BucketStreams) -> None:
        self.js = js
        self.buckets = buckets

    async def entry(self, bucket: str, key: str) -> Entry | None:
        """Return the entry of a key as the leader has it, a tombstone too. Raises S3Error."""
        try:
            found = await self.js.last(stream_of(bucket), meta_subject(bucket, key))
        except FAILURES as failure:
            raise answer_of(failure, bucket) from None
        return None if found is None else entry_in(found)

    async def live(self, bucket: str, key: str) -> Entry:
        """Return the entry of an object. Raises NoSuchKey, NoSuchBucket, ServiceUnavailable."""
        found = await self.entry(bucket, key)
        if found is None or found.deleted:
            raise S3Error(Code.NoSuchKey, Key=key)
        return found

    async def check(self, bucket: str, key: str, conditions: Conditions) -> None:
        """Raise what ``check_write`` raises of the object that is there now."""
        check_write(conditions, info_of(await self.entry(bucket, key), key))

    async def find_same(self, bucket: str, incarnation: str) -> float:
        """Raise NoSuchBucket unless the bucket is the one that chunks were written to.

        Return the time of the monotonic clock when nobody was deleting it; minus infinity where somebody is.
        """
        now = time.monotonic()
        found = await self.buckets.find(bucket)
        if found.incarnation != incarnation:
            raise S3Error(Code.NoSuchBucket, BucketName=bucket)
        return -math.inf if found.closing else now

    async def change(self, bucket: str, key: str, make: Callable[[Entry], bytes]) -> Entry:
        """Make what ``make`` makes of the object's entry its entry, its chunks stay; return the one before.

        Raises NoSuchKey, what ``make`` raises, SlowDown, and as ``rewrite``.
        """
        for _ in range(_CHANGES):
            entry = await self.live(bucket, key)
            if await self.rewrite(bucket, key, make(entry), entry):
                return entry
        raise S3Error(Code.SlowDown)

    async def replace(
        self,
        bucket: str,
        key: str,
        data: bytes,
        content: Content,
        conditions: Conditions,
        current: Entry | None,
        looked: float,
    ) -> Entry | None:
        """Make ``data``, of an object with ``content``, the key's entry; return the entry that it replaced.

        ``current`` is what was last seen there. Raises Uncertain, and what means that nothing has changed:
        NoSuchBucket, ConditionalRequestConflict, InsufficientStorage, ServiceUnavailable, and what
        ``check_write`` raises. ``looked`` is what ``find_same`` returned when the chunks were stored.
        """
        replaced = await self._replace(bucket, key, data, content, conditions, current)
        await self.confirm(bucket, key, content.incarnation, content.nuid, looked)
        return replaced

    async def _replace(
        self,
        bucket: str,
        key: str,
        data: bytes,
        content: Content,
        conditions: Conditions,
        current: Entry | None,
    ) -> Entry | None:
        deadline = time.monotonic() + _PATIENCE
        uncertain = False
        while True:
            if not uncertain:
                check_write(conditions, info_of(current, key))
            seen, began = current, time.monotonic()
            try:
                await self._publish(bucket, key, data, seen)
                return seen
            except JetStreamError as refused:
                if refused.code not in WRONG_LAST_SEQUENCE:
                    if uncertain:
                        raise Uncertain() from None
                    raise answer_of(refused, bucket) from None
            except NotSent as failure:
                if uncertain:
                    raise Uncertain() from None
                if not await self._bucket_will_do(bucket, content.incarnation, deadline):
                    raise answer_of(failure, bucket) from None
            except NoAnswer:
                if uncertain:
                    raise Uncertain() from None
                uncertain = True
            current = await (self._settled(bucket, key, began) if uncertain else self.entry(bucket, key))
            if current is not None and current.nuid == content.nuid and not current.deleted:
                return seen
            if uncertain and seq_of(current) != seq_of(seen):
                # Ours may have been replaced already, and whoever did it removes its chunks.
                raise Uncertain()
            if time.monotonic() > deadline and not uncertain:
                raise S3Error(
                    Code.SlowDown if conditions is NO_CONDITIONS else Code.ConditionalRequestConflict
                )
            await asyncio.sleep(random.uniform(0.0, 0.004))

    async def confirm(self, bucket: str, key: str, incarnation: str, nuid: str, looked: float) -> None:
        """Take a new object back where the bucket was made anew since ``looked``, and before the object.

        Raises NoSuchBucket where it was, Uncertain.
        """
        if time.monotonic() - looked <= AT_REST:
            return
        try:
            await self.find_same(bucket, incarnation)
        except S3Error as error:
            if error.code is not Code.NoSuchBucket or not await self._taken_back(bucket, key, nuid):
                raise Uncertain() from None
            raise

    async def _taken_back(self, bucket: str, key: str, nuid: str) -> bool:
        try:
            entry = await self.entry(bucket, key)
            if entry is not None and entry.nuid == nuid and not entry.deleted:
                await self.rewrite(bucket, key, tombstone(entry), entry)
        except S3Error as error:
            return error.code is Code.NoSuchBucket
        return True

    async def rewrite(self, bucket: str, key: str, data: bytes, entry: Entry | None) -> bool:
        """Make ``data`` the key's entry, once; False where ``entry`` is not what it would replace.

        Raises S3Error; with ServiceUnavailable it cannot be told whether it was done.
        """
        try:
            await self._publish(bucket, key, data, entry)
        except JetStreamError as refused:
            if refused.code not in WRONG_LAST_SEQUENCE:
                raise answer_of(refused, bucket) from None
            return False
        except (NotSent, NoAnswer) as failure:
            raise answer_of(failure, bucket) from None
        return True

    async def delete(self, bucket: str, key: str, conditions: Conditions) -> Entry | None:
        """Make the key one without an object; return the entry that was there, None for none.

        Raises as ``replace`` but Uncertain. Where there is no room for a tombstone the entry goes first.
        """
        deadline = time.monotonic() + _PATIENCE
        uncertain: Entry | None = None
        began = time.monotonic()
        while True:
            if uncertain is None:
                current = await self.entry(bucket, key)
            else:
                current = await self._settled(bucket, key, began)
                if seq_of(current) != uncertain.seq:
                    return uncertain
            found = None if current is None or current.deleted else current
            check_write(conditions, info_of(found, key))
            if found is None:
                return None
            began = time.monotonic()
            try:
                await self._publish(bucket, key, tombstone(found), found)
                return found
            except JetStreamError as refused:
                if refused.full:
                    await self._purge(bucket, key, found)
                    return found
                if refused.code not in WRONG_LAST_SEQUENCE:
                    raise answer_of(refused, bucket) from None
            except NotSent as failure:
                if not await self._bucket_will_do(bucket, "", deadline):
                    raise answer_of(failure, bucket) from None
            except NoAnswer:
                if uncertain is not None:
                    raise Uncertain() from None
                uncertain = found
            if time.monotonic() > deadline:
                raise S3Error(Code.ServiceUnavailable)
            await asyncio.sleep(random.uniform(0.0, 0.004))

    async def _publish(self, bucket: str, key: str, data: bytes, expected: Entry | None) -> None:
        headers = {"Nats-Rollup": "sub", _EXPECT: str(seq_of(expected))}
        await self.js.publish(meta_subject(bucket, key), data, headers)

    async def _settled(self, bucket: str, key: str, began: float) -> Entry | None:
        """Return what is there after a message that was sent at ``began`` and has no answer.

        Where the connection was lost there is time for another one. Raises Uncertain.
        """
        left = began + self.js.timeout - time.monotonic()
        try:
            async with asyncio.timeout(max(left, _LAST_LOOK)):
                return await self.entry(bucket, key)
        except (S3Error, TimeoutError):
            raise Uncertain() from None

    async def _purge(self, bucket: str, key: str, entry: Entry) -> None:
        """Take the entry away, but none that came after it; leave a tombstone where there is room again."""
        stream, subject = stream_of(bucket), meta_subject(bucket, key)
        try:
            await self.js.purge(stream, subject, below=entry.seq + 1)
            entry.traceless = True
            await self.js.purge(stream, chunk_subject(bucket, entry.nuid))
            await self._publish(bucket, key, tombstone(entry), None)
            entry.traceless = False
        except JetStreamError as refused:
            if not refused.full and refused.code not in WRONG_LAST_SEQUENCE:
                raise answer_of(refused, bucket) from None
        except (NotSent, NoAnswer) as failure:
            raise answer_of(failure, bucket) from None

    async def _bucket_will_do(self, bucket: str, incarnation: str, deadline: float) -> bool:
        """Whether to try again: a bucket takes no metadata while it is decided whether it is deleted.

        Raises NoSuchBucket where it is gone, also where there is another one of the name.
        """
        if time.monotonic() > deadline - _PATIENCE + self.js.timeout:
            return False
        found = await self.buckets.find(bucket)
        if incarnation not in ("", found.incarnation):
            raise S3Error(Code.NoSuchBucket, BucketName=bucket)
        await self.buckets.reopen_abandoned(bucket, found)
        await asyncio.sleep(0.02)
        return True


def entry_in(found: Stored) -> Entry:
    """Return the entry in a metadata message. Raises InternalError where it is none."""
    try:
        return read_entry(found.data, found.seq, found.time)
    except ValueError:
        raise S3Error(Code.InternalError, "The stored metadata of the object cannot be read.") from None
