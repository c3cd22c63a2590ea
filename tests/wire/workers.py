"""gunicorn's workers within this process, so that a test has the application's storage at hand.

Our own, and gunicorn's gthread: the application must be good WSGI for any server.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gunicorn.config import Config as Settings
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from s3shim.cli.serve import settings
from s3shim.config import load
from s3shim.server.head import MAX_HEADER_SECTION, MAX_REQUEST_LINE
from s3shim.server.worker import Worker
from tests.wire.answer import AnswerHeaders
from tests.wire.client import Client, LiveClient
from tests.wire.signing import Draft

WORKERS = {"s3shim": Worker, "gthread": ThreadWorker}
THREADS = 4
PATIENCE = 10.0

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TARGET = re.compile(r"(https?://[^/?#]+)?/[!\"$-~]*")
_METHOD = re.compile(r"[A-Z]+")


class AnyApp:
    """The application that the worker has; the one behind it may change."""

    def __init__(self) -> None:
        self.app: Callable[..., Any] | None = None

    def wsgi(self) -> Callable[..., Any]:
        """Return the application, as gunicorn asks for it."""
        return self

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        assert self.app is not None
        answer: Iterable[bytes] = self.app(environ, start_response)
        return answer

    def http_error(self, status: int, reason: str, peer: str) -> Any:
        """See s3shim.server.Worker."""
        return self.app.http_error(status, reason, peer)


class _Watchful:
    """A socket that is not written to once there is something to read."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def sendall(self, data: bytes) -> None:
        """Send all of ``data``. Raises BrokenPipeError where an answer has come."""
        view = memoryview(data)
        poll = select.poll()
        poll.register(self._connection, select.POLLIN | select.POLLOUT)
        while view:
            if any(event & select.POLLIN for _, event in poll.poll(PATIENCE * 1000)):
                raise BrokenPipeError("there is an answer")
            view = view[self._connection.send(view) :]


class AppClient(LiveClient):
    """Reaches ``app`` through the worker; ``raw_headers`` counts only for what goes straight to it."""

    def __init__(
        self,
        running: Running,
        app: Callable[..., Any],
        access_key: str,
        secret_key: str,
        region: str = "us-east-1",
        host: str = "s3.example:9000",
        *,
        raw_headers: bool = True,
    ) -> None:
        super().__init__("127.0.0.1", running.port, access_key, secret_key, region, host, PATIENCE)
        self.app = app
        self.raw_headers = raw_headers
        self._running = running

    def send(self, draft: Draft) -> Any:
        """See LiveClient."""
        if any(holds(draft) for holds in DIRECT.values()):
            straight = Client(self.app, "", "", host=self.host, raw_headers=self.raw_headers)
            return straight.send(draft)
        self._running.any_app.app = self.app
        answer = self._send_short(draft) if _is_short(draft) else super().send(draft)
        # These are the worker's own (tests/server has them): what is left is the application's answer.
        lines = [line for line in answer.headers.lines if line[0].lower() not in ("connection", "date")]
        return replace(answer, headers=AnswerHeaders(lines))

    @staticmethod
    def _write(connection: socket.socket, draft: Draft) -> None:
        """See LiveClient; stops where an answer comes before all is sent (RFC 9112, 9.5)."""
        LiveClient._write(_Watchful(connection), draft)

    def _send_short(self, draft: Draft) -> Any:
        # The server would wait for the rest: close this side.
        with socket.create_connection(self.address, self.timeout) as connection:
            self._write(connection, draft)
            connection.shutdown(socket.SHUT_WR)
            return self._read(connection, draft.method)[0]


def _lengths(draft: Draft) -> list[str]:
    return [value.strip() for name, value in draft.headers if name.lower() == "content-length"]


def _line(draft: Draft) -> str:
    return f"{draft.method} {draft.target} HTTP/1.1"


