"""Configuration that nobody has set: the answers that Amazon S3 gives to the question for it.

Terraform, s3cmd, Cyberduck and others ask for all of it whenever they look at a bucket. What would set it is
not implemented, so there is nothing to look up.

Source: the pages of these operations and "Error Responses" in the Amazon S3 API Reference. Encryption and
the public access block are answered as never set, though Amazon sets them for each new bucket: an answer
that speaks of encryption at rest would not be true here.
"""

from __future__ import annotations

from collections.abc import Callable

from s3shim.backends.base import Backend
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code, S3Error
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response, xml_response
from s3shim.wire.xml import NAMESPACE

Handler = Callable[[Backend, S3Request], Response]


def never_set(code: Code) -> Handler:
    """Return an operation that answers that there is no such configuration."""

    def answer(_backend: Backend, request: S3Request) -> Response:
        raise S3Error(code, BucketName=request.bucket)

    return answer


def by_default(root: str, content: str = "") -> Handler:
    """Return an operation that answers the document ``root`` with this content."""
    document = f'<{root} xmlns="{NAMESPACE}">{content}</{root}>'

    def answer(_backend: Backend, _request: S3Request) -> Response:
        return xml_response(document)

    return answer


def without_object_lock(backend: Backend, request: S3Request) -> Response:
    """GetObjectLegalHold, GetObjectRetention: no bucket has an Object Lock configuration."""
    backend.head_object(request.ref, NO_CONDITIONS)
    raise S3Error(Code.InvalidRequest, "Bucket is missing Object Lock Configuration")
