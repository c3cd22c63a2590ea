"""The worker behind a Unix socket, as a proxy on the same machine reaches it."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator

import pytest

from tests.server.conftest import PLAIN
from tests.server.process import Server

GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def unix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our worker without S3: half a second idle, half a second for a head, 2 threads."""
    path = tmp_path_factory.mktemp("unix")
    server = Server([*PLAIN, "0.5", "0.5", "2", f"bind=unix:{path}/s"], path / "stderr", last="unix:")
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.stderr


def test_there_is_no_address(unix: Server) -> None:
    environ = ast.literal_eval(unix.ask(GET % b"/environ").body.decode())
    assert [environ[name] for name in ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_PORT")] == ["", "", ""]
    assert environ["SERVER_NAME"] == "localhost"
    refused = unix.ask(b"GET / HTTP/1.1\r\n\r\n")
    assert (refused.status, refused.headers["x-refused"]) == (400, "")


def test_one_connection_carries_requests_and_bodies_until_it_is_closed(unix: Server) -> None:
    with unix.connect() as client:
        client.send(GET % b"/ok" * 3)
        assert [client.answer().body for _ in range(3)] == [b"ok"] * 3
        for size in (0, 5, 1 << 20):
            client.send(b"PUT /read HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + bytes(size))
            answer = client.answer()
            assert (answer.body, answer.headers["connection"]) == (b"%d" % size, "keep-alive")
        client.send(b"PUT /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send(b"5\r\nabcde\r\n0\r\n\r\n")
        assert client.answer().body == b"5"
        client.send(b"GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = client.answer()
        assert (answer.body, answer.headers["connection"]) == (b"ok", "close")
        assert client.ended()


def test_a_large_answer_comes_whole(unix: Server) -> None:
    with unix.connect() as client:
        client.send(b"GET /big HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        received = len(client.buffer)
        while data := client.receive():
            received += len(data)
        assert received == 64 << 20


def test_deadlines_hold(unix: Server) -> None:
    with unix.connect() as slow:
        slow.send(b"GET / HTTP/1.1\r\nHost")
        assert slow.answer().status == 408
        assert slow.ended()
    with unix.connect() as slow:
        slow.send(b"PUT /read HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc")
        assert slow.answer().body == b"TimeoutError"
        assert slow.ended()
    with unix.connect() as reader:
        reader.send(GET % b"/big")
        time.sleep(1.5)
        received = 0
        while data := reader.receive():
            received += len(data)
        assert received < 64 << 20
