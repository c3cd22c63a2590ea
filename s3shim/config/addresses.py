"""Addresses of other services: NATS servers, a monitor, the S3 behind the facade."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from s3shim.config.parsers import HIGHEST_PORT

_HOST = r"(?P<host>[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?"
_SERVER = re.compile(rf"(?:(?P<scheme>nats|tls|ws|wss)://)?(?:(?P<login>[^@/?#\s]+)@)?{_HOST}/?", re.ASCII)
_URL = re.compile(rf"(?P<scheme>https?)://{_HOST}", re.ASCII)
_BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_SUBJECT = re.compile(r"[!#-)+-=?-~]{1,256}", re.ASCII)  # neither blank nor the wildcards * and >
_BAD_IN_PREFIX = re.compile(r"\A/|//|\A\s|\s\Z|\0")

_MAX_PREFIX = 512
NATS_PORT = 4222


class Login(NamedTuple):
    """Who we are at a NATS server: a user with a password, or a token in ``user`` and no password."""

    user: str
    password: str | None


class Servers(NamedTuple):
    """NATS servers as ``nats://HOST:PORT``, and the login that stood in their URLs, None for none."""

    urls: tuple[str, ...]
    login: Login | None


def servers(text: str) -> Servers:
    """Return the servers of a list with commas; a scheme and a port may be left out."""
    urls, logins = [], []
    for number, entry in enumerate(text.split(","), 1):
        match = _SERVER.fullmatch(entry.strip())
        if not match or not _is_port(match["port"]):
            raise ValueError(
                "NATS servers such as nats://127.0.0.1:4222 or tls://nats.example.com, with commas between; "
                f"number {number} is none"
            )
        logins.append(_login(match["login"]))
        urls.append(f"{match['scheme'] or 'nats'}://{match['host']}:{match['port'] or NATS_PORT}")
    if len(set(logins)) > 1:
        raise ValueError("NATS servers with the same login in every URL, or with none")
    return Servers(tuple(urls), logins[0])


def _is_port(text: str | None) -> bool:
    return text is None or 0 < int(text) <= HIGHEST_PORT


def _login(text: str | None) -> Login | None:
    if text is None:
        return None
    user, colon, password = text.partition(":")
    return Login(unquote(user), unquote(password) if colon else None)


def monitor(text: str) -> str:
    """Return the URL of a NATS server's monitor, without a slash at its end."""
    match = _URL.fullmatch(text.removesuffix("/"))
    if not match or not _is_port(match["port"]):
        raise ValueError("the URL of a NATS server's monitor, such as http://127.0.0.1:8222")
    return text.removesuffix("/")


def endpoint(text: str) -> str:
    """Return the URL of an S3, its scheme and its host: what comes after them would change what is signed."""
    scheme, found, rest = text.partition("://")
    if not found or scheme not in ("http", "https"):
        raise ValueError("a URL with its scheme, such as http://127.0.0.1:3900 or https://s3.example.com")
    if "?" in rest or "#" in rest:
        raise ValueError("a URL without a query")
    authority, _, path = rest.partition("/")
    if "@" in authority:
        raise ValueError("a URL without credentials; keys have settings of their own")
    if path:
        raise ValueError("a URL without a path")
    match = _URL.fullmatch(f"{scheme}://{authority}")
    if not match or not _is_port(match["port"]):
        raise ValueError("a URL with a host and perhaps a port, such as http://127.0.0.1:3900")
    return f"{scheme}://{authority}"


def bucket(text: str) -> str:
    """Return the name of a bucket."""
    if not _BUCKET.fullmatch(text):
        raise ValueError("the name of a bucket: 3 to 63 of a-z 0-9 . -")
    return text


def key_prefix(text: str) -> str:
    """Return what keys begin with."""
    if not 0 < len(text.encode()) <= _MAX_PREFIX or _BAD_IN_PREFIX.search(text):
        raise ValueError(
            f"what keys begin with: 1 to {_MAX_PREFIX} bytes without NUL, without a slash in front, two in a "
            "row, or blanks around"
        )
    return text


def domain(text: str) -> str:
    """Return the name of a JetStream domain: one token of a subject."""
    if not _TOKEN.fullmatch(text):
        raise ValueError("the name of a JetStream domain: A-Z a-z 0-9 _ -")
    return text


def api_prefix(text: str) -> str:
    """Return a prefix of JetStream's API: a subject without wildcards."""
    if not _SUBJECT.fullmatch(text) or "" in text.split("."):
        raise ValueError("the prefix of a JetStream API, such as JS.hub.API")
    return text
