"""The one log line of a request; its fields are described in docs/request.md."""

from __future__ import annotations

import logging
import os
import time

from s3shim import logs
from s3shim.errors import Code
from s3shim.wire.request import S3Request

_LOGGED_KEY = 256

_LINE = logs.Line(
    "request",
    ("request_id", "remote_ip", "account", "method", "op", "bucket", "key", "code"),
    ("status", "bytes_in", "bytes_out", "duration_ms", "backend_ms", "pid"),
)


def write_line(
    request: S3Request, operation: str, status: int, code: Code | None, backend: float, sent: int
) -> None:
    """Write the line, at level error for a 500. ``backend`` are seconds, ``sent`` the bytes of the body."""
    level = logging.ERROR if status == 500 else logging.INFO
    if not logs.written(level):
        return
    body = request.body
    _LINE.write(
        level,
        (
            request.id,
            request.remote_ip,
            request.identity.account,
            request.method,
            operation,
            request.bucket,
            request.key[:_LOGGED_KEY],
            code.name if code else "",
        ),
        (
            status,
            body.received,
            sent,
            _milliseconds(time.perf_counter() - request.started),
            _milliseconds(backend),
            os.getpid(),
        ),
    )


def _milliseconds(seconds: float) -> float:
    return int(seconds * 1e6) / 1000 if seconds > 0 else 0.0
