"""What lengthy work is bound to fail of, looked at before it begins.

The storage looks again when it decides; this is for answers whose status could not be changed any more.
"""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.conditions import NO_CONDITIONS, Conditions, check_copy, check_write
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectRef, UploadRef
from s3shim.multipart import MAX_PARTS, Completion, assemble
from s3shim.ranges import ByteRange


def check_copying(backend: Backend, copy: Copy, target: ObjectRef, conditions: Conditions) -> None:
    """Raise what a CopyObject is bound to raise."""
    check_copy(copy.conditions, backend.head_object(copy.source, NO_CONDITIONS))
    _check_target(backend, target, conditions)


def check_part_copying(backend: Backend, upload: UploadRef, copy: Copy, byte_range: ByteRange | None) -> None:
    """Raise what an UploadPartCopy is bound to raise."""
    backend.head_multipart_upload(upload)
    source = backend.head_object(copy.source, NO_CONDITIONS)
    check_copy(copy.conditions, source)
    if byte_range is not None:
        byte_range.resolve_whole(source.size)


def check_completing(
    backend: Backend, upload: UploadRef, completion: Completion, conditions: Conditions
) -> None:
    """Raise what a completion is bound to raise, but for NoSuchUpload: it may be one that is repeated."""
    try:
        info, parts = backend.list_parts(upload, 0, MAX_PARTS)
    except S3Error as error:
        if error.code is Code.NoSuchUpload:
            return
        raise
    assemble(info, {part.part_number: part for part in parts}, completion)
    _check_target(backend, ObjectRef(upload.bucket, upload.key), conditions)


def _check_target(backend: Backend, target: ObjectRef, conditions: Conditions) -> None:
    if conditions is NO_CONDITIONS:
        return
    try:
        current = backend.head_object(target, NO_CONDITIONS)
    except S3Error as error:
        if error.code is not Code.NoSuchKey:
            raise
        check_write(conditions, None)
    else:
        check_write(conditions, current)
