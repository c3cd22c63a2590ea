"""The WSGI application: one request from top to bottom."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable

from s3shim.auth.authorize import authorize
from s3shim.backends.base import Backend
from s3shim.errors import Code, S3Error, error_of
from s3shim.model import Identity
from s3shim.routes import UNKNOWN, Operation, Router
from s3shim.wire.outgoing import Answer
from s3shim.wire.request import Environ, S3Request, Service
from s3shim.wire.response import StartResponse, error_response

log = logging.getLogger(__name__)

_FRAMING_CODES = {
    408: Code.RequestTimeout,
    411: Code.MissingContentLength,
    414: Code.URITooLong,
    417: Code.ExpectationFailed,
    431: Code.RequestHeaderSectionTooLarge,
    500: Code.InternalError,
    501: Code.NotImplemented,
}


class Gateway:
    """S3 over one backend, as a WSGI application. ``authenticate`` says who asks, or raises S3Error."""

    def __init__(
        self,
        backend: Backend,
        router: Router,
        authenticate: Callable[[S3Request], Identity],
        service: Service,
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
                if not operation.takes_body:
                    request.body.verify_unused(waits="expect" in request.sent)
            entered = time.perf_counter()
            response = operation.handler(self.backend, request)
        except S3Error as error:
            failure = error.code
            response = error_response(request, error)
        except Exception as error:
            mapped = _mapped(error, request, operation)
            failure = mapped.code
            response = error_response(request, mapped)
        answer = Answer(request, operation.name, response, failure)
        answer.backend_seconds = time.perf_counter() - entered - request.body.waited
        return answer.send(start_response, self.extra_headers, self.backend.get_document)

    def http_error(self, status: int, reason: str, peer: str) -> tuple[str, list[tuple[str, str]], bytes]:
        """Return (status line, headers, body) for a request that is no HTTP; the HTTP server sends it.

        ``peer`` is the address that it has come from, "" for a Unix socket.
        """
        environ: Environ = {
            "REQUEST_METHOD": "-", "RAW_URI": "/", "REMOTE_ADDR": peer, "wsgi.input": None,
        }  # fmt: skip
        request = S3Request(environ, self.service)
        error = S3Error(_FRAMING_CODES.get(status, Code.BadRequest), reason or None)
        answer = Answer(request, UNKNOWN, error_response(request, error), error.code)
        return answer.alone(status, self.extra_headers)


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
