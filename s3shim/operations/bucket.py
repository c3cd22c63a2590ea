"""Operations on a bucket itself."""

from __future__ import annotations

import time
from typing import Any

from s3shim.backends.base import Backend
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo
from s3shim.wire.document import read_document
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response, xml_response
from s3shim.wire.xml import NAMESPACE, text

DEFAULT_REGION = "us-east-1"


def create_bucket(backend: Backend, request: S3Request) -> Response:
    """CreateBucket: 200 with Location.

    The owner's second attempt is BucketAlreadyOwnedByYou in every region.
    """
    _check_configuration(request, read_document(request, "CreateBucketConfiguration") or {})
    backend.create_bucket(BucketInfo(request.bucket, request.identity.account, time.time_ns() // 1_000_000))
    return Response(200, [("Location", f"/{request.bucket}")])


def _check_configuration(request: S3Request, configuration: dict[str, Any]) -> None:
    for name, value in configuration.items():
        if name.startswith("@") or name == "#text":
            continue
        if name in ("Location", "Bucket", "Tags"):
            raise S3Error(Code.NotImplemented, f"{name} of a bucket configuration is not implemented.")
        if name != "LocationConstraint" or not (value is None or isinstance(value, str)):
            raise S3Error(Code.MalformedXML)
        service = request.service
        if value and value != service.region and not service.any_region:
            raise S3Error(
                Code.IllegalLocationConstraintException,
                f"The {value[:100]} location constraint is incompatible for the region specific endpoint "
                "this request was sent to.",
            )


def head_bucket(backend: Backend, request: S3Request) -> Response:
    """HeadBucket: asks the storage, which may have told the authorisation what it remembered."""
    backend.head_bucket(request.bucket)
    return Response(
        200, [("x-amz-bucket-region", request.service.region), ("Content-Type", "application/xml")]
    )


def delete_bucket(backend: Backend, request: S3Request) -> Response:
    """DeleteBucket: 204; BucketNotEmpty while there are objects."""
    backend.delete_bucket(request.bucket)
    return Response(204)


def get_bucket_location(_backend: Backend, request: S3Request) -> Response:
    """GetBucketLocation: empty for us-east-1, as AWS has it."""
    region = request.service.region
    content = "" if region == DEFAULT_REGION else text(region)
    return xml_response(f'<LocationConstraint xmlns="{NAMESPACE}">{content}</LocationConstraint>')


def get_bucket_versioning(_backend: Backend, _request: S3Request) -> Response:
    """GetBucketVersioning: never set, so the document is empty."""
    return xml_response(f'<VersioningConfiguration xmlns="{NAMESPACE}"/>')
