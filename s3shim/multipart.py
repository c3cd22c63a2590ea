"""The rules of multipart uploads: which parts make the object, its ETag and its checksums.

Source: "CompleteMultipartUpload" in the Amazon S3 API Reference and "Checking object integrity" in
the User Guide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from s3shim import checksums
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectPart, PartInfo, UploadInfo

MAX_PARTS = 10_000

COMPOSITE = "COMPOSITE"
FULL_OBJECT = "FULL_OBJECT"


@dataclass(slots=True)
class ListedPart:
    """A part as the client lists it: the ETag without quotes, checksums in base64 by algorithm."""

    part_number: int
    etag: str
    checksums: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Completion:
    """What a CompleteMultipartUpload demands.

    ``size`` is the size that the object must have, ``checksum`` (algorithm, base64) the checksum of the
    whole and ``checksum_type`` its type; None where the client said nothing. ``min_part_size`` in bytes
    holds for every part but the last.
    """

    parts: list[ListedPart]
    min_part_size: int = 0
    size: int | None = None
    checksum: tuple[str, str] | None = None
    checksum_type: str | None = None

    @property
    def fingerprint(self) -> str:
        """The same for every request that lists the same parts."""
        listed = "\n".join(f"{part.part_number} {part.etag!r}" for part in self.parts)
        return hashlib.sha256(listed.encode()).hexdigest()


@dataclass(slots=True)
class Whole:
    """The object that the parts make."""

    parts: list[PartInfo]
    size: int
    etag: str
    checksums: dict[str, str]
    checksum_type: str


def checksum_type_of(algorithm: str | None, wanted: str | None) -> str:
    """Return the type of an upload's checksums; raise InvalidRequest for a type that S3 does not have.

    CRC64NVME is always of the full object, SHA-1 and SHA-256 always composite; the other CRCs are
    composite unless asked for otherwise.
    """
    natural = FULL_OBJECT if algorithm in (None, "crc64nvme") else COMPOSITE
    if wanted is None:
        return natural
    if wanted not in (COMPOSITE, FULL_OBJECT):
        raise S3Error(Code.InvalidRequest, "Value for x-amz-checksum-type header is invalid.")
    if algorithm is None:
        raise S3Error(
            Code.InvalidRequest,
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.",
        )
    if wanted != natural and algorithm not in ("crc32", "crc32c"):
        raise S3Error(
            Code.InvalidRequest,
            f"The {wanted} checksum type cannot be used with the {algorithm} checksum algorithm.",
        )
    return wanted


def locate_part(size: int, parts: list[ObjectPart], part_number: int) -> tuple[int, ObjectPart]:
    """Return where a part begins, and the part; an object of ``size`` without parts is part 1 as a whole.

    Raises InvalidPartNumber.
    """
    start = 0
    for part in parts or [ObjectPart(1, size, {})]:
        if part.part_number == part_number:
            return start, part
        start += part.size
    raise S3Error(Code.InvalidPartNumber, PartNumberRequested=part_number, ActualPartCount=max(len(parts), 1))


def assemble(upload: UploadInfo, stored: Mapping[int, PartInfo], completion: Completion) -> Whole:
    """Return what the listed parts of ``upload`` make.

    Raises InvalidPartOrder, InvalidPart, EntityTooSmall, InvalidRequest, BadDigest.
    """
    parts = _select(stored, completion)
    size = sum(part.size for part in parts)
    if completion.size is not None and completion.size != size:
        raise S3Error(
            Code.InvalidRequest,
            f"The provided 'x-amz-mp-object-size' header value {completion.size} does not match what was "
            f"computed: {size}",
        )
    if completion.checksum_type not in (None, upload.checksum_type):
        raise S3Error(
            Code.InvalidRequest,
            f"The upload was created using the {upload.checksum_type} checksum mode. The complete request "
            "must use the same checksum mode.",
        )
    found = _whole_checksum(upload, parts)
    _check_whole(completion, found)
    return Whole(parts, size, etag_of_parts([part.etag for part in parts]), found, upload.checksum_type)


def etag_of_parts(etags: list[str]) -> str:
    """Return the ETag of the object that parts with these ETags make."""
    md5s = b"".join(bytes.fromhex(etag) for etag in etags)
    return f"{hashlib.md5(md5s, usedforsecurity=False).hexdigest()}-{len(etags)}"


def _select(stored: Mapping[int, PartInfo], completion: Completion) -> list[PartInfo]:
    parts: list[PartInfo] = []
    previous = 0
    for listed in completion.parts:
        if listed.part_number <= previous:
            raise S3Error(Code.InvalidPartOrder)
        previous = listed.part_number
        part = stored.get(listed.part_number)
        if part is None or part.etag != listed.etag or not _same(part.checksums, listed.checksums):
            raise S3Error(Code.InvalidPart, PartNumber=listed.part_number, ETag=listed.etag[:100])
        parts.append(part)
    for part in parts[:-1]:
        if part.size < completion.min_part_size:
            raise S3Error(
                Code.EntityTooSmall,
                ProposedSize=part.size,
                MinSizeAllowed=completion.min_part_size,
                PartNumber=part.part_number,
                ETag=part.etag,
            )
    return parts


def _same(stored: dict[str, str], listed: dict[str, str]) -> bool:
    return all(stored.get(algorithm) == value for algorithm, value in listed.items())


def _whole_checksum(upload: UploadInfo, parts: list[PartInfo]) -> dict[str, str]:
    """Return the object's checksum, or nothing where a part has none (a copied one has none)."""
    algorithm = upload.checksum_algorithm or "crc64nvme"
    digests = []
    for part in parts:
        value = part.checksums.get(algorithm)
        if value is None:
            return {}
        digests.append((checksums.decode(algorithm, value) or b"", part.size))
    if upload.checksum_type == FULL_OBJECT:
        return {algorithm: checksums.encode(checksums.combine(algorithm, digests))}
    return {algorithm: composite_checksum(algorithm, [part.checksums[algorithm] for part in parts])}


def composite_checksum(algorithm: str, values: list[str]) -> str:
    """Return the checksum over the checksums of parts, given in base64, with their number behind it."""
    hasher = checksums.new(algorithm)
    for value in values:
        hasher.update(checksums.decode(algorithm, value) or b"")
    return f"{checksums.encode(hasher.digest())}-{len(values)}"


def _check_whole(completion: Completion, found: dict[str, str]) -> None:
    if completion.checksum is None:
        return
    algorithm, value = completion.checksum
    computed = found.get(algorithm)
    # A composite checksum may be stated with or without its number of parts.
    if computed is None or value not in (computed, computed.partition("-")[0]):
        raise S3Error(Code.BadDigest, f"The {algorithm} you specified did not match the calculated checksum.")
