"""What is answered without credentials: the service's own end points, and the CORS preflight.

No bucket name is reserved: only an unsigned GET or HEAD of the exact path is the service's.
"""

from __future__ import annotations

from s3shim.operations import cors, health, metrics
from s3shim.routes.operation import Handler, Operation
from s3shim.wire.request import S3Request

# Any of these means that the request is signed: SigV4 by header, SigV4 and SigV2 presigned.
_SIGNED = frozenset({"X-Amz-Signature", "X-Amz-Algorithm", "X-Amz-Credential", "AWSAccessKeyId", "Signature"})


def _public(name: str, scope: str, method: str, handler: Handler) -> Operation:
    return Operation(name, scope, method, "", handler, "", public=True)


ENDPOINTS = {
    "/healthz": _public("Healthz", "service", "GET", health.readyz),
    "/readyz": _public("Readyz", "service", "GET", health.readyz),
    "/livez": _public("Livez", "service", "GET", health.livez),
    "/minio/health/live": _public("Livez", "service", "GET", health.livez),
    "/metrics": _public("Metrics", "service", "GET", metrics.metrics),
    "/stats": _public("Stats", "service", "GET", metrics.stats),
}

PREFLIGHT = _public("Preflight", "service", "OPTIONS", cors.preflight)


def service_endpoint(request: S3Request) -> Operation | None:
    """Return the end point that the request means, or None."""
    endpoint = ENDPOINTS.get(request.path)
    if (
        endpoint is None
        or request.path in request.service.closed
        or request.host_bucket
        or request.method not in ("GET", "HEAD")
        or "authorization" in request.headers
    ):
        return None
    return endpoint if _SIGNED.isdisjoint(request.query.names()) else None
