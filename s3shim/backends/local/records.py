"""What stands in the index: the records, their form, and the CRC that guards each of them.

A value is CRC-64/NVME over (LMDB key + payload), 8 bytes, then the payload: msgpack arrays, so that a
later format may add fields with defaults at the end. The key is part of the CRC because a value found
under another key is as wrong as a changed one.
"""

from __future__ import annotations

import logging
import struct
from collections import Counter
from functools import lru_cache
from typing import TypeVar

import msgspec

from s3shim.checksums import crc64nvme
from s3shim.errors import Code, S3Error
from s3shim.model import NULL_VERSION, BucketInfo, ObjectInfo, ObjectMeta, PartInfo, UploadInfo

INLINE = 0
FILE = 1

# A reader opens up to so many extents at once; of an object with more it opens one after the other.
AT_ONCE = 2

KEY = slice(8, -9)  # where the object key stands in an LMDB key, as UTF-8

_CRC = 8
_LARGEST = (1 << 64) - 1

_log = logging.getLogger(__name__)


class BucketRecord(msgspec.Struct, array_like=True, frozen=True):
    """A bucket. ``id`` is never used again, so that a bucket made anew has none of the old one's keys."""

    id: int
    owner: str
    created: int

    def info(self, name: str) -> BucketInfo:
        """Return the record as the model's."""
        return BucketInfo(name, self.owner, self.created)


class Extent(msgspec.Struct, array_like=True, gc=False):
    """A run of ``length`` bytes.

    INLINE: ``id`` is the key in the inline table, ``digest`` the CRC-64/NVME of the bytes. FILE: ``id``
    is the name of the file (hex), ``digest`` the CRC of its footer; the extent begins at ``offset`` of
    the ``file_length`` bytes that the file keeps. Files may be shared between objects and parts, and refs
    counts the extents that name them; inline bytes belong to one object or part.
    """

    kind: int
    id: bytes
    length: int
    digest: int
    offset: int = 0
    file_length: int = 0


def uses_of(extents: list[Extent]) -> Counter[bytes]:
    """Return how many of the extents name each file, by its id."""
    return Counter(extent.id for extent in extents if extent.kind == FILE)


class ObjectRecord(msgspec.Struct, array_like=True, gc=False):
    """An object version. Where it has parts, its extents stand in its Layout and not here.

    ``rename_token`` and ``renamed_from`` are the client's name for the rename that brought it to its key, and
    the key that it had before. ``appended`` counts the parts that were appended: the ETag is made otherwise.
    """

    sequence: int
    size: int
    etag: str
    last_modified: int
    extents: list[Extent]
    content_type: str | None = None
    system: dict[str, str] = {}
    user: dict[str, str] = {}
    tags: dict[str, str] = {}
    checksums: dict[str, str] = {}
    version_id: str = NULL_VERSION
    delete_marker: bool = False
    checksum_type: str = "FULL_OBJECT"
    parts_count: int = 0
    rename_token: str = ""
    renamed_from: str = ""
    appended: int = 0

    def info(self, key: str) -> ObjectInfo:
        """Return the record as the model's."""
        return ObjectInfo(
            key,
            self.size,
            self.etag,
            self.last_modified,
            ObjectMeta(self.content_type, self.system, self.user, self.tags),
            self.checksums,
            self.version_id,
            self.checksum_type,
            self.parts_count,
        )


class LaidPart(msgspec.Struct, array_like=True, gc=False):
    """A part of an object: its number, its size in bytes, its checksums."""

    part_number: int
    size: int
    checksums: dict[str, str]


class Layout(msgspec.Struct, array_like=True):
    """What makes an object that was uploaded in parts; apart from its record, which is read more often."""

    extents: list[Extent]
    parts: list[LaidPart]


class UploadRecord(msgspec.Struct, array_like=True):
    """A multipart upload under way. ``nonce`` is the half of its id that nobody can guess."""

    nonce: bytes
    initiated: int
    initiator: str
    content_type: str | None = None
    system: dict[str, str] = {}
    user: dict[str, str] = {}
    tags: dict[str, str] = {}
    checksum_algorithm: str | None = None
    checksum_type: str = "FULL_OBJECT"

    def info(self, key: str, upload_id: str) -> UploadInfo:
        """Return the record as the model's."""
        meta = ObjectMeta(self.content_type, self.system, self.user, self.tags)
        return UploadInfo(
            key,
            upload_id,
            self.initiated,
            self.initiator,
            meta,
            self.checksum_algorithm,
            self.checksum_type,
        )