# What a client cannot send, or a server answers by itself (tests/server has that): the reason, and which
# requests it holds for. They go straight to the application, which has to be right behind any server.
DIRECT: dict[str, Callable[[Draft], bool]] = {
    "the address of the client is that of a proxy": lambda draft: bool(draft.extra),
    "the body looks who reads it": lambda draft: not isinstance(draft.body, bytes),
    "the target is in none of HTTP's forms": lambda draft: not _TARGET.fullmatch(draft.target),
    "the method is none": lambda draft: not _METHOD.fullmatch(draft.method),
    "the request line is too long": lambda draft: len(_line(draft)) > MAX_REQUEST_LINE,
    "the headers are too long": lambda draft: (
        sum(len(n) + len(v) + 4 for n, v in draft.headers) > MAX_HEADER_SECTION
    ),
    "a header has a control character": lambda draft: any(_CONTROL.search(n + v) for n, v in draft.headers),
    "two spellings of a name, which WSGI cannot tell apart": lambda draft: (
        len({name.lower().replace("_", "-") for name, _ in draft.headers})
        < len({name.lower() for name, _ in draft.headers})
    ),
    "Content-Length is not one number": lambda draft: (
        len(_lengths(draft)) > 1 or not all(v.isascii() and v.isdigit() for v in _lengths(draft))
    ),
}


# Modules of which nothing would go through the worker: why.
IN_PROCESS = {
    "test_circles.py": "it looks for what requests leave behind, and a worker here has requests under way",
    "test_late_answers.py": "it takes the application's answers piece by piece",
    "test_fuzz.py": "its service is its own; make fuzz-requests sends as nearly right ones over sockets",
}


def _is_short(draft: Draft) -> bool:
    """Whether the body is shorter than the head says, or the head says nothing of it.

    Then what is sent next would be taken for the rest of it, or it for the next request.
    """
    lengths = _lengths(draft)
    framed = bool(lengths) or any(name.lower() == "transfer-encoding" for name, _ in draft.headers)
    return (bool(draft.body) and not framed) or any(int(length) > len(draft.body) for length in lengths)


class Running:
    """A worker in a thread of this process."""

    def __init__(self, name: str, work: Path) -> None:
        self.any_app = AnyApp()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as gunicorn does
        self.port: int = self.listener.getsockname()[1]
        self._clients: list[AppClient] = []
        kind = type("Here", (WORKERS[name],), {"init_signals": lambda _: None})
        cfg = _settings(work)
        sockets = [self.listener]
        self.worker = kind(1, os.getppid(), sockets, self.any_app, 30, cfg, Logger(cfg))
        self.thread = threading.Thread(target=self.worker.init_process, daemon=True)
        self.thread.start()

    def client(self, app: Callable[..., Any], *pair: str, **options: Any) -> AppClient:
        """Return a client; what the application sees of the headers is the worker's choice."""
        made = AppClient(self, app, *pair, **options)
        self._clients.append(made)
        return made

    def stop(self) -> None:
        """Stop as at SIGTERM."""
        for client in self._clients:
            client.close()
        self.worker.alive = False
        self.worker.handle_exit(0, None)
        os.write(self.worker.PIPE[1], b"1")
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()
        self.worker.tmp.close()
        for fd in self.worker.PIPE:
            os.close(fd)
        self.listener.close()


def _settings(work: Path) -> Settings:
    """Return gunicorn's settings as ``s3shim serve`` makes them, without its log."""
    logger = logging.getLogger("s3shim")
    kept = logger.handlers, logger.propagate, logger.level
    made = settings(load(["--data", str(work)], {}))
    logger.handlers, logger.propagate = kept[:2]
    logger.setLevel(kept[2])
    cfg = Settings()
    for name, value in made.items():
        if name not in ("on_starting", "when_ready", "on_exit", "worker_class", "logger_class"):
            cfg.set(name, value)
    cfg.set("threads", THREADS)
    cfg.set("graceful_timeout", 2)
    return cfg


@contextlib.contextmanager
def running(name: str, work: Path) -> Iterator[Running]:
    """Run the worker of that name."""
    made = Running(name, work)
    time.sleep(0.1)
    try:
        yield made
    finally:
        made.stop()
