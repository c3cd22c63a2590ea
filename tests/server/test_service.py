"""The service over socket pairs: pipelined requests, clients that go, applications that fail, leaks."""

from __future__ import annotations

import gc
import select
import socket
import threading
import time
from collections.abc import Iterable
from typing import Any

import pytest

from s3shim.server.connection import Limits
from tests.server.process import Client
from tests.server.rig import PATIENCE, Rig

GET = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"


class App:
    """Answers with the target and the length of the body."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        target = environ["RAW_URI"]
        self.asked.append(target)
        self.gate.wait(PATIENCE)
        if target == "/exit":
            raise SystemExit(3)
        body = environ["wsgi.input"].read()
        start_response("200 OK", [])
        return [f"{target} {len(body)}".encode()]


@pytest.fixture
def app() -> App:
    return App()


def answers(data: bytes, count: int) -> list[bytes]:
    client = Client(_Replay(data))
    return [client.answer().body for _ in range(count)]


class _Replay:
    def __init__(self, data: bytes) -> None:
        self.data = data

    def recv(self, _: int) -> bytes:
        data, self.data = self.data, b""
        return data


def test_all_that_was_sent_before_the_client_closed_its_side_is_answered(app: App) -> None:
    with Rig(app) as rig:
        received = rig.exchange([b"".join(GET % number for number in range(100))])
    assert answers(received, 100) == [b"/%d 0" % number for number in range(100)]


def test_what_is_sent_ahead_is_not_hoarded(app: App) -> None:
    """A client that sends faster than it is served is made to wait; its bytes stay with the system."""
    request = GET % 1 * 1000
    with Rig(app) as rig, rig.connect() as client:
        (conn,) = rig.lobby._open
        reader = threading.Thread(target=lambda: all(iter(client.receive, b"")), daemon=True)
        reader.start()
        longest = 0
        for _ in range(20):
            client.send(request)
            longest = max(longest, len(conn.buffer))
        client.sock.shutdown(socket.SHUT_WR)
        reader.join(PATIENCE)
        assert longest < 40_000
    assert len(app.asked) == 20_000


def test_empty_lines_before_a_request_cost_little(app: App) -> None:
    with Rig(app) as rig:
        began = time.process_time()
        received = rig.exchange([b"\r\n" * 200_000, GET % 1])
        assert answers(received, 1) == [b"/1 0"]
        assert time.process_time() - began < 1


def test_a_request_that_waits_for_a_thread_does_not_expire(app: App) -> None:
    app.gate.clear()
    with Rig(app, threads=1, most=1) as rig, rig.connect() as busy, rig.connect() as waiting:
        idle = rig.connect()
        busy.send(GET % 1)
        while not app.asked:
            time.sleep(0.001)
        waiting.send(GET % 2)
        for conn in list(rig.lobby._waiting.values()):
            conn.deadline = 0.0
        rig.service.expire()
        with idle:
            assert idle.ended()
        app.gate.set()
        assert busy.answer().body == b"/1 0"
        assert waiting.answer().body == b"/2 0"


def test_clients_that_trickle_hold_no_seat(app: App) -> None:
    """None of their pauses is long, but in all they keep a thread waiting for most of its time."""
    with Rig(app, threads=2) as rig:
        slow = [rig.connect() for _ in range(6)]
        ended = threading.Event()

        def trickle() -> None:
            while not ended.wait(0.02):
                for client in slow:
                    client.send(b"x")

        for client in slow:
            client.send(b"PUT /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        thread = threading.Thread(target=trickle)
        thread.start()
        time.sleep(0.5)
        began = time.monotonic()
        for number in range(20):
            assert answers(rig.exchange([GET % number]), 1) == [b"/%d 0" % number]
        taken = time.monotonic() - began
        ended.set()
        thread.join()
        for client in slow:
            client.sock.close()
        assert taken < 2


def test_an_application_that_exits_takes_no_thread_with_it(app: App) -> None:
    with Rig(app, threads=1, most=1) as rig:
        for _ in range(3):
            assert rig.exchange([b"GET /exit HTTP/1.1\r\nHost: x\r\n\r\n"]) == b""
        assert answers(rig.exchange([GET % 1]), 1) == [b"/1 0"]
        assert len(rig.complaints) == 3


def test_slow_clients_that_come_together_hold_nobody_up(app: App) -> None:
    """Each may keep a seat for a moment, but not while others wait for one."""
    with Rig(app, threads=4) as rig:
        slow = [rig.connect() for _ in range(60)]
        for client in slow:
            client.send(b"PUT /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
        began = time.monotonic()
        assert answers(rig.exchange([GET % 1]), 1) == [b"/1 0"]
        taken = time.monotonic() - began
        for client in slow:
            client.sock.close()
    assert taken < 0.4  # 60 moments in 4 seats are 0.75 s


BODIES = [
    b"",
    b"Content-Length: 5\r\n\r\nabcde",
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nA: b\r\n\r\n",
    b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nabcde",
    b"Content-Length: 5\r\n\r\nabc",
    b"Transfer-Encoding: chunked\r\n\r\nX",
    b"Content-Length: x\r\n\r\n",
]


def test_requests_leave_no_cycles_and_no_sockets(app: App) -> None:
    """Memory is given back at once, and not when the collector comes round."""
    with Rig(app) as rig:
        streams = [b"PUT /1 HTTP/1.1\r\nHost: x\r\n" + (body or b"\r\n") for body in BODIES]
        for stream in streams:
            assert rig.exchange([stream]).startswith(b"HTTP/1.1 ")
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                for stream in streams:
                    rig.exchange([stream])
            deadline = time.monotonic() + 5
            while len(rig.lobby) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert len(rig.lobby) == 0
            assert gc.collect() == 0
        finally:
            gc.enable()


@pytest.mark.parametrize(("body", "whole"), [(0.3, 0.0), (0.3, 5.0), (5.0, 0.3)])
def test_a_body_that_takes_too_long_is_given_up(app: App, body: float, whole: float) -> None:
    limits = Limits(header=PATIENCE, keepalive=PATIENCE, idle=PATIENCE, body=body, request=whole)
    with Rig(app, limits) as rig, rig.connect() as client:
        began = time.monotonic()
        client.send(b"PUT /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        while not select.select([client.sock], [], [], 0.02)[0]:
            client.send(b"a")
        assert 0.25 < time.monotonic() - began < 1.5
        assert client.ended()
    assert app.asked == ["/slow"]


def test_the_time_for_a_body_is_not_that_for_its_answer(app: App) -> None:
    limits = Limits(header=PATIENCE, keepalive=PATIENCE, idle=PATIENCE, body=0.2)
    with Rig(app, limits) as rig, rig.connect() as client:
        app.gate.clear()
        threading.Timer(0.5, app.gate.set).start()
        client.send(GET % 1)
        assert client.answer().body == b"/1 0"
        client.send(b"PUT /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        assert client.answer().body == b"/2 3"
