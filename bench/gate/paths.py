"""The requests of the gate: a service on a durable store, called in this process without a server."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from s3shim import logs
from s3shim.backends.local import LocalBackend
from s3shim.config import load
from s3shim.gateway import Gateway
from s3shim.wsgi import create_app
from tests.wire.client import Client

ACCESS_KEY, SECRET_KEY = "GATEACCESSKEY", "secret-of-the-gate-secret-of-the-gate"

_SMALL = 4096
_LARGE = 1 << 20
_KEYS = 200

Environ = dict[str, Any]


class Service:
    """The application on a new store in ``directory``, with what the requests read put into it.

    ``times`` is how often a request goes through the application.
    """

    def __init__(self, directory: Path, times: int = 1) -> None:
        keys = {"S3SHIM_ACCESS_KEY": ACCESS_KEY, "S3SHIM_SECRET_KEY": SECRET_KEY}
        config = load(["--data", str(directory)], keys)
        logs.setup(config.log_format, config.log_level)
        self.backend = LocalBackend(config.data)
        self._times = times
        self._app: Gateway = create_app(config, self.backend)
        self._client = Client(self._app, ACCESS_KEY, SECRET_KEY)
        self._fill()

    def _fill(self) -> None:
        self._answer("PUT", "/gate")
        with ThreadPoolExecutor(8) as pool:
            targets = [f"/gate/small/{number:07d}" for number in range(_KEYS)]
            list(pool.map(lambda target: self._answer("PUT", target, os.urandom(_SMALL)), targets))
        self._answer("PUT", "/gate/large", os.urandom(_LARGE))

    def _answer(self, method: str, target: str, body: bytes = b"") -> None:
        answer = self._client.request(method, target, body=body)
        assert answer.status == 200, answer

    def requests(self) -> dict[str, tuple[Environ, bytes, int]]:
        """Return, by the name of each row, environ, body and the length of the answer's body."""
        small = f"/gate/small/{_KEYS // 2:07d}"
        drafts = {
            "get-4k": ("GET", small, b""),
            "head": ("HEAD", small, b""),
            "put-4k": ("PUT", "/gate/again", bytes(_SMALL)),
            "list-200": ("GET", "/gate?list-type=2&prefix=small%2F", b""),
            "get-1m": ("GET", "/gate/large", b""),
        }
        made = {}
        for name, (method, target, body) in drafts.items():
            environ = self._client.environ(self._client.draft(method, target, body=body))
            made[name] = environ, body, self.call(environ, body)
        return made

    def call(self, environ: Environ, body: bytes) -> int:
        """Send a request; return the length of its answer's body. Anything but 200 is an error."""
        length = 0
        for _ in range(self._times):
            given = {**environ, "wsgi.input": io.BytesIO(body)}
            chunks = self._app(given, _start_response)
            try:
                length = sum(map(len, chunks))
            finally:
                _close(chunks)
        return length


def _start_response(status: str, _headers: list[tuple[str, str]], _error: object = None) -> Any:
    if not status.startswith("200 "):
        raise RuntimeError(f"answered {status}")


def _close(chunks: Iterable[bytes]) -> None:
    if hasattr(chunks, "close"):
        chunks.close()
