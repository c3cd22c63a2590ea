"""CopyObject and UploadPartCopy: work on records, no byte is copied."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.copying import Copy
from s3shim.wire.metadata import read_metadata
from s3shim.wire.preconditions import write_conditions
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response
from s3shim.wire.results import copy_result, part_copy_result
from s3shim.wire.source import (
    read_source,
    refuse_copy_onto_itself,
    replaces,
    source_conditions,
    source_range,
)


def copy_object(backend: Backend, request: S3Request) -> Response:
    """CopyObject, of an object of any size, with metadata and tags copied or replaced."""
    source = read_source(request)
    replaces_metadata, replaces_tags = replaces(request, "metadata"), replaces(request, "tagging")
    if not (replaces_metadata or replaces_tags):
        refuse_copy_onto_itself(source, request.ref)
    given = read_metadata(request.headers)
    copy = Copy(
        source,
        source_conditions(request),
        given if replaces_metadata else None,
        given.tags if replaces_tags else None,
    )
    return copy_result(backend.copy_object(copy, request.ref, write_conditions(request)))


def upload_part_copy(backend: Backend, request: S3Request) -> Response:
    """UploadPartCopy, of a whole object or of a range of it."""
    number = request.part_number
    copy = Copy(read_source(request), source_conditions(request))
    return part_copy_result(backend.upload_part_copy(request.upload, number, copy, source_range(request)))
