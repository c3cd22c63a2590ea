"""The service's own end points, for load balancers: no credentials, no body."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response


def livez(_backend: Backend, _request: S3Request) -> Response:
    """The process answers."""
    return Response(200)


def readyz(backend: Backend, _request: S3Request) -> Response:
    """The storage would serve a request; ServiceUnavailable otherwise."""
    backend.check()
    return Response(200)
