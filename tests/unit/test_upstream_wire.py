"""HTTP/1.1 with another S3: what an answer is, where it ends, and which connection lives on."""

import socket
import time
from threading import Thread

import pytest

from s3shim.backends.upstream.wire import BrokenAnswer, Connection

BODY = b"0123456789"


@pytest.fixture
def pair():
    """A connection, and the upstream's end of it."""
    ours, theirs = socket.socketpair()
    connection = Connection(ours)
    connection.limit(0.2)
    theirs.settimeout(5)
    yield connection, theirs
    connection.close()
    theirs.close()


def ask(pair, text, *, method="GET", end=False):
    """Return the answer that ``text`` is, its body, and whether the connection was given back."""
    connection, theirs = pair
    theirs.sendall(text)
    if end:
        theirs.shutdown(socket.SHUT_WR)
    given = []
    answer = connection.answer(method, given.append, lambda refused: refused.close())
    body = b""
    while piece := answer.read(4):
        assert len(piece) <= 4
        body += piece
    assert answer.ended
    return answer, body, given == [connection]


@pytest.mark.parametrize(
    ("text", "end", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + BODY, False, True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\nConnection: close\r\n\r\n" + BODY, False, False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n" + BODY, False, False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\nConnection: Keep-Alive\r\n\r\n" + BODY, False, True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\nContent-Length: 10\r\n\r\n" + BODY, False, True),
        (b"HTTP/1.1 200 OK\r\n\r\n" + BODY, True, False),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"6;a=b\r\n012345\r\n4\r\n6789\r\n0\r\nA: b\r\n\r\n",
            False,
            True,
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + BODY + b"HTTP/1.1 200 OK\r\n", False, False),
    ],
)
def test_where_an_answer_ends_and_whether_the_connection_lives_on(pair, text, end, kept):
    answer, body, given = ask(pair, text, end=end)
    assert (answer.status, body, given) == (200, BODY, kept)


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"),
        ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("PUT", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
def test_an_answer_without_a_body(pair, method, head):
    _, body, given = ask(pair, head, method=method)
    assert (body, given) == (b"", True)


def test_a_refusal_gives_the_connection_to_the_other(pair):
    answer, body, given = ask(pair, b"HTTP/1.1 503 Slow Down\r\nContent-Length: 10\r\n\r\n" + BODY)
    assert (answer.status, body, given) == (503, BODY, False)


def test_fields_have_names_in_any_case_and_are_joined(pair):
    answer, _, _ = ask(
        pair, b'HTTP/1.1 200 OK\r\nETag: \t"a" \r\nX-A: 1\r\nx-a: 2\r\ncontent-length: 0\r\n\r\n'
    )
    assert (answer.headers["etag"], answer.headers.get("X-a")) == ('"a"', "1, 2")
    assert "ETAG" in answer.headers
    assert answer.headers.get("nothing") == ""


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Length: 11\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nten\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\nContent-Len",
    ],
)
def test_what_is_no_answer(pair, text):
    with pytest.raises(BrokenAnswer):
        ask(pair, text, end=True)


def test_a_head_without_end(pair):
    connection, theirs = pair
    sending = Thread(target=theirs.sendall, args=(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000,))
    sending.start()
    with pytest.raises(BrokenAnswer, match="no end"):
        connection.answer("GET", Connection.close, Connection.close)
    sending.join()


def test_a_silent_upstream_is_waited_for_no_longer_than_said(pair):
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        ask(pair, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234")
    assert 0.15 < time.monotonic() - began < 2


def test_a_connection_that_was_closed_or_spoke_is_not_alive(pair):
    connection, theirs = pair
    assert connection.alive()
    theirs.sendall(b"x")
    assert not connection.alive()
    connection.receive(1)
    assert connection.alive()
    theirs.close()
    assert not connection.alive()


def test_chunks_of_unknown_length(pair):
    connection, theirs = pair
    connection.send(b"HEAD\r\n\r\n", iter([b"01234", b"", b"56789"]), chunked=True)
    connection.close()
    received = b""
    while data := theirs.recv(100):
        received += data
    assert received == b"HEAD\r\n\r\n5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"
