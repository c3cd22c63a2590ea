"""PutObject, at an offset too, and DeleteObject."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.wire.entity import checksum_headers
from s3shim.wire.integrity import expect
from s3shim.wire.metadata import header_value, read_metadata, refuse_metadata
from s3shim.wire.preconditions import delete_conditions, object_size, write_conditions
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response

_OFFSET = "x-amz-write-offset-bytes"


def put_object(backend: Backend, request: S3Request) -> Response:
    """PutObject: all or nothing; verified against every digest that the client sent."""
    meta = read_metadata(request.headers)
    conditions = write_conditions(request)
    expect(request)
    if _OFFSET not in request.headers:
        info = backend.put_object(request.ref, request.body, meta, conditions)
        return Response(200, [("ETag", f'"{info.etag}"'), *checksum_headers(info)])
    offset = object_size(request.headers.get(_OFFSET), _OFFSET) or 0
    if offset:
        refuse_metadata(meta)
    info = backend.append_object(request.ref, request.body, meta, offset, conditions)
    headers = [("ETag", f'"{info.etag}"'), *checksum_headers(info), ("x-amz-object-size", str(info.size))]
    return Response(200, headers)


def delete_object(backend: Backend, request: S3Request) -> Response:
    """DeleteObject: 204, whether or not there was an object."""
    ref = request.ref
    backend.delete_object(ref, delete_conditions(request))
    if not ref.version_id:
        return Response(204)
    return Response(204, [("x-amz-version-id", header_value(ref.version_id, "versionId"))])
