"""An upstream that says what a test wants it to say."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_WR
from threading import Event, Thread

from s3shim.backends.ledger import Ledger
from s3shim.backends.upstream.backend import UpstreamBackend
from s3shim.backends.upstream.settings import UpstreamSettings

BUCKET_RECORD = b'{"owner": "main", "created": 1, "identity": "i"}'


@dataclass
class Asked:
    """A request that came."""

    method: str
    path: str
    headers: Message
    body: bytes


@dataclass
class Answer:
    """What is answered. ``cut`` bytes of the body are sent, then the connection is closed.

    With ``half`` it is closed for what comes from here only.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    stall: bool = False
    half: bool = False


def error(status: int, code: str) -> Answer:
    """Return an S3 error."""
    body = f"<Error><Code>{code}</Code><Message>what the upstream says</Message></Error>"
    return Answer(status, body.encode())


class FakeUpstream:
    """Answers by ``answer``, but for the record of the bucket "bucket"; ``asked`` is what came.

    ``pause`` is how many seconds it waits before it takes the body of a request; where ``takes`` is not None,
    the connection is closed when so many bytes of a longer one have come.
    """

    def __init__(
        self,
        answer: Callable[[Asked], Answer | None],
        tls: ssl.SSLContext | None = None,
        *,
        pause: float = 0.0,
    ) -> None:
        self.asked: list[Asked] = []
        self.pause = pause
        self.takes: int | None = None
        self.answer = answer
        self.released = Event()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except (OSError, ValueError):
                    self.close_connection = True

            def serve(self) -> None:
                fake.serve(self)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = serve  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: object) -> None:
                """A client that goes away is nothing to report."""

        self.server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        scheme = "https" if tls else "http"
        self.endpoint = f"{scheme}://127.0.0.1:{self.server.server_address[1]}"
        self.thread = Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def __enter__(self) -> FakeUpstream:
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        length = int(handler.headers.get("Content-Length") or 0)
        if length:
            self.released.wait(self.pause)
        if self.takes is not None and length > self.takes:
            handler.rfile.read(self.takes)
            handler.close_connection = True
            return
        body = handler.rfile.read(length) if length else b""
        asked = Asked(handler.command, handler.path, handler.headers, body)
        if handler.path == "/s3shim-records/.s3shim/buckets/bucket":
            answer: Answer | None = Answer(200, BUCKET_RECORD)
        else:
            self.asked.append(asked)
            answer = self.answer(asked)
        if answer is None:
            handler.close_connection = True
            return
        if answer.stall:
            self.released.wait(30)
            handler.close_connection = True
            return
        handler.send_response_only(answer.status)
        headers = {"Content-Length": str(len(answer.body)), **answer.headers}
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if asked.method != "HEAD":
            handler.wfile.write(answer.body[: answer.cut])
        if answer.half:
            handler.wfile.flush()
            handler.connection.shutdown(SHUT_WR)
            self.released.wait(30)
        if answer.cut is not None:
            handler.close_connection = True


def backend_over(
    endpoint: str, path: Path, ledger: Ledger | None = None, **settings: object
) -> UpstreamBackend:
    """Return a started backend that is impatient."""
    wanted = {
        "access_key": "access",
        "secret_key": "secret",
        "dialect": "minio",
        "connect_timeout": 1.0,
        "first_byte_timeout": 0.5,
        "idle_timeout": 0.5,
        "attempts": 3,
        "block_size": 4096,
        **settings,
    }
    backend = UpstreamBackend(UpstreamSettings(endpoint, path / "state", **wanted), ledger)
    backend.start()
    return backend
