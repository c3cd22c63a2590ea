"""CopyObject and UploadPartCopy: on a storage that can share bytes, work on records."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.patience import perform
from s3shim.precheck import check_copying, check_part_copying
from s3shim.wire.copying import read_copy, read_part_copy, source_range
from s3shim.wire.preconditions import write_conditions
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response
from s3shim.wire.results import copy_result, part_copy_result


def copy_object(backend: Backend, request: S3Request) -> Response:
    """CopyObject, of an object of any size, with metadata and tags copied or replaced."""
    copy, conditions = read_copy(request), write_conditions(request)
    return perform(
        backend,
        "copy_object",
        request,
        lambda: check_copying(backend, copy, request.ref, conditions),
        lambda: copy_result(backend.copy_object(copy, request.ref, conditions)),
    )


def upload_part_copy(backend: Backend, request: S3Request) -> Response:
    """UploadPartCopy, of a whole object or of a range of it."""
    number, copy, byte_range = request.part_number, read_part_copy(request), source_range(request)
    return perform(
        backend,
        "upload_part_copy",
        request,
        lambda: check_part_copying(backend, request.upload, copy, byte_range),
        lambda: part_copy_result(backend.upload_part_copy(request.upload, number, copy, byte_range)),
    )
