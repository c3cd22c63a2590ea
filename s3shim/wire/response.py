"""Answers: status, headers, bytes; and the error document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from http import HTTPStatus
from random import getrandbits

from werkzeug.http import http_date as _http_date

from s3shim.errors import Code, S3Error
from s3shim.model import Chunks, ObjectInfo
from s3shim.wire.metadata import SYSTEM_HEADERS
from s3shim.wire.request import S3Request
from s3shim.wire.xml import DECLARATION, text

StartResponse = Callable[[str, list[tuple[str, str]]], object]

XML_TYPE = "application/xml"

STATUS_LINES = {int(status): f"{int(status)} {status.phrase}" for status in HTTPStatus}


@dataclass(slots=True)
class Response:
    """An answer. ``body`` is bytes, or chunks whose length the Content-Length header states if it is known.

    ``failure`` is the code of an error that was found after the answer had begun.
    """

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | Chunks = b""
    failure: Code | None = None


def xml_response(document: str, status: int = 200) -> Response:
    """Return ``document``, the XML after the declaration, as an answer."""
    return Response(status, [("Content-Type", XML_TYPE)], (DECLARATION + document).encode())


@lru_cache(maxsize=4096)
def _date_of_second(second: int) -> str:
    return _http_date(second)


def http_date(milliseconds: int) -> str:
    """Return a time as an HTTP date (RFC 9110, 5.6.7), cut to its second."""
    return _date_of_second(milliseconds // 1000)


def error_response(request: S3Request, error: S3Error) -> Response:
    """Return the error document; without a body for HEAD and where the status allows none.

    503 says when to come again, in 1 to 4 seconds where the error does not say it (RFC 9110, 10.2.3).
    """
    if error.status == 304:
        return _not_modified(error.details["info"])
    elements = [("Code", error.code.name), ("Message", error.message)]
    elements += [(name, str(value)) for name, value in error.details.items()]
    named = error.details
    if request.bucket and "BucketName" not in named:
        elements.append(("BucketName", request.bucket))
    if request.key and "Key" not in named:
        elements.append(("Key", request.key))
    elements += [("Resource", request.path), ("RequestId", request.id), ("HostId", host_id(request.id))]
    body = "".join(f"<{name}>{text(value)}</{name}>" for name, value in elements)
    response = xml_response(f"<Error>{body}</Error>", error.status)
    response.headers += error.headers.items()
    if error.status == 503 and "Retry-After" not in error.headers:
        # Not the same for all: those that were refused together would come back together.
        response.headers.append(("Retry-After", str(1 + getrandbits(2))))
    return response


def _not_modified(info: ObjectInfo) -> Response:
    """Return 304 with the headers that RFC 9110, 15.4.5 demands."""
    headers = [("ETag", f'"{info.etag}"'), ("Last-Modified", http_date(info.last_modified))]
    for name in ("cache-control", "expires"):
        if name in info.meta.system:
            headers.append((SYSTEM_HEADERS[name], info.meta.system[name]))
    return Response(304, headers)


def host_id(request_id: str) -> str:
    """Return x-amz-id-2: it only has to be there and to belong to the request id."""
    return f"s3shim{request_id}"
