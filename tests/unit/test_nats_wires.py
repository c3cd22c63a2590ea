"""Questions that the thread of a request asks by itself, against a real server and against bad ones."""

from __future__ import annotations

import json
import socket
import threading
import time
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from s3shim.backends.nats.settings import NatsSettings
from s3shim.backends.nats.wires import Unanswered, Wires
from tests.nats_server import NatsServer
from tests.unit.nats_clients import put, stranger
from tests.unit.nats_objects import path, write_raw

INFO = b'INFO {"client_id": 7}\r\n'


def client_at(url, connected=True):
    """Stand in for the client of the loop, of which the address is all that is asked."""
    return SimpleNamespace(is_connected=connected, connected_url=urlsplit(url))


@pytest.fixture
def wires(tmp_path):
    made = Wires(NatsSettings(tmp_path))
    yield made
    made.close()


@pytest.fixture
def server():
    """A server that says what it is told: ``server(answers)`` starts it and returns its URL.

    For each connection it takes the lines of the greeting, and for each question it sends the next answer, in
    which REPLY stands for the subject of the reply; None ends the connection.
    """
    listening = []

    def start(answers, info=INFO):
        listener = socket.create_server(("127.0.0.1", 0))
        listening.append(listener)
        todo = iter(answers)

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection, connection.makefile("rwb") as stream:
                    stream.write(info)
                    stream.flush()
                    for line in stream:
                        if line == b"PING\r\n":
                            stream.write(b"PONG\r\n")
                        elif line.startswith(b"PUB "):
                            words = line.split()
                            stream.read(int(words[-1]) + 2)
                            answer = next(todo)
                            if answer is None:
                                break
                            stream.write(answer.replace(b"REPLY", words[2]))
                        stream.flush()

        threading.Thread(target=serve, daemon=True).start()
        return f"nats://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listening:
        listener.close()


def test_an_answer_of_a_real_server(nats_server, bucket, wires):
    put(nats_server.url, bucket, "one")
    client = client_at(nats_server.url)
    for _ in range(3):
        [(head, data)] = wires.ask(client, f"$JS.API.STREAM.INFO.OBJ_{bucket}", b"")
        assert head == b""
        assert json.loads(data)["state"]["messages"] == 2
    assert len(wires._free) == 1
    query = json.dumps({"batch": 10, "seq": 1, "next_by_subj": f"$O.{bucket}.C.>"}).encode()
    [(head, data)] = wires.ask(client, f"$JS.API.DIRECT.GET.OBJ_{bucket}", query)
    assert head.startswith(b"NATS/1.0\r\nNats-Stream: ")
    assert data == b"one"
    query = json.dumps({"batch": 10, "seq": 100, "next_by_subj": f"$O.{bucket}.C.>"}).encode()
    assert wires.ask(client, f"$JS.API.DIRECT.GET.OBJ_{bucket}", query) == []


def test_nobody_listens_and_the_connection_lives_on(nats_server, wires):
    client = client_at(nats_server.url)
    for _ in range(2):
        with pytest.raises(Unanswered):
            wires.ask(client, "nobody.listens.here", b"")
        assert len(wires._free) == 1


def test_each_thread_has_a_connection_of_its_own(nats_server, bucket, wires):
    client = client_at(nats_server.url)
    ready = threading.Barrier(8)
    found = []

    def ask():
        ready.wait()
        for _ in range(50):
            found.append(json.loads(wires.ask(client, f"$JS.API.STREAM.INFO.OBJ_{bucket}", b"")[0][1]))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 400
    assert {answer["config"]["name"] for answer in found} == {f"OBJ_{bucket}"}
    assert 1 <= len(wires._free) <= 8


def test_what_is_not_an_answer_is_passed_over(server, wires):
    late = b"MSG _INBOX.other 1 4\r\nlate\r\nHMSG _INBOX.other 1 12 16\r\nNATS/1.0\r\n\r\nlate\r\n"
    answers = [b"PING\r\n+OK\r\nINFO {}\r\n" + late + b"MSG REPLY 1 2\r\n{}\r\n"] * 2
    client = client_at(server(answers))
    for _ in answers:
        assert wires.ask(client, "a", b"b") == [(b"", b"{}")]


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"-ERR 'Permissions Violation'\r\n",
        b"MSG REPLY 1 many\r\n",
        b"HMSG REPLY\r\n",
        b"\r\n",
        b"x" * 100_000,
    ],
)
def test_a_connection_of_no_use_is_closed_and_another_made(server, wires, answer):
    client = client_at(server([answer, b"MSG REPLY 1 2\r\n{}\r\n"]))
    with pytest.raises(Unanswered):
        wires.ask(client, "a", b"b")
    assert wires._free == []
    assert wires.ask(client, "a", b"b") == [(b"", b"{}")]


