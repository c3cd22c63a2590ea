"""Operations on the tags of an object. The object itself, and its Last-Modified, stay as they are."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code, S3Error
from s3shim.wire.document import read_document
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response, xml_response
from s3shim.wire.tags import parse_tagging, tagging_document


def get_object_tagging(backend: Backend, request: S3Request) -> Response:
    """GetObjectTagging: an empty set where the object has no tags."""
    info = backend.head_object(request.ref, NO_CONDITIONS)
    return xml_response(tagging_document(info.meta.tags))


def put_object_tagging(backend: Backend, request: S3Request) -> Response:
    """PutObjectTagging: replaces all tags."""
    content = read_document(request, "Tagging")
    if content is None:
        raise S3Error(Code.MalformedXML)
    backend.put_object_tags(request.ref, parse_tagging(content))
    return Response(200)


def delete_object_tagging(backend: Backend, request: S3Request) -> Response:
    """DeleteObjectTagging: 204."""
    backend.put_object_tags(request.ref, {})
    return Response(204)
