"""Requests to the upstream: signed, sent over kept connections, and sent again where that may be.

A request is sent again only where none of a body that cannot be had twice has left.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote, urlsplit

from s3shim import signing
from s3shim.backends.upstream.credentials import Keys
from s3shim.backends.upstream.faults import RETRIED, error_of_failure, error_of_reply, never_sent, timed_out
from s3shim.backends.upstream.leases import Leases
from s3shim.backends.upstream.pool import Pool
from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.backends.upstream.wire import Answer, Connection, Fields
from s3shim.errors import Code, S3Error

MAX_REPLY = 32 * 1024**2
"""Bytes of an answer that is read as a whole; a listing of 1,000 keys of 1,024 bytes, encoded, has 4 MiB."""

_HASHED = 64 * 1024
"""Bodies up to so many bytes have their SHA-256 signed over plain HTTP; beyond, their MD5 guards them."""

_PIECE = 256 * 1024
_ERROR_BODY = 64 * 1024
_TIDYING = 5.0
"""Seconds until an answer begins to what a sweep does as well; a client waits behind it."""

_READING = frozenset({"GET", "HEAD"})
"""The methods that change nothing."""

_REPLAYED = 1024**2
_NOTHING = sha256(b"").hexdigest()


@dataclass(slots=True)
class Request:
    """One request: ``body`` may be sent again, ``chunks`` may not; ``length`` is theirs, if known.

    ``hashed`` is its x-amz-content-sha256, where that is not what it should be of such a body. ``tidying`` is
    one that a sweep does as well: nobody waits long for it.
    """

    method: str
    bucket: str = ""
    key: str = ""
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    chunks: Iterable[bytes] | None = None
    length: int | None = None
    hashed: str = ""
    tidying: bool = False


@dataclass(slots=True)
class Reply:
    """An answer that was read as a whole."""

    status: int
    headers: Fields
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
        self._pool: Pool | None = None

    def start(self) -> None:
        """Serve from now on; nothing is connected yet."""
        settings = self._settings
        context = None
        if self._scheme == "https":
            context = ssl.create_default_context(cafile=str(settings.ca) if settings.ca else None)
        self._pool = Pool(settings, self._port, context)

    def close(self) -> None:
        """Refuse requests from now on; what is being read may be read to its end."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def send(self, request: Request) -> Reply:
        """Return the answer, read as a whole. Raises S3Error for one beyond 2xx and for none."""
        answer = self.open(request)
        pieces = []
        size = 0
        try:
            while piece := answer.read(_PIECE):
                pieces.append(piece)
                size += len(piece)
                if size > MAX_REPLY:
                    answer.close()
                    raise S3Error(Code.InternalError)
        except OSError as error:
            raise error_of_failure(error) from None
        return Reply(answer.status, answer.headers, b"".join(pieces))

    def open(self, request: Request) -> Answer:
        """Return an answer whose body is still to be read, or closed."""
        deadline = time.monotonic() + self._settings.deadline
        once = _Once(request.chunks) if request.chunks is not None else None
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._once(request, once)
            except BodyFailed as error:
                raise error.__cause__ or error from None
            except OSError as error:
                again = never_sent(error) or not (once and once.spent)
                again = again and not (request.tidying and timed_out(error))
                outcome = error_of_failure(error)
                in_doubt = not never_sent(error) and request.method not in _READING
            else:
                if answer.status < 300:
                    return answer
                outcome = self._refusal(request, answer)
                again = answer.status in RETRIED and not (once and once.spent)
                in_doubt = False
            delay = random.uniform(0, min(2.0, 0.05 * 2**attempt))
            if not again or attempt >= self._settings.attempts or time.monotonic() + delay > deadline:
                if in_doubt and self._leases is not None:
                    self._leases.doubt()
                raise outcome
            time.sleep(delay)

    def _refusal(self, request: Request, answer: Answer) -> S3Error:
        body = b""
        try:
            while len(body) < _ERROR_BODY and (piece := answer.read(_ERROR_BODY - len(body))):
                body += piece
        except OSError:
            body = b""
        answer.close()
        return error_of_reply(
            answer.status, body, method=request.method, has_key=bool(request.key), logged=self.logs
        )

    def _once(self, request: Request, once: _Once | None) -> Answer:
        connection, head, done = self.connected(request)
        try:
            body = request.body if once is None else once
            try:
                connection.send(head, body, chunked=once is not None and request.length is None)
            except (BrokenPipeError, ConnectionResetError):
                # It may have said why before it had all.
                done = Connection.close
            if request.method == "GET":
                connection.acknowledge()
            return self.answer(connection, request, done)
        except BaseException:
            connection.close()
            raise

    def connected(self, request: Request) -> tuple[Connection, bytes, Callable[[Connection], None]]:
        """Return a connection, the head to be sent by it, and what is called once the answer was read."""
        pool = self._pool
        if pool is None:
            raise S3Error(Code.ServiceUnavailable)
        host, path = self._host, f"/{quote(request.key)}"
        if request.bucket and self._settings.path_style:
            path = f"/{request.bucket}{path if request.key else ''}"
        elif request.bucket:
            host = f"{request.bucket}.{host}"
        items = sorted(request.query.items())
        query = "&".join([f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in items])
        head = self._head(request, f"[{host}]" if ":" in host else host, path, query)
        connection = pool.take(host)
        settings = self._settings
        large = request.chunks is not None or len(request.body) > _HASHED
        connection.limit(settings.idle_timeout if large else settings.first_byte_timeout)
        if self._leases is not None:
            try:
                connection.limit_sending(None if request.method in _READING else self._leases.sending())
            except S3Error:
                pool.give(host, connection)
                raise
        return connection, head, lambda free: pool.give(host, free)

    def answer(self, connection: Connection, request: Request, done: Callable[[Connection], None]) -> Answer:
        """Return the answer to a request that was sent. Raises OSError."""
        # A body that the upstream did not want may still be in the connection, which it may close any time.
        refused = Connection.close if request.chunks is not None or request.body else done
        longest = self._settings.first_byte_timeout
        connection.limit(min(longest, _TIDYING) if request.tidying else longest)
        answer = connection.answer(request.method, done, refused)
        if not answer.ended:
            connection.limit(self._settings.idle_timeout)
        return answer

    def begin(self, request: Request) -> Begun:
        """Send a request that may be sent again, and do not wait for its answer."""
        return Begun(self, request)

    def _head(self, request: Request, host: str, path: str, query: str) -> bytes:
        """Return the head of a request, signed."""
        keys = self._keys.current()
        timestamp = _timestamp(int(time.time()))
        if request.hashed:
            hashed = request.hashed
        elif request.chunks is not None or (len(request.body) > _HASHED and "Content-MD5" in request.headers):
            hashed = signing.UNSIGNED_PAYLOAD
        else:
            hashed = sha256(request.body).hexdigest() if request.body else _NOTHING
        fields = {name.lower(): value for name, value in request.headers.items()}
        fields["host"] = f"{host}{self._suffix}"
        fields["x-amz-content-sha256"] = hashed
        fields["x-amz-date"] = timestamp
        if keys.session_token:
            fields["x-amz-security-token"] = keys.session_token
        names = sorted(fields)
        signed = ";".join(names)
        block = "".join([f"{name}:{fields[name]}\n" for name in names])
        if block.count("\n") != len(names) or "\r" in block:
            raise S3Error(Code.InvalidArgument, "The storage cannot keep a header value of several lines.")
        canonical = signing.canonical_request(request.method, path, query, block, signed, hashed)
        scope = f"{timestamp[:8]}/{self._settings.region}/{signing.SERVICE}/{signing.TERMINAL}"
        key = signing.signing_key(keys.secret_key.encode(), timestamp[:8], self._settings.region)
        signature = signing.signature(key, signing.string_to_sign(timestamp, scope, canonical))
        lines = [
            f"{request.method} {path}?{query} HTTP/1.1" if query else f"{request.method} {path} HTTP/1.1",
            block[:-1].replace("\n", "\r\n"),
            f"authorization: {signing.ALGORITHM} Credential={keys.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}",
            "user-agent: s3shim",
        ]
        if request.chunks is not None and request.length is None:
            lines.append("transfer-encoding: chunked")
        elif request.chunks is not None:
            lines.append(f"content-length: {request.length}")
        elif request.body or request.method in ("PUT", "POST"):
            lines.append(f"content-length: {len(request.body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Begun:
    """A request that was sent; ``finish`` waits for its answer. Where anything fails it is sent again.

    As a context it is finished at the end, unless that is an error: then nobody waits for it.
    """

    def __init__(self, client: Client, request: Request) -> None:
        self._client = client
        self._request = request
        self._sent: tuple[Connection, Callable[[Connection], None]] | None = None
        with suppress(OSError):
            connection, head, done = client.connected(request)
            try:
                connection.send(head, request.body)
            except OSError:
                connection.close()
                raise
            self._sent = connection, done

    def __enter__(self) -> Begun:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.finish()
        elif self._sent is not None:
            self._sent[0].close()

    def finish(self) -> None:
        """Wait until it is done. Raises as ``Client.send``."""
        if self._sent is not None:
            connection, done = self._sent
            self._sent = None
            with suppress(OSError):
                answer = self._client.answer(connection, self._request, done)
                if answer.status < 300 and not answer.read(1):
                    return
            connection.close()
        self._client.send(self._request)


@lru_cache(maxsize=4)
def _timestamp(seconds: int) -> str:
    """Return a time in ISO 8601 basic format."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))
