"""An answer that begins before the work behind it is done, so that no proxy and no client gives up waiting.

Amazon S3 answers a CompleteMultipartUpload or a copy that takes long so: 200, then blanks while the work
goes on, then the document, which may be an Error: clients look into it. Source: "CompleteMultipartUpload"
and "CopyObject" in the Amazon S3 API Reference.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from threading import Event, Thread

from s3shim.errors import Code, S3Error
from s3shim.wire.request import S3Request
from s3shim.wire.response import XML_TYPE, Response, error_response
from s3shim.wire.xml import DECLARATION

_log = logging.getLogger(__name__)
_DECLARATION = DECLARATION.encode()


def answer_in_time(request: S3Request, work: Callable[[], Response]) -> Response:
    """Return what ``work`` returns, or raise what it raises; after ``service.patience`` begin with 200.

    ``work`` makes a document with status 200. It goes on to its end whether or not the client stays.
    """
    running = _Work(work)
    if running.done.wait(request.service.patience):
        return running.result()
    response = Response(200, [("Content-Type", XML_TYPE)])
    response.body = _Late(request, running, response)
    return response


class _Work:
    """A call in a thread of its own."""

    def __init__(self, work: Callable[[], Response]) -> None:
        self.done = Event()
        self._work = work
        self._response = Response()
        self._error: Exception | None = None
        # A stop of the process does not wait for it: what is half done is undone, as after a crash.
        Thread(target=self._run, name="late", daemon=True).start()

    def _run(self) -> None:
        try:
            self._response = self._work()
        except Exception as error:
            self._error = error
        finally:
            self.done.set()

    def result(self) -> Response:
        """Return what the call has returned or raise what it has raised."""
        if self._error is not None:
            raise self._error
        return self._response


class _Late:
    """The document once it is there, with blanks after its declaration until then."""

    def __init__(self, request: S3Request, running: _Work, response: Response) -> None:
        self._request = request
        self._running = running
        self._response = response

    def __iter__(self) -> Iterator[bytes]:
        yield _DECLARATION
        while not self._running.done.wait(self._request.service.blank_every):
            yield b" "
        document = self._outcome().body
        assert isinstance(document, bytes)
        yield document.removeprefix(_DECLARATION)

    def _outcome(self) -> Response:
        try:
            return self._running.result()
        except S3Error as error:
            told = error
        except Exception as error:
            _log.error(
                "the request failed", exc_info=error, extra={"fields": {"request_id": self._request.id}}
            )
            told = S3Error(Code.InternalError)
        self._response.failure = told.code
        return error_response(self._request, told)

    def close(self) -> None:
        """See Chunks. The work goes on."""
