"""Requests at the edge of HTTP, and what a client gets for them: from s3shim, and through nginx before it.

Each stream is followed by a question for /healthz that ends the connection. So the list of answers says all:
one answer is the end of the connection with it, and a 200 at the end is a connection that went on.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass

from tests.server.process import Client
from tests.wire.client import LiveClient

HOST = "s3.example"
BUCKET = "cases"
VICTIM = f"/{BUCKET}/victim"
ALIVE = b"GET /healthz HTTP/1.1\r\nHost: s3.example\r\nConnection: close\r\n\r\n"

Stream = Callable[["Site"], bytes]


@dataclass
class Case:
    """``direct`` and ``proxied``: the answers, as "STATUS Code"; "nginx" is the code of nginx's own.

    ``proxied`` is None where it is the same. With ``closes`` the client closes its side after the stream,
    and asks nothing more.
    """

    name: str
    stream: Stream
    direct: str
    proxied: str | None = None
    closes: bool = False


class Site:
    """A server with a bucket, an object in it, and a client that signs; ``port`` may be that of a proxy."""

    def __init__(self, port: int, access_key: str, secret_key: str) -> None:
        self.port = port
        self.client = LiveClient("127.0.0.1", port, access_key, secret_key, host=HOST)

    def prepare(self) -> None:
        """Make bucket and object."""
        assert self.client.request("PUT", f"/{BUCKET}").status == 200
        assert self.client.request("PUT", VICTIM, body=b"victim").status == 200

    def keys(self) -> set[str]:
        """Return the keys in the bucket."""
        answer = self.client.request("GET", f"/{BUCKET}?list-type=2")
        return set(re.findall("<Key>(.*?)</Key>", answer.body.decode()))

    def signed(self, method: str, target: str, lines: str = "", *, version: str = "1.1") -> bytes:
        """Return a signed head; ``lines`` are added to it after it was signed."""
        draft = self.client.draft(method, target, payload="unsigned")
        kept = [f"{name}: {value}\r\n" for name, value in draft.headers if name != "Content-Length"]
        return f"{method} {target} HTTP/{version}\r\n{''.join(kept)}{lines}\r\n".encode("latin-1")

    def put(self, lines: str, body: bytes = b"abcde", *, version: str = "1.1") -> bytes:
        """Return a signed put of /cases/new with other framing."""
        return self.signed("PUT", f"/{BUCKET}/new", lines, version=version) + body

    def answers(self, stream: bytes, *, closes: bool = False) -> list[str]:
        """Send ``stream``; return the answers up to the end of the connection."""
        with Client(socket.create_connection(("127.0.0.1", self.port), 20)) as client:
            client.send(stream)
            if closes:
                client.sock.shutdown(socket.SHUT_WR)
            return list(_answers(client))


def _answers(client: Client) -> list[str]:
    found: list[str] = []
    while True:
        try:
            answer = client.answer()
        except EOFError:
            if client.buffer:
                raise
            return found
        code = re.search(rb"<Code>(.*?)</Code>", answer.body)
        if b"<center>nginx" in answer.body:
            found.append(f"{answer.status} nginx")
        elif code:
            found.append(f"{answer.status} {code[1].decode()}")
            request_id = re.search(rb"<RequestId>([0-9A-F]+)</RequestId>", answer.body)
            assert request_id
            assert answer.headers["x-amz-request-id"] == request_id[1].decode()
        else:
            found.append(str(answer.status))
        assert b"Traceback" not in answer.body


def run(case: Case, site: Site, expected: str) -> None:
    """Demand the answers, and that the stream has done what the first of them says and nothing else."""
    stream = case.stream(site)
    got = site.answers(stream if case.closes else stream + ALIVE, closes=case.closes)
    keys = site.keys()
    if "new" in keys:
        assert site.client.request("DELETE", f"/{BUCKET}/new").status == 204
    assert ", ".join(got) == expected, got
    stored = stream.startswith(b"PUT /cases/new ") and got[:1] == ["200"]
    assert keys == ({"victim", "new"} if stored else {"victim"}), keys


def _put(
    name: str, lines: str, direct: str, proxied: str | None = None, *, body: bytes = b"abcde", **more: bool
) -> Case:
    return Case(name, lambda site: site.put(lines, body), direct, proxied, **more)


def _chunked(name: str, body: bytes, direct: str, proxied: str | None = None, **more: bool) -> Case:
    return _put(name, "Transfer-Encoding: chunked\r\n", direct, proxied, body=body, **more)


def _raw(name: str, stream: bytes, direct: str, proxied: str | None = None) -> Case:
    return Case(name, lambda _: stream, direct, proxied)


def _old(site: Site) -> bytes:
    return site.put("Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", version="1.0")


def _get(
    name: str, target: str, direct: str, proxied: str | None = None, method: str = "GET", lines: str = ""
) -> Case:
    return Case(name, lambda site: site.signed(method, target, lines), direct, proxied)


def _smuggled(lines: str) -> Stream:
    """An unsigned put whose body is a signed delete, and that delete again behind it."""

    def stream(site: Site) -> bytes:
        delete = site.signed("DELETE", VICTIM)
        body = delete * (1 + 100_000 // len(delete))
        head = f"PUT /{BUCKET}/new HTTP/1.1\r\nHost: {HOST}\r\n"
        if lines:
            return f"{head}{lines}\r\n".encode() + body
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    return stream


def _other_host(line: str) -> Stream:
    """A request whose signature is for another host, which ``line`` names."""

    def stream(site: Site) -> bytes:
        other = LiveClient("", 0, site.client.signer.access_key, site.client.signer.secret_key, host="evil")
        draft = other.draft("GET", VICTIM)
        lines = [f"{name}: {HOST if name == 'Host' else value}\r\n" for name, value in draft.headers]
        return f"GET {VICTIM} HTTP/1.1\r\n{''.join(lines)}{line}\r\n".encode()

    return stream


BAD, INCOMPLETE, SERVED = "400 BadRequest", "400 IncompleteBody", "200, 200"
UNKNOWN, NOT_ALLOWED, BAD_URI = "501 NotImplemented", "405 MethodNotAllowed, 200", "400 InvalidURI, 200"
NGINX = "400 nginx"  # nginx refuses it itself
UNFRAMED = "411 MissingContentLength, 400 nginx"  # nginx drops the header: what was the body is no request
CL, TE = "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"
LENGTHS = ("5, 5", "+5", "-1", "0x5", "5 5", "5_0", "", "5\r\nContent-Length: 5", "5\r\nContent-Length: 6")
CODINGS = ("xchunked", "chunked, identity", "identity, chunked", "gzip, chunked", "identity")
SPOOFS = (
    "X_Forwarded_For: 1.1.1.1",
    "X-Amz_Date: 20000101T000000Z",
    "SCRIPT_NAME: /other",
    "PATH_INFO: /other",
    "REMOTE_USER: root",
    "Proxy: http://evil",
    "REMOTE_ADDR: 1.1.1.1",
    "X-Forwarded-For: 1.1.1.1",
    "X-Forwarded-Prefix: /other",
    "X-Original-URL: /other",
    "X-Rewrite-URL: /other",
    "X-HTTP-Method-Override: DELETE",
)
FORWARDED = ("X-Forwarded-Host: evil", "Forwarded: for=1.1.1.1;host=evil;proto=https", "X-Host: evil")

CASES = [
    _put("length and chunks", CL + TE, BAD, NGINX, body=b"0\r\n\r\n"),
    _put("chunks and length", TE + CL, BAD, NGINX, body=b"0\r\n\r\n"),
    *[_put(f"length {value!r}", f"Content-Length: {value}\r\n", BAD, NGINX) for value in LENGTHS],
    _put("length after blanks", "Content-Length: \t5 \r\n", SERVED, NGINX),
    *[
        _put(f"coding {value}", f"Transfer-Encoding: {value}\r\n", UNKNOWN, "501 nginx", body=b"0\r\n\r\n")
        for value in CODINGS
    ],
    _put("coding twice", TE + TE, BAD, NGINX, body=b"0\r\n\r\n"),
    Case("chunks in HTTP/1.0", _old, BAD, NGINX),
    _put("Transfer_Encoding", "Transfer_Encoding: chunked\r\n", BAD, UNFRAMED, body=b"0\r\n\r\n"),
    _put("Content_Length", "Content_Length: 5\r\n", BAD, UNFRAMED),
    _chunked("chunks", b"5\r\nabcde\r\n0\r\n\r\n", SERVED),
    _chunked("chunks without the last line", b"5\r\nabcde\r\n0\r\n", INCOMPLETE, "", closes=True),
    _chunked("chunks without the last chunk", b"5\r\nabcde\r\n", INCOMPLETE, "", closes=True),
    _chunked("chunk with a bad size", b"x\r\nabcde\r\n0\r\n\r\n", INCOMPLETE, NGINX),
    _chunked("chunk with a negative size", b"-5\r\nabcde\r\n0\r\n\r\n", INCOMPLETE, NGINX),
    _chunked("chunk longer than its size", b"4\r\nabcde\r\n0\r\n\r\n", INCOMPLETE, NGINX),
    _chunked("chunk with a bare line feed", b"5\nabcde\n0\n\n", INCOMPLETE, SERVED),
    _chunked(
        "chunk with a long extension", b"5;" + b"a" * 10_000 + b"\r\nabcde\r\n0\r\n\r\n", INCOMPLETE, SERVED
    ),
    _chunked("long trailers", b"5\r\nabcde\r\n0\r\nA: " + b"a" * 10_000 + b"\r\n\r\n", INCOMPLETE, SERVED),
    _put("no length", "", "411 MissingContentLength, 200", body=b""),
    Case("a delete in a refused body", _smuggled(""), "403 AccessDenied", "403 AccessDenied, 200"),
    Case("a delete in refused chunks", _smuggled(TE), "403 AccessDenied", NGINX),
    _raw("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", BAD, NGINX),
    _raw("no host", b"GET / HTTP/1.1\r\n\r\n", BAD, NGINX),
    _raw("blank before the colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", BAD, NGINX),
    _raw("NUL", b"GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n", BAD, NGINX),
    _raw("NUL in the target", b"GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n", BAD, NGINX),
    _raw("folded line", b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", BAD, NGINX),
    _raw("bare line feed", b"GET / HTTP/1.1\nHost: a\n\n", BAD, "403 AccessDenied, 200"),
    _raw("method in small letters", b"get / HTTP/1.1\r\nHost: a\r\n\r\n", BAD, NGINX),
    _raw("HTTP/9.9", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", BAD, "505 nginx"),
    *[_get(f"spoof {line}", VICTIM, SERVED, lines=f"{line}\r\n") for line in SPOOFS],
    *[_get(f"signed, with {line}", VICTIM, SERVED, lines=f"{line}\r\n") for line in FORWARDED],
    *[
        Case(f"signed for {line}", _other_host(f"{line}\r\n"), "403 SignatureDoesNotMatch, 200")
        for line in FORWARDED
    ],
    _raw("preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD, NGINX),
    _get(
        "upgrade to h2c",
        VICTIM,
        SERVED,
        lines="Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    ),
    _raw("CONNECT", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", BAD_URI, NGINX),
    _get("TRACE", "/", NOT_ALLOWED, "405 nginx", method="TRACE"),
    _get("TRACE of an object", VICTIM, NOT_ALLOWED, "405 nginx", method="TRACE"),
    _get("unknown method", VICTIM, NOT_ALLOWED, method="BREW"),
    _get("PATCH", VICTIM, NOT_ALLOWED, method="PATCH"),
    _raw(
        "unknown method, not signed", b"BREW /cases/new HTTP/1.1\r\nHost: a\r\n\r\n", "403 AccessDenied, 200"
    ),
    _raw("OPTIONS *", b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", BAD_URI, NGINX),
    _raw("GET *", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", BAD_URI, NGINX),
    _raw("authority form", b"GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", BAD, NGINX),
    _raw("no slash", b"GET healthz HTTP/1.1\r\nHost: a\r\n\r\n", BAD, NGINX),
    _get("two slashes", "//cases/victim", BAD_URI),
    _get("absolute form", f"http://{HOST}{VICTIM}", SERVED),
    _get("absolute form with another host", f"http://evil{VICTIM}", "403 SignatureDoesNotMatch, 200", SERVED),
    _put("unknown expectation", CL + "Expect: 200-ok\r\n", "417 ExpectationFailed", SERVED),
    _get("x-amz-date as a header of the connection", VICTIM, SERVED, lines="Connection: x-amz-date\r\n"),
    _get("host as a header of the connection", VICTIM, SERVED, lines="Connection: host\r\n"),
]
