"""Answers: their framing, and what may be in their heads."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from s3shim.server import connection
from s3shim.server.answer import Answer
from s3shim.server.body import LengthBody
from s3shim.server.connection import Connection, Limits
from s3shim.server.head import Head, parse_head

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = GET.replace(b"GET", b"HEAD")
OLD = GET.replace(b"1.1", b"1.0")


class Piece:
    """A piece of a file."""

    def __init__(self, fd: int, offset: int, length: int) -> None:
        self.fd, self.offset, self.length = fd, offset, length


class Sent:
    """What an answer has sent."""

    def __init__(self, answer: Answer, data: bytes) -> None:
        self.answer = answer
        self.head, _, self.body = data.partition(b"\r\n\r\n")
        self.lines = self.head.decode("latin-1").split("\r\n")

    def all(self, name: str) -> list[str]:
        found = (line.partition(": ") for line in self.lines[1:])
        return [value for spelled, _, value in found if spelled.lower() == name]


Send = Callable[..., Sent]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Connection]]:
    client, server = socket.socketpair()
    server.setblocking(False)
    with client:
        conn = Connection(server, {}, Limits(idle=5), nullcontext)
        yield client, conn
        conn.close()


@pytest.fixture
def send(pair: tuple[socket.socket, Connection]) -> Send:
    client, conn = pair

    def send(
        chunks: Iterable[Any],
        headers: Iterable[tuple[str, str]] = (),
        status: str = "200 OK",
        request: bytes = GET,
    ) -> Sent:
        head: Head = parse_head(request)
        answer = Answer(head, LengthBody(conn, head.length), conn, keep=head.keep)
        answer.start(status, list(headers))
        answer.send(chunks)
        conn.finish()
        return Sent(answer, b"".join(iter(lambda: client.recv(65536), b"")))

    return send


@pytest.mark.parametrize("chunks", [[b"abc"], (b"abc",), [b"a", b"", b"bc"], iter([b"", b"ab", b"c"])])
def test_a_length_that_the_application_states_is_sent(send: Send, chunks: Iterable[bytes]) -> None:
    sent = send(chunks, [("Content-Length", "3"), ("A", "b"), ("a", "c")])
    assert sent.lines[:4] == ["HTTP/1.1 200 OK", "Content-Length: 3", "A: b", "a: c"]
    assert sent.all("transfer-encoding") == []
    assert sent.all("connection") == ["keep-alive"]
    assert sent.body == b"abc"
    assert sent.answer.complete
    assert sent.answer.keep


@pytest.mark.parametrize(("chunks", "body"), [([b"abc"], b"abc"), ([b""], b""), ([], b"")])
def test_a_length_that_is_known_is_stated(send: Send, chunks: list[bytes], body: bytes) -> None:
    sent = send(chunks)
    assert sent.all("content-length") == [str(len(body))]
    assert sent.body == body


def test_a_body_without_a_length_goes_out_in_chunks(send: Send) -> None:
    sent = send(iter([b"a" * 20, b"", b"b"]))
    assert sent.all("transfer-encoding") == ["chunked"]
    assert sent.all("content-length") == []
    assert sent.body == b"14\r\n" + b"a" * 20 + b"\r\n1\r\nb\r\n0\r\n\r\n"
    assert sent.answer.keep


def test_an_old_client_reads_a_body_without_a_length_up_to_the_end(send: Send) -> None:
    sent = send(iter([b"a", b"b"]), request=OLD.replace(b"Host", b"Connection: keep-alive\r\nHost"))
    assert sent.all("transfer-encoding") == sent.all("content-length") == []
    assert sent.all("connection") == ["close"]
    assert sent.body == b"ab"
    assert not sent.answer.keep


def test_an_old_client_may_keep_the_connection(send: Send) -> None:
    sent = send([b"ab"], request=OLD.replace(b"Host", b"Connection: keep-alive\r\nHost"))
    assert sent.all("connection") == ["keep-alive"]


@pytest.mark.parametrize("chunks", [[b"abc"], [b"a", b"bc"], [], iter([b"abc"])])
@pytest.mark.parametrize(
    ("status", "request_head"),
    [("200 OK", HEAD), ("204 No Content", GET), ("304 Not Modified", GET), ("404 Not Found", HEAD)],
)
def test_an_answer_without_a_body_has_none(
    send: Send, status: str, request_head: bytes, chunks: Iterable[bytes]
) -> None:
    sent = send(list(chunks), [("ETag", '"a"')], status, request_head)
    assert sent.lines[0] == f"HTTP/1.1 {status}"
    assert sent.all("transfer-encoding") == sent.all("content-length") == []
    assert sent.body == b""
    assert sent.answer.keep
    assert sent.answer.complete


def test_the_answer_to_head_states_the_length_of_the_answer_to_get(send: Send) -> None:
    sent = send([], [("Content-Length", "5000")], request=HEAD)
    assert sent.all("content-length") == ["5000"]
    assert sent.answer.complete


@pytest.mark.parametrize("chunks", [[b"abcdef"], [b"ab", b"cd", b"ef"]])
def test_nothing_beyond_the_stated_length_is_sent(send: Send, chunks: list[bytes]) -> None:
    assert send(chunks, [("Content-Length", "3")]).body == b"abc"


@pytest.mark.parametrize("chunks", [[b"ab"], [], [b"a", b"b"]])
def test_less_than_the_stated_length_is_not_complete(send: Send, chunks: list[bytes]) -> None:
    assert not send(chunks, [("Content-Length", "3")]).answer.complete


@pytest.mark.parametrize(
    ("status", "header"),
    [
        ("200 OK", ("A", "b\r\nSet-Cookie: c")),
        ("200 OK", ("A", "b\nC: d")),
        ("200 OK", ("A", "b\rC: d")),
        ("200 OK", ("A", "b\r\n\r\nbody")),
        ("200 OK", ("A\r\nB", "c")),
        ("200 OK", ("A", "b\0")),
        ("200 OK\r\nA: b", ("C", "d")),
        ("200 OK", ("A", "\u0100")),
        ("200 OK", ("Content-Length", "abc")),
        ("200 OK", ("Content-Length", "-1")),
    ],
)
def test_a_header_that_would_split_the_answer_is_refused(
    pair: tuple[socket.socket, Connection], status: str, header: tuple[str, str]
) -> None:
    client, conn = pair
    answer = Answer(parse_head(GET), LengthBody(conn, 0), conn, keep=True)
    answer.start(status, [header])
    with pytest.raises(ValueError, match=r"line end|not a number|can't encode"):
        answer.send([b"body"])
    assert not answer.begun
    conn.finish()
    assert client.recv(100) == b""


def test_headers_of_the_connection_are_the_servers(send: Send) -> None:
    sent = send([b"a"], [("Connection", "keep-alive, x"), ("Transfer-Encoding", "gzip")])
    assert sent.all("transfer-encoding") == []
    assert sent.all("connection") == ["close"]


def test_the_application_may_end_the_connection(send: Send) -> None:
    sent = send([b"a"], [("Connection", "Close")])
    assert sent.all("connection") == ["close"]
    assert not sent.answer.keep


def test_date_and_server_are_there_once(send: Send) -> None:
    own = send([b"a"], [("date", "then"), ("SERVER", "mine")])
    assert (own.all("date"), own.all("server")) == (["then"], ["mine"])


def test_date_and_server_are_added(send: Send) -> None:
    sent = send([b"a"])
    (date,) = sent.all("date")
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)
    assert sent.all("server") == ["gunicorn"]


def test_start_response_may_be_called_again_for_an_error_only(pair: tuple[socket.socket, Connection]) -> None:
    client, conn = pair
    answer = Answer(parse_head(GET), LengthBody(conn, 0), conn, keep=True)
    write = answer.start("200 OK", [])
    with pytest.raises(AssertionError):
        answer.start("200 OK", [])
    error = RuntimeError("a")
    answer.start("500 Oh", [("A", "b")], (RuntimeError, error, error.__traceback__))
    write(b"c")
    assert client.recv(1000).startswith(b"HTTP/1.1 500 Oh\r\nA: b\r\n")
    with pytest.raises(RuntimeError):
        answer.start("200 OK", [], (RuntimeError, error, error.__traceback__))


def test_an_answer_that_was_never_started_is_an_error(pair: tuple[socket.socket, Connection]) -> None:
    answer = Answer(parse_head(GET), LengthBody(pair[1], 0), pair[1], keep=True)
    with pytest.raises(AssertionError):
        answer.send([b"a"])


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 1000)
    fd = os.open(path, os.O_RDONLY)
    yield fd
    os.close(fd)


def _no_sendfile(*_: object) -> int:
    raise OSError(22, "Invalid argument")


@pytest.mark.parametrize("supported", [True, False])
def test_pieces_of_files_are_sent(
    send: Send, file: int, monkeypatch: pytest.MonkeyPatch, supported: bool
) -> None:
    if not supported:
        monkeypatch.setattr(connection.os, "sendfile", _no_sendfile)
    sent = send([b"a", Piece(file, 10, 5), Piece(file, 300, 7), b"z"], [("Content-Length", "14")])
    assert sent.body == b"a" + bytes(range(10, 15)) + bytes(range(44, 51)) + b"z"
    assert sent.answer.complete


def test_the_answer_to_head_sends_no_piece_of_a_file(send: Send, file: int) -> None:
    sent = send([Piece(file, 0, 10)], [("Content-Length", "10")], request=HEAD)
    assert sent.body == b""
    assert sent.answer.complete


def test_a_piece_of_a_file_needs_a_length(send: Send, file: int) -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        send([Piece(file, 0, 10)])


def test_a_file_that_is_shorter_than_its_answer_is_an_error(send: Send, file: int) -> None:
    with pytest.raises(EOFError):
        send([Piece(file, 256_000 - 5, 10)], [("Content-Length", "10")])


def test_a_broken_file_is_an_error(send: Send) -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        send([Piece(9999, 0, 10)], [("Content-Length", "10")])
