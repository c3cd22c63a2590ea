"""A raw client that signs: what it is told to send is what goes out, byte for byte.

SDKs and test clients normalise targets and headers, and those are what the wire tests are about.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import http.client
import io
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from tests.wire.answer import Answer, AnswerHeaders
from tests.wire.signing import Draft, Signer, stamp

UNSIGNED = "UNSIGNED-PAYLOAD"
LONGEST_WAIT = 60.0
NOT_SIGNED = {"authorization", "connection", "content-length", "expect", "transfer-encoding", "user-agent"}

HeaderLines = Mapping[str, str | None] | Iterable[tuple[str, str | None]]


class BaseClient:
    """Builds and signs requests; ``send`` is what the two kinds of client differ in."""

    def __init__(self, access_key: str, secret_key: str, region: str, host: str) -> None:
        self.signer = Signer(access_key, secret_key, region)
        self.host = host

    def as_user(self, access_key: str, secret_key: str) -> BaseClient:
        """Return the same client with another key pair."""
        other = copy.copy(self)
        other.signer = Signer(access_key, secret_key, self.signer.region)
        return other

    def send(self, draft: Draft) -> Answer:
        """Send ``draft`` as it stands."""
        raise NotImplementedError

    def request(
        self,
        method: str,
        target: str,
        headers: HeaderLines = (),
        body: bytes | Any = b"",
        *,
        mutate: Callable[[Draft], object] | None = None,
        **options: Any,
    ) -> Answer:
        """Build a request by ``draft``, let ``mutate`` change what was signed, send it."""
        draft = self.draft(method, target, headers, body, **options)
        if mutate is not None:
            mutate(draft)
        return self.send(draft)

    def draft(
        self,
        method: str,
        target: str,
        headers: HeaderLines = (),
        body: bytes | Any = b"",
        *,
        sign: bool = True,
        payload: str | None = "sign",
        date: str | float | None = None,
        date_header: str | None = "x-amz-date",
        signed: Callable[[list[str]], list[str]] | None = None,
        signer: Signer | None = None,
    ) -> Draft:
        """Return a request, signed unless ``sign`` is false.

        ``payload`` is "sign", "unsigned", a literal for x-amz-content-sha256, or None for no such
        header. ``date`` is a stamp or seconds since the epoch. ``signed`` changes the list of signed
        header names, which otherwise is every header but a few that proxies may touch. A header that
        is None is not sent, where the client would add it. A body that is not bytes is a reader; then
        the caller states its length.
        """
        given = list(headers.items() if isinstance(headers, Mapping) else headers)
        names = {name.lower() for name, _ in given}
        lines = [(name, value) for name, value in given if value is not None]
        if "host" not in names:
            lines.insert(0, ("Host", self.host))
        has_length = names & {"content-length", "transfer-encoding"}
        wanted = isinstance(body, bytes) and (body or method in ("PUT", "POST"))
        if wanted and not has_length:
            lines.append(("Content-Length", str(len(body))))
        draft = Draft(method, target, lines, body)
        if not sign:
            return draft
        when = date if isinstance(date, str) else stamp(date)
        if date_header and not names & {"date", "x-amz-date"}:
            lines.append((date_header, when))
        if payload == "sign":
            payload = hashlib.sha256(body).hexdigest()
        elif payload == "unsigned":
            payload = UNSIGNED
        if payload is not None and "x-amz-content-sha256" not in names:
            lines.append(("x-amz-content-sha256", payload))
        chosen = sorted({name.lower() for name, _ in lines} - NOT_SIGNED)
        if signed is not None:
            chosen = signed(chosen)
        authorization = (signer or self.signer).authorize(draft, when, payload or UNSIGNED, chosen)
        lines.append(("Authorization", authorization))
        return draft

    def presign(
        self,
        method: str,
        target: str,
        headers: HeaderLines = (),
        *,
        date: str | float | None = None,
        expires: int | str = 3600,
        payload: str = UNSIGNED,
        signer: Signer | None = None,
        change: Callable[[dict[str, str]], object] | None = None,
        host: str | None = None,
    ) -> str:
        """Return ``target`` with a signature in its query, for a request with ``headers`` and host.

        ``change`` edits the X-Amz-* items, by name, before they are signed.
        """
        signer = signer or self.signer
        given = headers.items() if isinstance(headers, Mapping) else headers
        lines = [(name, value) for name, value in given if value is not None]
        lines.append(("Host", host or self.host))
        signed = sorted({name.lower() for name, _ in lines})
        when = date if isinstance(date, str) else stamp(date)
        items = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{signer.access_key}/{signer.scope(when)}",
            "X-Amz-Date": when,
            "X-Amz-Expires": str(expires),
            "X-Amz-SignedHeaders": ";".join(signed),
        }
        if change is not None:
            change(items)
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in items.items())
        joined = f"{target}{'&' if '?' in target else '?'}{query}"
        draft = Draft(method, joined, lines)
        signature = signer.signature(draft, items.get("X-Amz-Date", when), payload, signed)
        return f"{joined}&X-Amz-Signature={signature}"


class Client(BaseClient):
    """Calls a WSGI application, as a strict server would.

    ``raw_headers`` false imitates a server that hands over HTTP_* names only.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        access_key: str,
        secret_key: str,
        region: str = "us-east-1",
        host: str = "s3.example:9000",
        *,
        raw_headers: bool = True,
    ) -> None:
        super().__init__(access_key, secret_key, region, host)
        self.app = app
        self.raw_headers = raw_headers

    def send(self, draft: Draft) -> Answer:
        """Call the application and hold it to the rules of WSGI (PEP 3333)."""
        heads: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[..., Any]:
            assert exc_info is not None or not heads, "start_response was called twice"
            assert type(headers) is list
            heads.append((status, headers))
            return _write

        result = self.app(self.environ(draft), start_response)
        try:
            chunks = list(result)
        finally:
            if hasattr(result, "close"):
                result.close()
        assert heads, "start_response was never called"
        status, headers = heads[-1]
        _check_head(status, headers)
        assert all(type(chunk) is bytes for chunk in chunks)
        answer = Answer(int(status[:3]), AnswerHeaders(headers), b"".join(chunks))
        _check_length(draft.method, answer)
        return answer

    def environ(self, draft: Draft) -> dict[str, Any]:
        """Return what gunicorn would make of the request."""
        for name, value in draft.headers:
            name.encode("ascii")
            value.encode("latin-1")
        relative = re.sub(r"^[A-Za-z]+://[^/?#]*", "", draft.target) or "/"
        path, _, query = relative.partition("#")[0].partition("?")
        hostname, _, port = self.host.partition(":")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": draft.method,
            "RAW_URI": draft.target,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path.encode("latin-1")).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": hostname,
            "SERVER_PORT": port or "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "192.0.2.7",
            "REMOTE_PORT": "40000",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            "wsgi.errors": io.StringIO(),
            "wsgi.input": self._input(draft),
            "wsgi.input_terminated": True,
        }
        for name, value in draft.headers:
            folded = name.upper().replace("-", "_")
            key = folded if folded in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{folded}"
            value = value.strip(" \t")
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        if self.raw_headers:
            environ["s3shim.headers"] = list(draft.headers)
        return {**environ, **draft.extra}

    @staticmethod
    def _input(draft: Draft) -> Any:
        if not isinstance(draft.body, bytes):
            return draft.body
        stated = [int(value) for name, value in draft.headers if name.lower() == "content-length"]
        chunked = any(name.lower() == "transfer-encoding" for name, _ in draft.headers)
        if chunked:
            return io.BytesIO(draft.body)
        return io.BytesIO(draft.body[: stated[0]] if stated else b"")


