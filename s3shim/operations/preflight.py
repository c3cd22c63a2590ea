"""OPTIONS: the CORS preflight. No bucket has CORS rules yet, so none is allowed."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.errors import Code, S3Error
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response


def preflight(_backend: Backend, request: S3Request) -> Response:
    """Raise BadRequest where the preflight is none, AccessForbidden otherwise, as AWS does without rules."""
    if not request.headers.get("origin"):
        raise S3Error(Code.BadRequest, "Insufficient information. Origin request header needed.")
    if not request.headers.get("access-control-request-method"):
        raise S3Error(Code.BadRequest, "Invalid Access-Control-Request-Method: null")
    raise S3Error(Code.AccessForbidden)
