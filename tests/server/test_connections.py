"""What the worker does with connections: deadlines, unread bodies, crashes, the stop."""

from __future__ import annotations

import ast
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.server.conftest import PLAIN
from tests.server.process import Server

GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
OK = GET % b"/ok"


def test_header_lines_come_as_sent(plain: Server) -> None:
    lines = [
        ("Host", "x"),
        ("x-amz-meta-A_b", "1"),
        ("X-AMZ-META-a-b", "2"),
        ("Dup", "a"),
        ("dup", "b"),
        ("L", "\xe9"),
    ]
    request = (
        "GET /headers HTTP/1.1\r\n" + "".join(f"{name}:  {value} \r\n" for name, value in lines) + "\r\n"
    )
    assert ast.literal_eval(plain.ask(request.encode("latin-1")).body.decode()) == lines


def test_no_header_reaches_another_variable(plain: Server) -> None:
    spoofs = b"SCRIPT_NAME: /e\r\nPATH_INFO: /x\r\nX_Forwarded_For: 1.1.1.1\r\nREMOTE_USER: a\r\nProxy: http://evil\r\n"
    forwarded = b"X-Forwarded-Proto: https\r\nX-Forwarded-Protocol: ssl\r\nX-Forwarded-Ssl: on\r\n"
    request = b"GET /environ HTTP/1.1\r\nHost: x\r\n" + spoofs + forwarded + b"A: 1\r\nA: 2\r\n\r\n"
    environ = ast.literal_eval(plain.ask(request).body.decode())
    assert environ["PATH_INFO"] == "/environ"
    assert environ["SCRIPT_NAME"] == ""
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["HTTP_A"] == "1,2"
    assert not {"HTTP_PROXY", "HTTP_X_FORWARDED_FOR", "HTTP_SCRIPT_NAME", "REMOTE_USER"} & set(environ)


def test_a_pipelined_request_is_answered_in_turn(plain: Server) -> None:
    with plain.connect() as client:
        client.send(OK * 5)
        assert [client.answer().status for _ in range(5)] == [200] * 5


