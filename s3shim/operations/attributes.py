"""GetObjectAttributes: what of an object's record the client asks for, as a document."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.errors import Code, S3Error
from s3shim.wire.parameters import integer
from s3shim.wire.preconditions import read_conditions
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response, http_date
from s3shim.wire.results import attributes_result

MAX_PARTS = 1000

_NAMES = ("ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize")
_HEADER = "x-amz-object-attributes"


def get_object_attributes(backend: Backend, request: S3Request) -> Response:
    """GetObjectAttributes: the attributes that x-amz-object-attributes names; parts in pages."""
    wanted = _wanted(request)
    info, parts = backend.get_object_parts(request.ref, read_conditions(request))
    marker, most = _page(request)
    response = attributes_result(info, parts, wanted, marker, most)
    response.headers.append(("Last-Modified", http_date(info.last_modified)))
    return response


def _wanted(request: S3Request) -> set[str]:
    names = {name.strip() for name in (request.headers.get(_HEADER) or "").split(",")} - {""}
    if not names:
        raise S3Error(
            Code.InvalidRequest,
            f"The {_HEADER} header specifying the attributes to be retrieved is either missing or empty",
        )
    if not names.issubset(_NAMES):
        raise S3Error(Code.InvalidArgument, "Invalid attribute name specified.", ArgumentName=_HEADER)
    return names


def _page(request: S3Request) -> tuple[int, int]:
    get = request.headers.get
    marker = get("x-amz-part-number-marker")
    return (
        integer(marker, "part-number-marker", default=0, least=0, most=2**31 - 1),
        integer(get("x-amz-max-parts"), "max-parts", default=MAX_PARTS, least=0, most=MAX_PARTS),
    )
