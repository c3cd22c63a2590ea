"""What an object is once bytes have been appended to it: an object of parts, the last of which is new.

Source: x-amz-write-offset-bytes in "PutObject", Amazon S3 API Reference; "Appending data to objects in
directory buckets", Amazon S3 User Guide.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from s3shim import checksums
from s3shim.errors import Code, S3Error
from s3shim.model import Digests, ObjectInfo, ObjectPart
from s3shim.multipart import COMPOSITE, FULL_OBJECT, MAX_PARTS, composite_checksum


@dataclass(slots=True)
class Appended:
    """The object after an append: all its parts, and what its record says."""

    parts: list[ObjectPart]
    size: int
    etag: str
    checksums: dict[str, str]
    checksum_type: str


def check_offset(offset: int, current: ObjectInfo | None) -> None:
    """Raise InvalidWriteOffset unless ``offset`` is the size of the current object, 0 where there is none."""
    size = 0 if current is None else current.size
    if offset != size:
        raise S3Error(Code.InvalidWriteOffset, ObjectSize=size, WriteOffset=offset)


def check_added(size: int) -> None:
    """Raise InvalidRequest where nothing is to be appended."""
    if not size:
        raise S3Error(Code.InvalidRequest, "Request body cannot be empty when 'write offset' is specified.")


def append(whole: ObjectInfo, parts: list[ObjectPart], size: int, digests: Digests) -> Appended:
    """Return what ``size`` bytes with ``digests`` make of ``whole``, which has ``parts`` or none.

    The ETag is that of a multipart upload: the MD5 over the one before and the MD5 of the new bytes, with
    the number of parts. A CRC of the full object is combined; other checksums become composite ones; there
    is none where the new bytes have none by the object's algorithm. Raises TooManyParts beyond 10,000.
    """
    parts = parts or [ObjectPart(1, whole.size, whole.checksums)]
    number = parts[-1].part_number + 1
    if number > MAX_PARTS:
        raise S3Error(Code.TooManyParts)
    algorithm = next(iter(whole.checksums), "")
    value = digests.checksums.get(algorithm)
    new = ObjectPart(number, size, {} if value is None else {algorithm: value})
    md5s = bytes.fromhex(whole.etag.partition("-")[0]) + bytes.fromhex(digests.md5)
    etag = f"{hashlib.md5(md5s, usedforsecurity=False).hexdigest()}-{len(parts) + 1}"
    found, kind = _checksum(whole, [*parts, new], algorithm)
    return Appended([*parts, new], whole.size + size, etag, found, kind)


def _checksum(whole: ObjectInfo, parts: list[ObjectPart], algorithm: str) -> tuple[dict[str, str], str]:
    new = parts[-1].checksums.get(algorithm)
    if new is None:
        return {}, FULL_OBJECT
    if whole.checksum_type == FULL_OBJECT and algorithm in checksums.COMBINED:
        sized = [(whole.checksums[algorithm], whole.size), (new, parts[-1].size)]
        digests = [(checksums.decode(algorithm, value) or b"", size) for value, size in sized]
        return {algorithm: checksums.encode(checksums.combine(algorithm, digests))}, FULL_OBJECT
    values = [part.checksums.get(algorithm) for part in parts]
    if None in values:
        return {}, FULL_OBJECT
    return {algorithm: composite_checksum(algorithm, [value for value in values if value])}, COMPOSITE