class PartRecord(msgspec.Struct, array_like=True):
    """A part of an upload under way."""

    size: int
    etag: str
    last_modified: int
    extents: list[Extent]
    checksums: dict[str, str] = {}

    def info(self, part_number: int) -> PartInfo:
        """Return the record as the model's."""
        return PartInfo(part_number, self.size, self.etag, self.last_modified, self.checksums)


class CompletedRecord(msgspec.Struct, array_like=True):
    """What a completed upload was answered: the object's record, without its extents."""

    nonce: bytes
    bucket_id: int
    key: str
    fingerprint: str
    record: ObjectRecord


R = TypeVar("R")

_stored_crc = struct.Struct(">Q").unpack_from
_encode = msgspec.msgpack.Encoder().encode
BUCKET = msgspec.msgpack.Decoder(BucketRecord)
OBJECT = msgspec.msgpack.Decoder(ObjectRecord)
COUNT = msgspec.msgpack.Decoder(int)
DOCUMENT = msgspec.msgpack.Decoder(bytes)
TEXT = msgspec.msgpack.Decoder(str)
LAYOUT = msgspec.msgpack.Decoder(Layout)
UPLOAD = msgspec.msgpack.Decoder(UploadRecord)
PART = msgspec.msgpack.Decoder(PartRecord)
COMPLETED = msgspec.msgpack.Decoder(CompletedRecord)


def seal(key: bytes, record: msgspec.Struct | int | bytes | str) -> bytes:
    """Return the value that keeps ``record`` under ``key``."""
    payload = _encode(record)
    return crc64nvme(key + payload).to_bytes(_CRC, "big") + payload


def unseal(key: bytes, value: bytes, decoder: msgspec.msgpack.Decoder[R]) -> R:
    """Return the record in ``value``; raise InternalError, and log, where it is damaged."""
    payload = value[_CRC:]
    try:
        # One call over a copy of both: of a row's size it is cheaper than two calls.
        if crc64nvme(key + payload) == _stored_crc(value)[0]:
            return decoder.decode(payload)
    except (msgspec.DecodeError, struct.error) as error:
        raise damaged("record %r cannot be read: %s", key, error) from error
    raise damaged("record %r: wrong checksum", key)


@lru_cache(maxsize=1024)
def unseal_bucket(key: bytes, value: bytes) -> BucketRecord:
    """Return what ``unseal`` does of a bucket's row, verified once for the same bytes.

    Each request reads its bucket's row, twice or more. What is remembered is what the bytes mean, never
    that they are there.
    """
    return unseal(key, value, BUCKET)


class Damaged(S3Error):
    """What is stored is not what was written: ``what`` for the operator, InternalError for the client."""

    def __init__(self, what: str) -> None:
        super().__init__(Code.InternalError)
        self.what = what


def damaged(message: str, *args: object) -> Damaged:
    """Log what is damaged and return the error that the client sees."""
    _log.error("damaged " + message, *args)
    return Damaged(message % args)


def number(value: int) -> bytes:
    """Return ``value`` as 8 bytes that sort as the number does."""
    return value.to_bytes(8, "big")


def key_stem(bucket_id: int, key: str) -> bytes:
    """Return what the LMDB keys of all versions of ``key`` begin with."""
    return number(bucket_id) + key.encode() + b"\0"


def version_key(stem: bytes, sequence: int) -> bytes:
    """Return the LMDB key of one version: the newest of a key sorts first."""
    return stem + number(_LARGEST - sequence)


def sequence_of(lmdb_key: bytes) -> int:
    """Return the sequence number of the version with an LMDB key."""
    return _LARGEST - int.from_bytes(lmdb_key[-8:], "big")


def key_of(lmdb_key: bytes) -> bytes:
    """Return the object key in an LMDB key, as UTF-8."""
    return lmdb_key[KEY]


def seek_key(bucket_id: int, start: str) -> bytes:
    """Return the LMDB key from which all object keys from ``start`` on are found.

    No object key holds a NUL: from a start that does, the keys above its part before the NUL follow.
    """
    stem, nul, _ = start.encode().partition(b"\0")
    return number(bucket_id) + stem + (b"\1" if nul else b"")
