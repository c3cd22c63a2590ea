"""The WSGI application: one request from top to bottom."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator

from s3shim import logs
from s3shim.auth.authenticate import Authenticator
from s3shim.auth.authorize import authorize
from s3shim.backends.base import Backend
from s3shim.errors import Code, S3Error, error_of
from s3shim.routes import Operation, Router
from s3shim.wire.cors import cross_origin_headers
from s3shim.wire.request import Environ, S3Request, Service
from s3shim.wire.response import STATUS_LINES, Response, StartResponse, error_response, host_id

log = logging.getLogger("s3shim.access")

_FRAMING_CODES = {
    408: Code.RequestTimeout,
    411: Code.MissingContentLength,
    414: Code.URITooLong,
    417: Code.ExpectationFailed,
    431: Code.RequestHeaderSectionTooLarge,
    500: Code.InternalError,
    501: Code.NotImplemented,
}
_LOGGED_KEY = 256


class Gateway:
    """S3 over one backend, as a WSGI application."""

    def __init__(
        self, backend: Backend, router: Router, authenticate: Authenticator, service: Service
    ) -> None:
        self.backend = backend
        self.resolve = router.resolve
        self.authenticate = authenticate
        self.service = service
        self.extra_headers: list[tuple[str, str]] = []

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request = S3Request(environ, self.service)
        operation = self.resolve(request)
        failure = None
        entered = time.perf_counter()
        try:
            if not operation.public:
                request.identity = self.authenticate(request)
                authorize(request, self.backend, operation.action)
                if request.body.framed and "Body" not in operation.honours:
                    raise S3Error(Code.InvalidRequest, "This operation takes no body in chunks.")
            entered = time.perf_counter()
            response = operation.handler(self.backend, request)
        except S3Error as error:
            failure = error.code
            response = error_response(request, error)
        except Exception as error:
            mapped = _mapped(error, request, operation)
            failure = mapped.code
            response = error_response(request, mapped)
        if request.bucket and "origin" in request.sent and request.method != "OPTIONS":
            response.headers += cross_origin_headers(request, self.backend.get_document)
        answer = _Answer(request, operation, response, failure)
        answer.backend_seconds = time.perf_counter() - entered - request.body.waited
        return answer.send(start_response, self.extra_headers)

    def http_error(self, status: int, reason: str) -> tuple[str, list[tuple[str, str]], bytes]:
        """Return (status line, headers, body) for a request that is no HTTP; the HTTP server sends it."""
        environ: Environ = {"REQUEST_METHOD": "-", "RAW_URI": "/", "wsgi.input": None}
        request = S3Request(environ, self.service)
        code = _FRAMING_CODES.get(status, Code.BadRequest)
        response = error_response(request, S3Error(code, reason or None))
        _write_log(request, Operation.unknown(), status, code, 0.0, 0)
        body = response.body if isinstance(response.body, bytes) else b""
        headers = [*_common_headers(request), *response.headers, *self.extra_headers]
        return (
            STATUS_LINES.get(status, f"{status} Error"),
            [*headers, ("Content-Length", str(len(body)))],
            body,
        )


def _mapped(error: Exception, request: S3Request, operation: Operation) -> S3Error:
    fields = {"fields": {"request_id": request.id, "op": operation.name}}
    if isinstance(error, OSError | MemoryError):
        mapped = error_of(error)
        if mapped.code is not Code.InternalError:
            # The machine lacks something for now; where in the code that was met says nothing.
            log.error("the request failed: %s", error or "out of memory", extra=fields)
            return mapped
    log.error("the request failed", exc_info=error, extra=fields)
    return S3Error(Code.InternalError)


class _Answer:
    """An answer on its way out: counts its bytes, closes the stream and writes the one log line."""

    __slots__ = ("_chunks", "backend_seconds", "failure", "operation", "request", "response", "sent")

    def __init__(
        self, request: S3Request, operation: Operation, response: Response, failure: Code | None
    ) -> None:
        self.request = request
        self.operation = operation
        self.response = response
        self.failure = failure
        self.sent = 0
        self.backend_seconds = 0.0
        body = response.body
        self._chunks = None if isinstance(body, bytes) else body

    def send(self, start_response: StartResponse, extra: list[tuple[str, str]]) -> Iterable[bytes]:
        response, request = self.response, self.request
        headers = [*_common_headers(request), *response.headers, *extra]
        body = response.body
        if isinstance(body, bytes):
            if request.method == "HEAD":
                body = response.body = b""
            elif response.status not in (204, 304):
                headers.append(("Content-Length", str(len(body))))
        start_response(STATUS_LINES[response.status], headers)
        if self._chunks is None:
            self.sent = len(response.body)  # type: ignore[arg-type]
            self.finish()
            return [body] if body else []  # type: ignore[list-item]
        return self

    def __iter__(self) -> Iterator[bytes]:
        assert self._chunks is not None
        chunks = iter(self._chunks)
        while True:
            began = time.perf_counter()
            try:
                chunk = next(chunks, None)
            except Exception as error:
                # The head is out: all that is left is to end the connection before the stated length.
                self.failure = error.code if isinstance(error, S3Error) else Code.InternalError
                raise
            finally:
                self.backend_seconds += time.perf_counter() - began
            if chunk is None:
                return
            yield chunk
            self.sent += len(chunk)

    def close(self) -> None:
        """Let the storage go and write the log line; WSGI servers call it in every case."""
        if self._chunks is None:
            return
        self._chunks.close()
        self._chunks = None
        self.finish()

    def finish(self) -> None:
        _write_log(
            self.request, self.operation, self.response.status, self.failure, self.backend_seconds, self.sent
        )


def _common_headers(request: S3Request) -> list[tuple[str, str]]:
    return [
        ("x-amz-request-id", request.id),
        ("x-amz-id-2", host_id(request.id)),
        ("X-Content-Type-Options", "nosniff"),
    ]


def _write_log(
    request: S3Request, operation: Operation, status: int, code: Code | None, backend: float, sent: int
) -> None:
    level = logging.ERROR if status == 500 else logging.INFO
    if not logs.written(level):
        return
    fields = {
        "request_id": request.id,
        "remote_ip": request.remote_ip,
        "account": request.identity.account,
        "method": request.method,
        "op": operation.name,
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
