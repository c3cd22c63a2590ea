"""The bytes of an object as messages: published and read in windows, many acknowledgements outstanding.

Every chunk of ours carries the CRC-64/NVME of its bytes, and the server tells how many chunks follow it, so
that a range is verified as a whole object is, and a missing chunk is known for one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from nats.aio.msg import Msg

from s3shim import checksums
from s3shim.backends.nats.failures import FAILURES, JetStreamError, NoAnswer, NotSent, answered
from s3shim.backends.nats.format import (
    CHECKSUM_HEADER,
    CHUNK_SIZE,
    TABLE,
    Entry,
    chunk_subject,
    parts_of,
    stream_of,
    table_of,
)
from s3shim.backends.nats.jetstream import JetStream, Stored, checked_sequence
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectPart

_PARTS = ".parts"
_TABLE_CHUNKS = 16

WINDOW = 4 * CHUNK_SIZE
"""Bytes of one hop between a request's thread and the loop."""


class ChunkWriter:
    """The chunks of one new nuid. Windows may be under way together, and are stored in order.

    ``count`` chunks are acknowledged, the first as message ``first``, the last as message ``last``.
    """

    def __init__(self, js: JetStream, bucket: str, nuid: str) -> None:
        self.bucket = bucket
        self.nuid = nuid
        self.count = 0
        self.first = 0
        self.last = 0
        self._js = js
        self._subject = chunk_subject(bucket, nuid)
        self._turn = asyncio.Lock()
        self._failure: Exception | None = None

    async def publish(self, chunks: Sequence[bytes]) -> None:
        """Store ``chunks`` behind those before; return when all are acknowledged.

        Raises JetStreamError, NotSent, NoAnswer; nothing can be added after that.
        """
        if not chunks:
            return
        window = Window(self._js, len(chunks))
        try:
            async with self._turn:
                if self._failure is not None:
                    raise self._failure
                await window.send(self._subject, chunks)
            await window.acknowledged()
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            window.end()
        self.count += len(chunks)
        self.first = min(self.first or window.first, window.first)
        self.last = max(self.last, window.last)

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error if isinstance(error, Exception) else NoAnswer("cancelled")


class Window:
    """Some chunks under way, and the acknowledgements that are to come."""

    def __init__(self, js: JetStream, count: int) -> None:
        self.first = 0
        self.last = 0
        self._link = js.link()
        self._timeout = js.timeout
        self._missing = count
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._deadline: asyncio.Timeout | None = None
        self._token = self._link.expect(self._take)

    async def send(self, subject: str, chunks: Sequence[bytes]) -> None:
        """Send the chunks in order."""
        for chunk in chunks:
            checksum = f"{checksums.crc64nvme(chunk):016x}"
            await self._link.send(subject, chunk, self._token, {CHECKSUM_HEADER: checksum})

    async def acknowledged(self) -> None:
        """Wait for all acknowledgements, each of which has its own time."""
        try:
            async with asyncio.timeout(self._timeout) as self._deadline:
                await self._ended
        except TimeoutError:
            raise NoAnswer("chunks were not acknowledged in time") from None

    def end(self) -> None:
        """Expect nothing any more."""
        self._link.forget(self._token)
        if not self._ended.done():
            self._ended.cancel()
        elif not self._ended.cancelled():
            self._ended.exception()

    def _take(self, message: Msg | None) -> None:
        if self._ended.done():
            return
        if message is None:
            self._ended.set_exception(NoAnswer("the connection was lost"))
            return
        try:
            seq = checked_sequence(message)
        except (JetStreamError, NotSent, NoAnswer) as failure:
            self._ended.set_exception(failure)
            return
        self.first = min(self.first or seq, seq)
        self.last = max(self.last, seq)
        self._missing -= 1
        if not self._missing:
            self._ended.set_result(None)
        elif self._deadline is not None:
            self._deadline.reschedule(self._loop.time() + self._timeout)


async def fetch(js: JetStream, bucket: str, nuid: str, seq: int, count: int) -> list[Stored]:
    """Return up to ``count`` chunks of ``nuid`` from message ``seq`` on.

    ``pending`` is right in each, or -1. Raises NoSuchBucket, ServiceUnavailable.
    """
    with answered(bucket):
        return await _fetch(js, bucket, nuid, seq, count)


async def _fetch(js: JetStream, bucket: str, nuid: str, seq: int, count: int) -> list[Stored]:
    stream, subject = stream_of(bucket), chunk_subject(bucket, nuid)
    try:
        return (await js.batch(stream, subject, seq, count, once=True))[0]
    except FAILURES:
        # Only a stream that another client made allows no direct get, or there is none.
        info = await js.stream_info(stream)
        if info["config"].get("allow_direct"):
            return (await js.batch(stream, subject, seq, count))[0]
    found = []
    for _ in range(count):
        message = await js.following(stream, subject, seq)
        if message is None:
            break
        message.pending = -1
        found.append(message)
        seq = message.seq + 1
    return found


def split(data: bytes | bytearray, size: int = CHUNK_SIZE) -> list[bytes]:
    """Return ``data`` in chunks of ``size`` bytes, the last may be shorter."""
    view = memoryview(data)
    return [bytes(view[start : start + size]) for start in range(0, len(data), size)]


def is_sound(chunk: Stored) -> bool:
    """Whether the bytes of one of our chunks are those that were written."""
    return chunk.headers.get(CHECKSUM_HEADER) == f"{checksums.crc64nvme(chunk.data):016x}"


async def write_parts(js: JetStream, bucket: str, nuid: str, parts: list[ObjectPart]) -> None:
    """Store the table of the parts where it is too long for the metadata. Raises S3Error."""
    if len(parts) > TABLE:
        table = json.dumps(table_of(parts), separators=(",", ":")).encode()
        with answered(bucket):
            await ChunkWriter(js, bucket, nuid + _PARTS).publish(split(table))


async def read_parts(js: JetStream, bucket: str, entry: Entry) -> list[ObjectPart]:
    """Return the parts of an object. Raises InternalError, ServiceUnavailable."""
    if entry.record.get("count", 0) <= TABLE:
        return entry.parts
    table, seq = bytearray(), 1
    try:
        while True:
            found = await fetch(js, bucket, entry.nuid + _PARTS, seq, _TABLE_CHUNKS)
            if not all(is_sound(chunk) for chunk in found):
                raise S3Error(Code.InternalError, "The stored table of parts is damaged.")
            table += b"".join(chunk.data for chunk in found)
            if len(found) < _TABLE_CHUNKS:
                break
            seq = found[-1].seq + 1
        return parts_of(json.loads(table))
    except (ValueError, TypeError):
        raise S3Error(Code.InternalError, "The stored table of parts cannot be read.") from None
