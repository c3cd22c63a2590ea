"""gunicorn's workers within this process, so that a test has the application's storage at hand.

Our own, and gunicorn's gthread: the application must be good WSGI for any server.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from gunicorn.config import Config as Settings
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from s3shim.cli.serve import settings
from s3shim.config import load
from s3shim.server.worker import Worker
from tests.wire.client import Client, LiveClient
from tests.wire.signing import Draft

WORKERS = {"s3shim": Worker, "gthread": ThreadWorker}
THREADS = 4
PATIENCE = 10.0

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


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
        return self.app.http_error(status, reason, peer)  # type: ignore[union-attr]


class AppClient(LiveClient):
    """Reaches ``app`` through the worker."""

    def __init__(self, running: Running, app: Callable[..., Any], *pair: str, **options: Any) -> None:
        super().__init__(
            "127.0.0.1", running.port, *pair, host="s3.example:9000", timeout=PATIENCE, **options
        )
        self.app = app
        self._running = running

    def send(self, draft: Draft) -> Any:
        """See LiveClient."""
        if not _is_http(draft):
            pair = self.signer.access_key, self.signer.secret_key
            return Client(self.app, *pair, host=self.host).send(draft)
        self._running.any_app.app = self.app
        if not _is_short(draft):
            return super().send(draft)
        # The server would wait for the rest: close this side.
        with socket.create_connection(self.address, self.timeout) as connection:
            self._write(connection, draft)
            connection.shutdown(socket.SHUT_WR)
            return self._read(connection, draft.method)[0]


def _is_http(draft: Draft) -> bool:
    """Whether a server lets the request through; what it refuses, the application is asked directly."""
    stated = [value.strip() for name, value in draft.headers if name.lower() == "content-length"]
    size = sum(len(name) + len(value) + 4 for name, value in draft.headers)
    return (
        isinstance(draft.body, bytes)
        and size < 8000
        and len(stated) < 2
        and all(value.isascii() and value.isdigit() for value in stated)
        and not any(_CONTROL.search(name + value) for name, value in draft.headers)
    )


def _is_short(draft: Draft) -> bool:
    """Whether the body is shorter than the head says."""
    stated = [value for name, value in draft.headers if name.lower() == "content-length"]
    whole = len(draft.body) if isinstance(draft.body, bytes) else 0
    return bool(stated) and stated[0].isdigit() and int(stated[0]) > whole


class Running:
    """A worker in a thread of this process."""

    def __init__(self, name: str, work: Path) -> None:
        self.any_app = AnyApp()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self._clients: list[AppClient] = []
        kind = type("Here", (WORKERS[name],), {"init_signals": lambda _: None})
        cfg = _settings(work)
        sockets = [self.listener]
        self.worker = kind(1, os.getppid(), sockets, self.any_app, 30, cfg, Logger(cfg))
        self.thread = threading.Thread(target=self.worker.init_process, daemon=True)
        self.thread.start()

    def client(self, app: Callable[..., Any], *pair: str, raw_headers: bool = True) -> AppClient:
        """Return a client; what the application sees of the headers is the worker's choice."""
        made = AppClient(self, app, *pair)
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
