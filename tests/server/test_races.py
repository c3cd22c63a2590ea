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
from tests.wire.forms import TYPE, form_body, signed_fields

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


def put_source(client, number, body=b"source" * 500):
    assert client.request("PUT", f"/races/source-{number}", body=body).status == 200
    return {"x-amz-copy-source": f"/races/source-{number}"}


def racing(server, client, call, writers=WRITERS):
    """Make a call by several connections at once; return the answers."""

    def run(writer):
        mine = fresh(server, client)
        answer = call(mine, writer)
        mine.close()
        return answer

    with ThreadPoolExecutor(writers) as pool:
        return list(pool.map(run, range(writers)))


def outcomes(answers):
    return Counter((answer.status, answer.code) for answer in answers)


@pytest.mark.parametrize("kind", ["copy", "complete", "rename"])
def test_one_winner_of_other_conditional_writes(server, client, kind):
    new = {"If-None-Match": "*"}
    others = {(412, "PreconditionFailed")}
    if kind == "rename":
        others.add((404, "NoSuchKey"))  # the source is gone
    for number in range(5):
        target = f"/races/{kind}-{number}"
        if kind == "copy":
            headers = put_source(client, number) | new
            answers = racing(server, client, lambda c, _, t=target, h=headers: c.request("PUT", t, h))
        elif kind == "rename":
            put_source(client, number)
            headers = {"x-amz-rename-source": f"/races/source-{number}"} | new
            answers = racing(
                server, client, lambda c, _, t=target, h=headers: c.request("PUT", f"{t}?renameObject", h)
            )
        else:
            calls = []
            for _ in range(WRITERS):
                upload_id = client.request("POST", f"{target}?uploads").xml().findtext("{*}UploadId")
                at = f"{target}?uploadId={upload_id}"
                etag = client.request("PUT", f"{at}&partNumber=1", body=b"part").headers["etag"]
                part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
                calls.append((at, f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()))
            answers = racing(
                server, client, lambda c, n, calls=calls: c.request("POST", calls[n][0], new, calls[n][1])
            )
        lost = outcomes(answers)
        assert lost.pop((200, None)) == 1
        assert set(lost) <= others
        assert client.request("HEAD", target).status == 200


def test_appends_of_many_workers_all_follow_one_another(server, client):
    """Each tries until its bytes are there; nothing is lost, nothing comes twice."""

    def add(mine, writer):
        line = f"{writer:02d}".encode() * 20
        while True:
            head = mine.request("HEAD", "/races/log")
            size = head.headers["content-length"] if head.status == 200 else "0"
            answer = mine.request("PUT", "/races/log", {"x-amz-write-offset-bytes": size}, line)
            if answer.status == 200:
                return line
            assert (answer.status, answer.code) == (400, "InvalidWriteOffset")

    lines = racing(server, client, add)
    whole = client.request("GET", "/races/log").body
    assert sorted(whole[at : at + 40] for at in range(0, len(whole), 40)) == sorted(lines)


def test_one_winner_of_racing_conditional_deletes(server, client):
    etag = client.request("PUT", "/races/gone", body=b"x").headers["etag"]
    answers = racing(server, client, lambda c, _: c.request("DELETE", "/races/gone", {"If-Match": etag}))
    assert outcomes(answers) == {(204, None): 1, (404, "NoSuchKey"): WRITERS - 1}


def test_a_form_of_32_mib_with_an_expectation(server, client):
    file = bytes(range(256)) * (1 << 17)
    body = form_body(signed_fields(client, "races", {"key": "form"}), file)
    headers = {"Content-Type": TYPE, "Expect": "100-continue"}
    for more in ({}, {"Transfer-Encoding": "chunked"}):
        answer = client.request("POST", "/races", headers | more, body, sign=False)
        assert answer.status == 204
        shown = client.request("GET", "/races/form")
        assert hashlib.sha256(shown.body).digest() == hashlib.sha256(file).digest()
