"""The WSGI environment (PEP 3333) of a request."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import unquote_to_bytes

from gunicorn import SERVER_SOFTWARE

from s3shim.server.body import Body
from s3shim.server.head import Head

_MAX_KEYS = 1000  # header names whose variable is kept

_keys: dict[str, str] = {}


def base_environ(*, workers: int, secure: bool) -> dict[str, Any]:
    """Return what is the same for every request of a worker."""
    return {
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": workers > 1,
        "wsgi.run_once": False,
        "wsgi.url_scheme": "https" if secure else "http",
        # The body's reader ends by itself, so a body without Content-Length can be read.
        "wsgi.input_terminated": True,
        "s3shim.sendfile": True,
        "SERVER_SOFTWARE": SERVER_SOFTWARE,
        "SCRIPT_NAME": "",
    }


def connection_environ(base: dict[str, Any], peer: Any, here: Any) -> dict[str, Any]:
    """Return ``base`` with the addresses of both ends; those of a Unix socket are empty."""
    internet = isinstance(here, tuple)
    return {
        **base,
        "SERVER_NAME": here[0] if internet else "localhost",
        "SERVER_PORT": str(here[1]) if internet else "",
        "REMOTE_ADDR": peer[0] if internet else "",
        "REMOTE_PORT": str(peer[1]) if internet else "",
    }


def make_environ(head: Head, body: Body, base: dict[str, Any]) -> dict[str, Any]:
    """Return the environment: ``base`` and what the request says.

    ``s3shim.headers`` holds the header lines as sent; ``RAW_URI`` the target as sent. No header reaches a
    variable that is not its own: one with ``_`` in its name, which WSGI could not tell from ``-``, is left
    out.
    """
    target = head.target
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        _, slashes, rest = path.partition("://")
        if slashes:  # absolute form (RFC 9112, 3.2.2)
            _, slash, rest = rest.partition("/")
            path = slash + rest
    environ = base.copy()
    environ["wsgi.input"] = body
    environ["REQUEST_METHOD"] = head.method
    environ["RAW_URI"] = target
    environ["PATH_INFO"] = unquote_to_bytes(path).decode("latin-1") if "%" in path else path
    environ["QUERY_STRING"] = query
    environ["SERVER_PROTOCOL"] = "HTTP/1.1" if head.version == "1.1" else "HTTP/1.0"
    environ["s3shim.headers"] = head.headers
    for name, value in head.headers:
        key = _keys.get(name)
        if key is None:
            key = _key(name)
        if key:
            environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ


def _key(name: str) -> str:
    upper = name.upper().replace("-", "_")
    key = upper if upper in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{upper}"
    # A program that the application starts would take HTTP_PROXY for its proxy setting.
    if "_" in name or key == "HTTP_PROXY":
        key = ""
    if len(_keys) < _MAX_KEYS:
        _keys[name] = key
    return key
