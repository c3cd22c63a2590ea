"""Bytes that are stored already as the body of something new, and the table of an object's parts."""

from __future__ import annotations

import json
from collections.abc import Iterable

from s3shim import checksums
from s3shim.backends.nats.chunks import ChunkWriter, fetch, is_sound, split
from s3shim.backends.nats.failures import FAILURES, answer_of
from s3shim.backends.nats.format import TABLE, Entry, parts_of, table_of
from s3shim.backends.nats.reading import locate
from s3shim.backends.nats.store import Store
from s3shim.conditions import Conditions, check_read
from s3shim.errors import Code, S3Error
from s3shim.model import Digests, ObjectInfo, ObjectPart, ObjectRef

_SUFFIX = ".parts"
_AT_ONCE = 16


class StoredBody:
    """``pieces`` of ``length`` bytes in all, each verified by its reader, as a body; see model.Body."""

    def __init__(self, pieces: Iterable[bytes], length: int, *algorithms: str) -> None:
        self.length: int | None = length
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")
        self._hashers = {name: checksums.new(name) for name in algorithms}

    def also(self, algorithm: str) -> None:
        """See model.Body."""
        self._hashers.setdefault(algorithm, checksums.new(algorithm))

    def read(self, size: int) -> bytes:
        """See model.Body."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            for hasher in self._hashers.values():
                hasher.update(piece)
            self._rest = memoryview(piece)
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return data

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of what was read; it must be among the algorithms."""
        return self._hashers["sha256"].digest()

    @property
    def digests(self) -> Digests:
        """See model.Body; the MD5 is empty unless it was asked for."""
        found = {name: hasher.digest() for name, hasher in self._hashers.items()}
        md5 = found.pop("md5", b"").hex()
        return Digests(md5, {name: checksums.encode(digest) for name, digest in found.items()})


async def write_parts(store: Store, bucket: str, nuid: str, parts: list[ObjectPart]) -> None:
    """Store the table of the parts where it is too long for the metadata. Raises FAILURES."""
    if len(parts) > TABLE:
        table = json.dumps(table_of(parts), separators=(",", ":")).encode()
        await ChunkWriter(store.js, bucket, nuid + _SUFFIX).publish(split(table))


async def read_parts(store: Store, bucket: str, entry: Entry) -> list[ObjectPart]:
    """Return the parts of an object. Raises InternalError, ServiceUnavailable."""
    if entry.record.get("count", 0) <= TABLE:
        return entry.parts
    table, seq = bytearray(), 1
    try:
        while True:
            found = await fetch(store.js, bucket, entry.nuid + _SUFFIX, seq, _AT_ONCE)
            if not all(is_sound(chunk) for chunk in found):
                raise S3Error(Code.InternalError, "The stored table of parts is damaged.")
            table += b"".join(chunk.data for chunk in found)
            if len(found) < _AT_ONCE:
                break
            seq = found[-1].seq + 1
        return parts_of(json.loads(table))
    except FAILURES as failure:
        raise answer_of(failure, bucket) from None
    except (ValueError, TypeError):
        raise S3Error(Code.InternalError, "The stored table of parts cannot be read.") from None


def get_object_parts(
    store: Store, ref: ObjectRef, conditions: Conditions
) -> tuple[ObjectInfo, list[ObjectPart]]:
    """See Backend.get_object_parts."""
    place = store.call(locate(store, ref))
    info = place.entry.info(ref.key)
    check_read(conditions, info)
    return info, store.call(read_parts(store, place.bucket, place.entry))
