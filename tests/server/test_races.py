"""Real requests through four worker processes at once."""

import hashlib
import http.client
import re
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.server.process import serve
from tests.wire.client import LiveClient

ROUNDS = 50
WRITERS = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server with four workers of eight threads."""
    running = serve(tmp_path_factory.mktemp("races"), "--workers", "4", "--threads", "8")
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def client(server):
    """A signing client; it keeps one connection in each thread that uses it."""
    made = LiveClient(server.host, server.port, server.shown("access key"), server.shown("secret key"))
    assert made.request("PUT", "/races").status == 200
    yield made
    made.close()


def fresh(server, client):
    """Return a client with connections of its own, so that any worker may take its requests."""
    return LiveClient(server.host, server.port, client.signer.access_key, client.signer.secret_key)


def test_one_winner_of_racing_conditional_puts(server, client):
    def write(number, writer):
        mine = fresh(server, client)
        body = f"{number}-{writer}-".encode() * 500
        answer = mine.request("PUT", f"/races/key-{number}", headers={"If-None-Match": "*"}, body=body)
        mine.close()
        return answer.status, answer.code, body

    with ThreadPoolExecutor(WRITERS) as pool:
        for number in range(ROUNDS):
            outcomes = list(pool.map(write, [number] * WRITERS, range(WRITERS)))
            winners = [body for status, _, body in outcomes if status == 200]
            assert len(winners) == 1
            assert {code for status, code, _ in outcomes if status != 200} == {"PreconditionFailed"}
            assert client.request("GET", f"/races/key-{number}").body == winners[0]
    lines = [line for line in server.stderr.splitlines() if "op=PutObject" in line and "key=key-" in line]
    workers = Counter(re.search(r"pid=(\d+)", line)[1] for line in lines)
    assert sum(workers.values()) == ROUNDS * WRITERS
    assert len(workers) == 4


def test_one_winner_of_racing_creators(server, client):
    def create(_):
        mine = fresh(server, client)
        answer = mine.request("PUT", "/one-bucket")
        mine.close()
        return answer.status

    with ThreadPoolExecutor(WRITERS) as pool:
        outcomes = Counter(pool.map(create, range(WRITERS)))
    assert outcomes == {200: 1, 409: WRITERS - 1}


def test_reads_during_overwrites_are_whole(server, client):
    bodies = [bytes([65 + number]) * (300_000 + number) for number in range(4)]
    known = {hashlib.md5(body).hexdigest() for body in bodies}
    client.request("PUT", "/races/replaced", body=bodies[0])

    def read(_):
        mine = fresh(server, client)
        seen = []
        for _ in range(250):
            answer = mine.request("GET", "/races/replaced")
            assert answer.status == 200
            digest = hashlib.md5(answer.body).hexdigest()
            assert answer.headers["etag"] == f'"{digest}"'
            seen.append(digest)
        mine.close()
        return seen

    with ThreadPoolExecutor(5) as pool:
        readers = [pool.submit(read, number) for number in range(4)]
        turn = 0
        while not all(reader.done() for reader in readers):
            turn += 1
            assert client.request("PUT", "/races/replaced", body=bodies[turn % 4]).status == 200
    seen = [digest for reader in readers for digest in reader.result()]
    assert len(seen) == 1000
    assert set(seen) <= known
    assert len(set(seen)) > 1


@pytest.mark.parametrize("sent", [0, 1, 99_999])
def test_upload_cut_short_is_never_an_object(server, client, sent):
    client.request("PUT", "/races/cut", body=b"old")
    draft = client.draft("PUT", "/races/cut", body=b"x" * 100_000)
    head = (
        f"PUT /races/cut HTTP/1.1\r\n{''.join(f'{n}: {v}{chr(13)}{chr(10)}' for n, v in draft.headers)}\r\n"
    )
    with socket.create_connection((server.host, server.port), 30) as connection:
        connection.sendall(head.encode("latin-1") + draft.body[:sent])
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while data := connection.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"<Code>IncompleteBody</Code>" in answer
    assert client.request("GET", "/races/cut").body == b"old"


def test_large_objects_need_little_memory(server, client):
    """192 MiB up and down; the workers' own memory grows by less than 64 MiB."""
    block = bytes(range(256)) * 4096
    count = 192

    def anonymous():
        workers = set(re.findall(r"pid=(\d+)", server.stderr))
        status = [Path(f"/proc/{pid}/status").read_text() for pid in workers]
        return max(int(re.search(r"RssAnon:\s+(\d+) kB", text)[1]) for text in status)

    before = anonymous()
    answer = client.request(
        "PUT",
        "/races/large",
        headers={"Content-Length": str(count * len(block))},
        body=(block for _ in range(count)),
        payload="unsigned",
    )
    assert answer.status == 200
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    draft = client.draft("GET", "/races/large")
    connection.request("GET", draft.target, headers=dict(draft.headers))
    stream = connection.getresponse()
    for _ in range(count):
        assert stream.read(len(block)) == block
    assert stream.read() == b""
    connection.close()
    assert anonymous() - before < 64 * 1024
