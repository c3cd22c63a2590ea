"""GetObject and HeadObject: the object, a range of it, or one of its parts."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.errors import Code, S3Error
from s3shim.model import ReadyChunks
from s3shim.multipart import locate_part
from s3shim.ranges import ByteRange
from s3shim.wire.entity import Reading, read_reading
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response

_ATTEMPTS = 5


def get_object(backend: Backend, request: S3Request) -> Response:
    """GetObject: 200, or 206 for a range or a part, or 304."""
    reading = read_reading(request)
    if reading.part_number is not None:
        return _get_part(backend, request, reading, reading.part_number)
    stream = backend.get_object(request.ref, reading.byte_range, reading.conditions)
    chunks = stream.chunks
    body = chunks.data if isinstance(chunks, ReadyChunks) else chunks
    return reading.answer(stream.info, stream.start, stream.length, body)


def _get_part(backend: Backend, request: S3Request, reading: Reading, part_number: int) -> Response:
    # The parts are looked up first, so what is read must be the object that they belong to.
    for _ in range(_ATTEMPTS):
        info, parts = backend.get_object_parts(request.ref, reading.conditions)
        start, part = locate_part(info.size, parts, part_number)
        if not part.size:
            return reading.answer_part(info, start, part, b"")
        extent = ByteRange(start, start + part.size - 1)
        try:
            stream = backend.get_object(request.ref, extent, reading.conditions)
        except S3Error as error:
            if error.code is Code.InvalidRange:
                continue
            raise
        if (stream.info.etag, stream.info.last_modified) == (info.etag, info.last_modified):
            return reading.answer_part(info, start, part, stream.chunks)
        stream.chunks.close()
    raise S3Error(Code.ServiceUnavailable)


def head_object(backend: Backend, request: S3Request) -> Response:
    """HeadObject: the headers of GetObject."""
    reading = read_reading(request)
    if reading.part_number is not None:
        info, parts = backend.get_object_parts(request.ref, reading.conditions)
        return reading.answer_part(info, *locate_part(info.size, parts, reading.part_number))
    info = backend.head_object(request.ref, reading.conditions)
    start, length = 0, info.size
    if reading.byte_range is not None and reading.ranges(info):
        start, length = reading.byte_range.resolve(info.size)
    return reading.answer(info, start, length)