def test_a_small_unread_body_is_drained_and_the_connection_kept(plain: Server) -> None:
    body = GET % b"/smuggled-small"
    with plain.connect() as client:
        client.send(b"PUT /ok HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body + OK)
        first, second = client.answer(), client.answer()
        assert (first.status, second.status) == (200, 200)
        assert first.headers["connection"] == "keep-alive"
    assert b"/smuggled-small" not in plain.ask(GET % b"/served").body


@pytest.mark.parametrize("framing", [b"Content-Length: 200000", b"Transfer-Encoding: chunked"])
def test_a_large_unread_body_ends_the_connection(plain: Server, framing: bytes) -> None:
    with plain.connect() as client:
        client.send(
            b"PUT /ok HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n" + (GET % b"/smuggled-large") * 1000
        )
        answer = client.answer()
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert client.ended()
    assert b"/smuggled-large" not in plain.ask(GET % b"/served").body


def test_100_continue_is_sent_when_the_body_is_asked_for(plain: Server) -> None:
    with plain.connect() as client:
        client.send(b"PUT /read HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert client.answer().status == 100
        client.send(b"abcde" + OK)
        assert client.answer().body == b"5"
        assert client.answer().body == b"ok"


def test_100_continue_is_sent_for_an_empty_body(plain: Server) -> None:
    with plain.connect() as client:
        client.send(b"PUT /read HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n")
        assert client.answer().status == 100
        assert client.answer().body == b"0"
        client.send(OK)
        assert client.answer().body == b"ok"


def test_100_continue_is_not_sent_for_a_refused_body(plain: Server) -> None:
    with plain.connect() as client:
        client.send(b"PUT /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        answer = client.answer()
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
        assert client.ended()


def test_a_crash_is_answered_by_the_application(plain: Server) -> None:
    with plain.connect() as client:
        client.send(GET % b"/crash")
        answer = client.answer()
        assert answer.status == 500
        assert answer.headers["x-refused"] == "127.0.0.1"
        assert b"on purpose" not in answer.body
        assert client.ended()
    with plain.connect() as client:
        client.send(b"HEAD /crash HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.answer(head=True).status == 500
        assert client.ended()


@pytest.mark.parametrize("path", [b"/short", b"/crash-late"])
def test_an_answer_that_breaks_off_ends_the_connection(plain: Server, path: bytes) -> None:
    with plain.connect() as client:
        client.send(GET % path + OK)
        with pytest.raises(EOFError) as ended:
            client.answer()
        assert ended.value.args[0] == b"12345"


def test_a_head_that_does_not_end_is_refused(plain: Server) -> None:
    with plain.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        answer = client.answer()
        assert (answer.status, answer.headers["x-refused"]) == (408, "127.0.0.1")
        assert answer.headers["connection"] == "close"
        assert client.ended()


def test_more_bytes_do_not_move_the_deadline_of_a_head(plain: Server) -> None:
    with plain.connect() as client:
        client.send(b"GET / HTTP/1.1\r\n")
        client.sock.settimeout(0.1)
        for number in range(300):
            try:
                client.send(b"A%d: 1\r\n" % number)
                data = client.sock.recv(100)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            assert data == b"" or data.startswith(b"HTTP/1.1 408 ")
            break
        else:
            pytest.fail("the head never ended")
        # 300 rounds would have taken 30 seconds, and more than the 100 fields that are read.
        assert number < 100


def test_slow_heads_hold_no_thread(plain: Server) -> None:
    clients = [plain.connect() for _ in range(50)]
    try:
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost")
        assert plain.ask(OK).status == 200
        for client in clients:
            client.sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.sock.recv(1)
    finally:
        for client in clients:
            client.sock.close()


def test_a_body_that_stalls_is_a_time_out_to_its_reader(plain: Server) -> None:
    with plain.connect() as client:
        client.send(b"PUT /read HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nabc")
        answer = client.answer()
        assert answer.body == b"TimeoutError"
        assert answer.headers["connection"] == "close"
        assert client.ended()


def test_a_client_that_reads_nothing_is_dropped(plain: Server) -> None:
    with plain.connect() as client:
        client.send(GET % b"/big")
        time.sleep(3.5)
        received = 0
        while data := client.receive():
            received += len(data)
        assert received < 64 << 20


def test_a_slow_client_that_goes_on_is_not_cut(plain: Server) -> None:
    with plain.connect() as client:
        client.sock.setsockopt(1, 8, 65536)  # SOL_SOCKET, SO_RCVBUF
        client.send(GET % b"/big")
        began = time.monotonic()
        received = 0
        # Four seconds at a trickle, four times what the server waits for a byte; then the rest.
        while data := client.sock.recv(65536):
            received += len(data)
            if time.monotonic() - began < 4:
                time.sleep(0.2)
            elif received >= 64 << 20:
                break
        assert received >= 64 << 20


def test_a_stop_lets_the_running_request_end(tmp_path: Path) -> None:
    server = Server([*PLAIN, "60", "10", "2"], tmp_path / "stderr", last="http://")
    idle = server.connect()
    with ThreadPoolExecutor() as pool, idle:
        idle.send(OK)
        assert idle.answer().status == 200
        running = pool.submit(server.ask, GET % b"/slow")
        time.sleep(0.5)
        assert server.stop() == 0
        answer = running.result()
        assert (answer.status, answer.body) == (200, b"ok")


def test_what_waits_to_be_accepted_at_a_stop_is_served(tmp_path: Path) -> None:
    server = Server([*PLAIN, "60", "10", "2"], tmp_path / "stderr", last="http://")
    assert server.ask(OK).status == 200  # the worker is there
    master = server.process.pid
    (worker,) = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    os.kill(int(worker), signal.SIGSTOP)
    clients = [server.connect() for _ in range(5)]
    try:
        for client in clients:
            client.send(OK)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        os.kill(int(worker), signal.SIGCONT)
        assert [client.answer().status for client in clients] == [200] * 5
    finally:
        for client in clients:
            client.sock.close()
        assert server.stop() == 0


@pytest.mark.parametrize("line", [b"Expect:\r\n", b"Expect: \t\r\n", b"EXPECT:\r\n"])
@pytest.mark.parametrize("first", [True, False])
def test_an_empty_expectation_is_none(plain: Server, line: bytes, first: bool) -> None:
    lines = [line, b"Host: x\r\n"] if first else [b"Host: x\r\n", line]
    with plain.connect() as client:
        client.send(b"GET /ok HTTP/1.1\r\n" + b"".join(lines) + b"\r\n")
        assert client.answer().body == b"ok"
