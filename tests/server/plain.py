"""A WSGI application without S3, and gunicorn's settings for it: what the worker does by itself.

Run as ``python -m tests.server.plain IDLE HEADER THREADS [SETTING=VALUE ...]``, settings of gunicorn.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from gunicorn.app.base import BaseApplication

from s3shim.server.connection import Limits
from s3shim.server.worker import worker_class

served: list[str] = []


class App:
    """Answers by path; /served tells which paths were asked for."""

    def http_error(self, status: int, reason: str, peer: str) -> tuple[str, list[tuple[str, str]], bytes]:
        return f"{status} Refused", [("X-Refused", peer)], reason.encode()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        served.append(path)
        headers: list[tuple[str, str]] = []
        if path == "/big":
            start_response("200 OK", [("Content-Length", str(64 << 20))])
            return (bytes(1 << 20) for _ in range(64))
        if path == "/short":
            start_response("200 OK", [("Content-Length", "10")])
            return [b"12345"]
        if path == "/crash-late":
            start_response("200 OK", [("Content-Length", "10")])
            return self._crash()
        if path == "/crash":
            raise RuntimeError("crashed on purpose")
        if path == "/slow":
            time.sleep(1.5)
        body = self._body(path, environ)
        headers.append(("Content-Length", str(len(body))))
        start_response("200 OK", headers)
        return [body]

    def _body(self, path: str, environ: dict[str, Any]) -> bytes:
        if path == "/read":
            try:
                return b"%d" % len(environ["wsgi.input"].read())
            except Exception as error:
                return type(error).__name__.encode()
        if path == "/headers":
            return repr(environ["s3shim.headers"]).encode()
        if path == "/pid":
            return b"%d" % os.getpid()
        if path == "/environ":
            return repr({name: str(value) for name, value in environ.items()}).encode()
        if path == "/served":
            return " ".join(served).encode()
        return b"ok"

    def _crash(self) -> Iterator[bytes]:
        yield b"12345"
        raise RuntimeError("crashed on purpose")


class Plain(BaseApplication):
    """gunicorn with our worker and one process."""

    def load_config(self) -> None:
        idle, header, threads, *others = sys.argv[1:]
        values = {
            "bind": "127.0.0.1:0",
            "threads": int(threads),
            "worker_class": worker_class(Limits(header=float(header), idle=float(idle))),
            "worker_connections": 200,
            "http_parser": "python",
            "header_map": "dangerous",
            "forwarder_headers": "",
            "limit_request_line": 8190,
            "control_socket_disable": True,
            "keepalive": 20,
            "when_ready": lambda arbiter: print(arbiter.LISTENERS[0], flush=True),
        }
        values.update(other.split("=", 1) for other in others)
        for name, value in values.items():
            self.cfg.set(name, value)

    def load(self) -> App:
        return App()


if __name__ == "__main__":
    Plain().run()
