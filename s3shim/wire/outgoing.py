"""An answer on its way out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from s3shim.errors import Code, S3Error
from s3shim.wire.access import write_line
from s3shim.wire.cors import cross_origin_headers
from s3shim.wire.request import S3Request
from s3shim.wire.response import STATUS_LINES, Response, StartResponse, host_id

_Headers = list[tuple[str, str]]


class Answer:
    """The answer to ``request``: counts its bytes, closes the stream and writes the one log line.

    ``operation`` is the name for the log, ``failure`` the code of an error, ``backend_seconds`` what the
    storage took so far.
    """

    __slots__ = ("_chunks", "_failure", "_operation", "_request", "_response", "_sent", "backend_seconds")

    def __init__(self, request: S3Request, operation: str, response: Response, failure: Code | None) -> None:
        self._request = request
        self._operation = operation
        self._response = response
        self._failure = failure
        self._sent = 0
        self.backend_seconds = 0.0
        body = response.body
        self._chunks = None if isinstance(body, bytes) else body

    def send(
        self,
        start_response: StartResponse,
        extra: _Headers,
        get_document: Callable[[str, str], bytes | None],
    ) -> Iterable[bytes]:
        """Begin the answer, with the headers ``extra`` too, and return its body for the server to send.

        ``get_document`` gives the cross-origin rules of the bucket.
        """
        response, request = self._response, self._request
        if request.bucket and "origin" in request.sent and request.method != "OPTIONS":
            response.headers += cross_origin_headers(request, get_document)
        headers = [*self._common(), *response.headers, *extra]
        body = response.body
        if not isinstance(body, bytes):
            start_response(STATUS_LINES[response.status], headers)
            return self
        if request.method == "HEAD":
            body = b""
        elif response.status not in (204, 304):
            headers.append(("Content-Length", str(len(body))))
        start_response(STATUS_LINES[response.status], headers)
        self._sent = len(body)
        self._finish(response.status)
        return [body] if body else []

    def alone(self, status: int, extra: _Headers) -> tuple[str, _Headers, bytes]:
        """Return (status line, headers, body) for who sends it without a request, under its own status."""
        body = self._response.body
        assert isinstance(body, bytes)
        self._finish(status)
        headers = [*self._common(), *self._response.headers, *extra, ("Content-Length", str(len(body)))]
        return STATUS_LINES.get(status, f"{status} Error"), headers, body

    def __iter__(self) -> Iterator[bytes]:
        assert self._chunks is not None
        chunks = iter(self._chunks)
        while True:
            began = time.perf_counter()
            try:
                chunk = next(chunks, None)
            except Exception as error:
                # The head is out: all that is left is to end the connection before the stated length.
                self._failure = error.code if isinstance(error, S3Error) else Code.InternalError
                raise
            finally:
                self.backend_seconds += time.perf_counter() - began
            if chunk is None:
                return
            yield chunk
            self._sent += len(chunk)

    def close(self) -> None:
        """Let the storage go and write the log line; WSGI servers call it in every case."""
        if self._chunks is not None:
            self._chunks.close()
            self._chunks = None
            self._finish(self._response.status)

    def _finish(self, status: int) -> None:
        failure = self._failure or self._response.failure
        self._request.service.numbers.count(self._operation, status)
        write_line(self._request, self._operation, status, failure, self.backend_seconds, self._sent)

    def _common(self) -> _Headers:
        request_id = self._request.id
        return [
            ("x-amz-request-id", request_id),
            ("x-amz-id-2", host_id(request_id)),
            ("X-Content-Type-Options", "nosniff"),
        ]
