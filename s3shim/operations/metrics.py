"""What the service tells of itself to those who watch it: no credentials, and nothing of what is stored."""

from __future__ import annotations

import json

from s3shim.backends.base import Backend
from s3shim.measures import Measure
from s3shim.metrics.exposition import exposition
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response

# The numbers of /stats by the metric that they come from; the names are those of nats-s3.
_COUNTS = {
    "nats_client_reconnects_total": "nats_reconnects",
    "nats_objectstore_buckets_total": "objectstore_buckets",
}
_STATE = "nats_client_state"


def metrics(_backend: Backend, request: S3Request) -> Response:
    """Metrics of all workers, in OpenMetrics where Accept asks for it, else in Prometheus's text format."""
    body, content_type = exposition(request.service.numbers.all(), request.sent.get("accept") or "")
    return Response(200, [("Content-Type", content_type), ("Cache-Control", "no-store")], body)


def stats(backend: Backend, request: S3Request) -> Response:
    """Answer a JSON object; what is not known now is null, what the storage does not have is not there."""
    numbers = request.service.numbers
    told: dict[str, object] = {
        "version": numbers.version,
        "backend": numbers.backend,
        "uptime_seconds": int(numbers.uptime),
        "durability": str(backend.durability()),
    }
    if winners := backend.conditional_writes():
        told["conditional_writes"] = winners
    for measure in numbers.all():
        if measure.name == _STATE:
            told["nats_connected"] = _value(measure) == 1
        elif measure.name in _COUNTS:
            told[_COUNTS[measure.name]] = _value(measure)
    headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
    return Response(200, headers, json.dumps(told).encode() + b"\n")


def _value(measure: Measure) -> int | None:
    numbers = measure.samples.get(())
    return None if numbers is None else int(numbers[0])
