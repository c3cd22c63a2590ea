"""Multipart uploads for the contract suite, in few words."""

from __future__ import annotations

import hashlib

from s3shim.conditions import NO_CONDITIONS, Conditions
from s3shim.copying import Copy
from s3shim.errors import Code
from s3shim.model import ObjectInfo, ObjectMeta, ObjectRef, PartInfo, UploadInfo, UploadRef
from s3shim.multipart import Completion, ListedPart, checksum_type_of
from tests.contract.bodies import BytesBody, code_of


def begin(backend, key="key", *, bucket="bucket", meta=None, algorithm=None, checksum_type=None) -> UploadRef:
    """Begin an upload."""
    wanted = UploadInfo(
        key, "", 0, "main", meta or ObjectMeta(), algorithm, checksum_type_of(algorithm, checksum_type)
    )
    info = backend.create_multipart_upload(bucket, wanted)
    return UploadRef(bucket, key, info.upload_id)


def upload(backend, ref, number, data, algorithm="crc32") -> PartInfo:
    """Upload ``data``, or any Body, as a part."""
    body = BytesBody(data, algorithm=algorithm) if isinstance(data, bytes) else data
    return backend.upload_part(ref, number, body)


def copy_part(backend, ref, number, key, byte_range=None, *, bucket="bucket", conditions=NO_CONDITIONS):
    """Copy an object, or a range of it, as a part."""
    return backend.upload_part_copy(ref, number, Copy(ObjectRef(bucket, key), conditions), byte_range)


def listed(parts) -> list[ListedPart]:
    """Return parts as a client lists them."""
    return [ListedPart(part.part_number, part.etag) for part in parts]


def complete(
    backend, ref, parts, *, conditions: Conditions = NO_CONDITIONS, min_part_size=0, **wanted
) -> ObjectInfo:
    """Complete an upload of these PartInfo or ListedPart."""
    names = [ListedPart(p.part_number, p.etag) if isinstance(p, PartInfo) else p for p in parts]
    return backend.complete_multipart_upload(ref, Completion(names, min_part_size, **wanted), conditions)


def put_parts(backend, key, datas, **begin_with) -> ObjectInfo:
    """Put an object whose parts are ``datas``."""
    ref = begin(backend, key, **begin_with)
    parts = [upload(backend, ref, number, data) for number, data in enumerate(datas, 1)]
    return complete(backend, ref, parts)


def etag_of(datas) -> str:
    """Return the ETag of an object with these parts."""
    md5s = b"".join(hashlib.md5(data, usedforsecurity=False).digest() for data in datas)
    return f"{hashlib.md5(md5s, usedforsecurity=False).hexdigest()}-{len(datas)}"


def part_numbers(backend, ref) -> list[int]:
    """Return the numbers of an upload's parts."""
    return [part.part_number for part in backend.list_parts(ref, 0, 10_000)[1]]


def codes_of_every_call(backend, ref) -> set[Code | None]:
    """Return the codes that the calls on one upload answer; the object "source" must be there."""
    nothing = Completion([ListedPart(1, "0" * 32)])
    return {
        code_of(backend.head_multipart_upload, ref),
        code_of(upload, backend, ref, 1, b"data"),
        code_of(copy_part, backend, ref, 1, "source"),
        code_of(backend.complete_multipart_upload, ref, nothing, NO_CONDITIONS),
        code_of(backend.list_parts, ref, 0, 1000),
        code_of(backend.abort_multipart_upload, ref),
    }
