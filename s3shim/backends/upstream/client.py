"""The connection to the upstream: signed requests over a pool of kept connections.

minio's client hides response headers, conditions and raw streams, so what is used of it is its signer;
connections are urllib3's. A request is sent again only where none of a body that cannot be had twice
has left.
"""

from __future__ import annotations

import random
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3
import urllib3.exceptions as failures
from minio.signer import sign_v4_s3
from urllib3.response import BaseHTTPResponse

from s3shim.backends.upstream.connections import patient_pools
from s3shim.backends.upstream.credentials import Keys
from s3shim.backends.upstream.faults import RETRIED, error_of_failure, error_of_reply, never_sent, timed_out
from s3shim.backends.upstream.leases import Leases
from s3shim.backends.upstream.sending import READING, guard
from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.errors import Code, S3Error
from s3shim.waiting import WAITS

MAX_REPLY = 32 * 1024**2
"""Bytes of an answer that is read as a whole; a listing of 1,000 keys of 1,024 bytes, encoded, has 4 MiB."""

_HASHED = 64 * 1024
"""Bodies up to so many bytes have their SHA-256 signed over plain HTTP; beyond, their MD5 guards them."""

_ERROR_BODY = 64 * 1024
_TIDYING = 5.0
"""Seconds until an answer begins to what a sweep does as well; a client waits behind it."""

_REPLAYED = 1024**2
_UNSIGNED = "UNSIGNED-PAYLOAD"
_NOTHING = sha256(b"").hexdigest()


@dataclass(slots=True)
class Request:
    """One request: ``body`` may be sent again, ``chunks`` may not; ``length`` is theirs, if known.

    ``tidying`` is one that a sweep does as well: nobody waits long for it.
    """

    method: str
    bucket: str = ""
    key: str = ""
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunks: Iterable[bytes] | None = None
    length: int | None = None
    tidying: bool = False


@dataclass(slots=True)
class Reply:
    """An answer that was read as a whole."""

    status: int
    headers: Any
    data: bytes


class BodyFailed(Exception):
    """The body that was being sent could not be read on; the cause says why."""