@pytest.mark.parametrize(("timeout", "most"), [(4.0, 1.0), (1.0, 0.25)])
def test_a_silent_server_is_not_waited_for_long(server, tmp_path, timeout, most):
    made = Wires(NatsSettings(tmp_path, timeout=timeout))
    client = client_at(server([b""]))
    began = time.monotonic()
    with pytest.raises(Unanswered):
        made.ask(client, "a", b"b")
    assert most <= time.monotonic() - began < most + 0.5
    assert made._free == []


@pytest.mark.parametrize(
    "info",
    [b'INFO {"client_id": 7, "tls_required": true}\r\n', b"INFO {}\r\n", b"SSH-2.0\r\n", b"x" * 100_000],
)
def test_a_server_that_cannot_be_talked_to_is_left_alone_for_a_while(server, wires, info):
    client = client_at(server([], info))
    with pytest.raises(Unanswered):
        wires.ask(client, "a", b"b")
    connections = []
    wires._wire = connections.append
    with pytest.raises(Unanswered):
        wires.ask(client, "a", b"b")
    assert connections == []


@pytest.mark.parametrize("setting", ["nkey", "creds"])
def test_who_must_sign_goes_through_the_loop(nats_server, tmp_path, setting):
    made = Wires(NatsSettings(tmp_path, **{setting: tmp_path / "seed"}))
    with pytest.raises(Unanswered):
        made.ask(client_at(nats_server.url), "a", b"b")


def test_without_a_connection_of_the_loop_nothing_is_asked(nats_server, wires):
    with pytest.raises(Unanswered):
        wires.ask(client_at(nats_server.url, connected=False), "a", b"b")
    with pytest.raises(Unanswered):
        wires.ask(client_at("wss://127.0.0.1:443"), "a", b"b")


def test_another_server_gets_another_connection(server, wires):
    one, two = (server([b"MSG REPLY 1 1\r\n%d\r\n" % number] * 2) for number in (1, 2))
    assert wires.ask(client_at(one), "a", b"b") == [(b"", b"1")]
    assert wires.ask(client_at(two), "a", b"b") == [(b"", b"2")]
    assert [wire.address[1] for wire in wires._free] == [urlsplit(two).port]


@pytest.mark.parametrize(
    ("login", "settings", "user"),
    [
        ('user: a, password: "b"', {"user": "a", "password": "b"}, ""),
        ('user: a, password: "b"', {}, "a:b@"),
        ('token: "t"', {"token": "t"}, ""),
        ('token: "t"', {}, "t@"),
    ],
)
def test_logins(tmp_path, login, settings, user):
    server = NatsServer(tmp_path, more=f"authorization {{ {login} }}").start()
    try:
        url = server.url.replace("nats://", f"nats://{user}")
        made = Wires(NatsSettings(tmp_path, **settings))
        assert json.loads(made.ask(client_at(url), "$JS.API.INFO", b"")[0][1])["streams"] == 0
        made.close()
        refused = Wires(NatsSettings(tmp_path, user="a", password="wrong"))
        with pytest.raises(Unanswered):
            refused.ask(client_at(server.url), "$JS.API.INFO", b"")
    finally:
        server.stop()


def test_after_close_nothing_is_kept(nats_server, bucket, wires):
    client = client_at(nats_server.url)
    wires.ask(client, f"$JS.API.STREAM.INFO.OBJ_{bucket}", b"")
    wires.close()
    assert wires._free == []
    wires.ask(client, f"$JS.API.STREAM.INFO.OBJ_{bucket}", b"")
    assert wires._free == []


def test_metadata_that_is_no_metadata(nats_s3, bucket, theirs, nats_server):
    write_raw(theirs, bucket, "key", [])
    for method in ("GET", "HEAD"):
        assert nats_s3.request(method, path(bucket, "key")).status == 500
    assert nats_s3.request("GET", "/no-such-bucket-here/key").code == "NoSuchBucket"
    stranger(nats_server.url, lambda js: js.purge_stream(f"OBJ_{bucket}"))
    assert nats_s3.request("GET", path(bucket, "key")).code == "NoSuchKey"
