"""Requests that are no HTTP: the right S3 error, one log line, and the end of the connection."""

from __future__ import annotations

import re

import pytest

from tests.server.process import Server

HOST = b"Host: x\r\n"
PUT = b"PUT /b/k HTTP/1.1\r\n" + HOST


def chunked(body: bytes) -> bytes:
    return PUT + b"Transfer-Encoding: chunked\r\n\r\n" + body


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (PUT + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "BadRequest"),
        (PUT + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400, "BadRequest"),
        *[
            (PUT + b"Content-Length: " + value + b"\r\n\r\nabcde", 400, "BadRequest")
            for value in (
                b"5, 5",
                b"+5",
                b"-1",
                b"0x5",
                b"5 5",
                b"5_0",
                b"",
                b"\xb2",
                b"5\r\nContent-Length: 5",
            )
        ],
        (PUT + b"Content_Length: 5\r\n\r\nabcde", 400, "BadRequest"),
        *[
            (PUT + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n", 501, "NotImplemented")
            for value in (
                b"xchunked",
                b"chunked, identity",
                b"identity, chunked",
                b"gzip, chunked",
                b"",
                b"chunked,",
            )
        ],
        (
            PUT + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "BadRequest",
        ),
        (PUT + b"Transfer_Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "BadRequest"),
        (b"PUT /b/k HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "BadRequest"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "BadRequest"),
        (b"GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", 400, "BadRequest"),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", 400, "BadRequest"),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, "BadRequest"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: 1\r\n folded\r\n\r\n", 400, "BadRequest"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: \0\r\n\r\n", 400, "BadRequest"),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400, "BadRequest"),
        (b"GET / HTTP/1.1\r\nHost: x\nA: 1\r\n\r\n", 400, "BadRequest"),
        (b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", 400, "BadRequest"),
        (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 400, "BadRequest"),
        (b"GET / HTTP/9.9\r\n" + HOST + b"\r\n", 400, "BadRequest"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "BadRequest"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", 400, "BadRequest"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Expect: 200-ok\r\n\r\n", 417, "ExpectationFailed"),
        (b"GET /" + b"a" * 8190 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "URITooLong"),
        (b"GET /" + b"a" * 20000, 414, "URITooLong"),
        (
            b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"a" * 8200 + b"\r\n\r\n",
            431,
            "RequestHeaderSectionTooLarge",
        ),
        (
            b"GET / HTTP/1.1\r\n"
            + HOST
            + b"".join(b"A%d: %s\r\n" % (n, b"a" * 100) for n in range(90))
            + b"\r\n",
            431,
            "RequestHeaderSectionTooLarge",
        ),
        (
            b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"A%d: 1\r\n" % n for n in range(100)) + b"\r\n",
            431,
            "RequestHeaderSectionTooLarge",
        ),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"a" * 30000, 431, "RequestHeaderSectionTooLarge"),
    ],
)
def test_http_error(s3: Server, request_bytes: bytes, status: int, code: str) -> None:
    logged = len(s3.stderr.splitlines())
    with s3.connect() as client:
        client.send(request_bytes + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = client.answer()
        assert answer.status == status
        assert answer.headers["connection"] == "close"
        assert answer.headers["content-type"] == "application/xml"
        assert answer.body.startswith(b'<?xml version="1.0" encoding="UTF-8"?>')
        assert b"<Code>%s</Code>" % code.encode() in answer.body
        found = re.search(rb"<RequestId>([0-9A-F]+)</RequestId>", answer.body)
        assert found
        assert answer.headers["x-amz-request-id"] == found[1].decode()
        assert client.ended()
    (line,) = s3.stderr.splitlines()[logged:]
    assert f"request_id={found[1].decode()}" in line
    assert f"status={status}" in line
    assert "remote_ip=127.0.0.1" in line


def test_the_longest_head_is_served(s3: Server) -> None:
    line = b"GET /healthz?" + b"a" * (8190 - len("GET /healthz? HTTP/1.1")) + b" HTTP/1.1\r\n"
    padding = b"A: " + b"a" * (8192 - len(HOST) - len("A: ")) + b"\r\n\r\n"
    assert s3.ask(line + HOST + padding).status == 200
    fields = b"".join(b"A%d: 1\r\n" % n for n in range(99))
    assert s3.ask(b"GET /healthz HTTP/1.1\r\n" + HOST + fields + b"\r\n").status == 200


def test_a_head_in_single_bytes_is_served(s3: Server) -> None:
    with s3.connect() as client:
        for byte in b"\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n":
            client.send(bytes([byte]))
        assert client.answer().status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"5\r\nabcdeXX\r\n0\r\n\r\n",
        b"xyz\r\nabc\r\n0\r\n\r\n",
        b"-1\r\n",
        b"5;a=\x01\r\nabcde\r\n0\r\n\r\n",
        b"5\r\nabcde\r\n0\r\nA: \0\r\n\r\n",
        b"5\r\nabcde\r\n0\r\nA: " + b"a" * 10000 + b"\r\n\r\n",
        b"5;" + b"a" * 30000,
    ],
)
def test_a_broken_chunked_body_is_an_error_to_its_reader(plain: Server, body: bytes) -> None:
    request = b"PUT /read HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
    with plain.connect() as client:
        client.send(request + body)
        answer = client.answer()
        assert answer.body == b"BadChunk"
        assert answer.headers["connection"] == "close"


def test_a_whole_chunked_body_is_read_and_the_connection_kept(plain: Server) -> None:
    request = b"PUT /read HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
    with plain.connect() as client:
        client.send(request * 3)
        assert [client.answer().body for _ in range(3)] == [b"5", b"5", b"5"]