class _Once:
    """Chunks that are sent once, but for the first mebibyte, which is kept until there is more.

    A kept connection may turn out to be closed only when a body is under way. ``spent`` tells that the
    chunks cannot be had again. An error of their source is not taken for the wire's.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._kept: list[bytes] = []
        self._size = 0
        self.spent = False

    def __iter__(self) -> Iterator[bytes]:
        yield from list(self._kept)
        while True:
            try:
                chunk = next(self._chunks, None)
            except BaseException as error:
                raise BodyFailed from error
            if chunk is None:
                return
            self._size += len(chunk)
            if self._size > _REPLAYED:
                self.spent = True
                self._kept.clear()
            else:
                self._kept.append(chunk)
            yield chunk


class Client:
    """Sends requests to the upstream. Threads share it. ``logs``: whether refusals are logged as errors.

    What changes something leaves while the ``leases`` that its thread holds are ours, or not at all.
    """

    logs = True

    def __init__(self, settings: UpstreamSettings, leases: Leases | None = None) -> None:
        parts = urlsplit(settings.endpoint)
        self._settings = settings
        self._leases = leases
        self._keys = Keys(settings)
        self._scheme = parts.scheme
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        standard = parts.port is None or parts.port == (443 if parts.scheme == "https" else 80)
        self._suffix = "" if standard else f":{parts.port}"
        self._pools: urllib3.PoolManager | None = None

    def start(self) -> None:
        """Serve from now on; nothing is connected yet."""
        settings = self._settings
        options: dict[str, Any] = {}
        if self._scheme == "https":
            options["ssl_context"] = ssl.create_default_context(
                cafile=str(settings.ca) if settings.ca else None
            )
        pools = urllib3.PoolManager(
            num_pools=64,
            maxsize=settings.connections,
            block=False,
            retries=False,
            **options,
        )
        pools.pool_classes_by_scheme = patient_pools(settings.idle_timeout)
        if self._leases is not None:
            guard(pools, self._leases.sending)
        self._pools = pools

    def close(self) -> None:
        """Refuse requests from now on; what is being read may be read to its end."""
        pools, self._pools = self._pools, None
        if pools is not None:
            pools.clear()

    def send(self, request: Request) -> Reply:
        """Return the answer, read as a whole. Raises S3Error for one beyond 2xx and for none."""
        response = self.open(request)
        try:
            data = response.read(MAX_REPLY + 1)
        except (failures.HTTPError, OSError) as error:
            response.close()
            raise error_of_failure(error) from None
        if len(data) > MAX_REPLY:
            response.close()
            raise S3Error(Code.InternalError)
        response.release_conn()
        return Reply(response.status, response.headers, data)

    def open(self, request: Request) -> BaseHTTPResponse:
        """Return an answer whose body is still to be read, then ``release_conn`` or ``close``."""
        response = self._exchange(request)
        connection = getattr(response, "connection", None)
        if connection is not None and connection.sock is not None:
            connection.sock.settimeout(self._settings.idle_timeout)
            # A server that sends head and body apart, as Garage does, waits for this for 40 ms otherwise.
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return response

    def _exchange(self, request: Request) -> BaseHTTPResponse:
        deadline = time.monotonic() + self._settings.deadline
        once = _Once(request.chunks) if request.chunks is not None else None
        attempt = 0
        while True:
            attempt += 1
            try:
                response = self._once(request, once)
            except BodyFailed as error:
                raise error.__cause__ or error from None
            except (failures.HTTPError, OSError) as error:
                again = never_sent(error) or not (once and once.spent)
                again = again and not (request.tidying and timed_out(error))
                outcome = error_of_failure(error)
                in_doubt = not never_sent(error) and request.method not in READING
            else:
                if response.status < 300:
                    return response
                outcome = self._refusal(request, response)
                again = response.status in RETRIED and not (once and once.spent)
                in_doubt = False
            delay = random.uniform(0, min(2.0, 0.05 * 2**attempt))
            if not again or attempt >= self._settings.attempts or time.monotonic() + delay > deadline:
                if in_doubt and self._leases is not None:
                    self._leases.doubt()
                raise outcome
            time.sleep(delay)

    def _refusal(self, request: Request, response: BaseHTTPResponse) -> S3Error:
        try:
            body = response.read(_ERROR_BODY)
        except (failures.HTTPError, OSError):
            body = b""
        # A body that the upstream did not want may still be in the connection, which it may close any time.
        if request.chunks is not None or request.body or len(body) >= _ERROR_BODY:
            response.close()
        else:
            response.release_conn()
        return error_of_reply(
            response.status, body, method=request.method, has_key=bool(request.key), logged=self.logs
        )

    def _once(self, request: Request, once: _Once | None) -> BaseHTTPResponse:
        pools = self._pools
        if pools is None:
            raise S3Error(Code.ServiceUnavailable)
        host, path = self._host, f"/{quote(request.key)}"
        if request.bucket and self._settings.path_style:
            path = f"/{request.bucket}{path if request.key else ''}"
        elif request.bucket:
            host = f"{request.bucket}.{host}"
        query = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(request.query.items())
        )
        named = f"[{host}]" if ":" in host else host
        headers = self._signed(request, f"{named}{self._suffix}", path, query)
        if once is not None:
            if request.length is None:
                headers["Transfer-Encoding"] = "chunked"
            else:
                headers["Content-Length"] = str(request.length)
        elif request.body or request.method in ("PUT", "POST"):
            headers["Content-Length"] = str(len(request.body))
        pool = pools.connection_from_host(host, self._port, self._scheme)
        longest = self._settings.first_byte_timeout
        if request.tidying:
            longest = min(longest, _TIDYING)
        body: Any = once if once is not None else request.body or None
        WAITS.announce()
        return pool.urlopen(
            request.method,
            f"{path}?{query}" if query else path,
            body=body,
            headers=headers,
            timeout=urllib3.Timeout(connect=self._settings.connect_timeout, read=longest),
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )

    def _signed(self, request: Request, host: str, path: str, query: str) -> dict[str, str]:
        keys = self._keys.current()
        now = datetime.now(UTC)
        if request.chunks is not None or (len(request.body) > _HASHED and "Content-MD5" in request.headers):
            hashed = _UNSIGNED
        else:
            hashed = sha256(request.body).hexdigest() if request.body else _NOTHING
        headers = {
            **request.headers,
            "Host": host,
            "x-amz-content-sha256": hashed,
            "x-amz-date": f"{now:%Y%m%dT%H%M%SZ}",
        }
        if keys.session_token:
            headers["x-amz-security-token"] = keys.session_token
        url = urlsplit(f"{self._scheme}://{host}")._replace(path=path, query=query)
        sign_v4_s3(
            method=request.method,
            url=url,
            region=self._settings.region,
            headers=headers,  # type: ignore[arg-type]
            credentials=keys,
            content_sha256=hashed,
            date=now,
        )
        headers["User-Agent"] = "s3shim"
        return headers