def _write(_data: bytes) -> None:
    raise AssertionError("the write callable is not for new applications")


def _check_head(status: str, headers: list[tuple[str, str]]) -> None:
    assert type(status) is str
    assert re.fullmatch(r"[2-5][0-9]{2} [ -~]+", status), status
    for name, value in headers:
        assert type(name) is str
        assert type(value) is str
        assert re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name), name
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value), (name, value)
        value.encode("latin-1")


def _check_length(method: str, answer: Answer) -> None:
    length = answer.headers.get("content-length")
    if method == "HEAD" or answer.status in (204, 304):
        assert answer.body == b""
    else:
        assert length is not None
        assert int(length) == len(answer.body)


class LiveClient(BaseClient):
    """Speaks HTTP/1.1 to a server; one kept connection per thread."""

    def __init__(
        self,
        address: str,
        port: int,
        access_key: str,
        secret_key: str,
        region: str = "us-east-1",
        host: str | None = None,
        timeout: float = LONGEST_WAIT,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(access_key, secret_key, region, f"{address}:{port}" if host is None else host)
        self.address = (address, port)
        self.tls = tls
        self.timeout = timeout
        self._local = threading.local()

    def send(self, draft: Draft) -> Answer:
        """Send the request; a kept connection that the server has closed meanwhile is made anew once.

        A body that is not bytes is an iterable of bytes. It goes out in chunks where the headers say
        Transfer-Encoding, else as it is.
        """
        kept: socket.socket | None = getattr(self._local, "connection", None)
        if kept is not None:
            try:
                return self._exchange(kept, draft)
            except (ConnectionError, http.client.BadStatusLine):
                self.close()
                if not isinstance(draft.body, bytes):
                    raise
        connection = socket.create_connection(self.address, self.timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is not None:
            connection = self.tls.wrap_socket(connection, server_hostname=self.address[0])
        self._local.connection = connection
        return self._exchange(connection, draft)

    def close(self) -> None:
        """Close this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def _exchange(self, connection: socket.socket, draft: Draft) -> Answer:
        sent = answered = False
        try:
            # A server that does not want the body may answer and close before all of it is out; what it said
            # has arrived all the same (RFC 9112, 9.5).
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._write(connection, draft)
                sent = True
            answer, reusable = self._read(connection, draft.method)
            answered = reusable and sent
            return answer
        finally:
            if not answered:
                self.close()

    @staticmethod
    def _write(connection: socket.socket, draft: Draft) -> None:
        head = f"{draft.method} {draft.target} HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in draft.headers) + "\r\n"
        whole = draft.body if isinstance(draft.body, bytes) else b""
        chunked = any(name.lower() == "transfer-encoding" for name, _ in draft.headers)
        parts = [whole] if isinstance(draft.body, bytes) else draft.body
        if not chunked:
            connection.sendall(head.encode("latin-1") + whole)
            if parts is not draft.body:
                return
            for part in parts:
                connection.sendall(part)
            return
        connection.sendall(head.encode("latin-1"))
        for part in parts:
            if part:
                connection.sendall(b"%x\r\n%s\r\n" % (len(part), part))
        connection.sendall(b"0\r\n\r\n")

    @staticmethod
    def _read(connection: socket.socket, method: str) -> tuple[Answer, bool]:
        # The method tells whether a body follows the head.
        response = http.client.HTTPResponse(connection, method=method)
        try:
            response.begin()
            body = response.read()
            lines = [(name, value) for name, value in response.getheaders()]
            return Answer(response.status, AnswerHeaders(lines), body), not response.will_close
        finally:
            response.close()
