"""The one log line of a request; its fields are described in docs/request.md."""

from __future__ import annotations

import logging
import os
import time

from s3shim import logs
from s3shim.errors import Code
from s3shim.wire.request import S3Request

_LOGGED_KEY = 256


def write_line(
    request: S3Request, operation: str, status: int, code: Code | None, backend: float, sent: int
) -> None:
    """Write the line, at level error for a 500. ``backend`` are seconds, ``sent`` the bytes of the body."""
    level = logging.ERROR if status == 500 else logging.INFO
    if not logs.written(level):
        return
    fields = {
        "request_id": request.id,
        "remote_ip": request.environ.get("REMOTE_ADDR", ""),
        "account": request.identity.account,
        "method": request.method,
        "op": operation,
        "bucket": request.bucket[:_LOGGED_KEY],
        "key": request.key[:_LOGGED_KEY],
        "status": status,
        "code": code.name if code else "",
        "bytes_in": request.body.received,
        "bytes_out": sent,
        "duration_ms": round((time.perf_counter() - request.started) * 1000, 3),
        "backend_ms": round(max(backend, 0.0) * 1000, 3),
        "pid": os.getpid(),
    }
    logs.write(level, "request", fields)
