"""The attacks of the suite ``attack``, each with its full number."""

from __future__ import annotations

import base64
import hashlib
import random
import socket
import struct
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from crash.live import Live, ask
from tests.wire.answer import Answer

SOCKETS = 200
SECONDS = 4.0
ABRUPT = 5_000
IDLE = 1_500
KEYS = 4_000
UPLOADS = 10_000
LISTS = 400
THREADS = 16
GIGABYTES = str(5 << 30)

_RESET = struct.pack("ii", 1, 0)


class Assault:
    """A server to attack with a ``share`` of the full numbers; ``wrong`` has answers that must not be."""

    def __init__(self, running: Live, share: float) -> None:
        self.running = running
        self.client = running.client()
        self.share = share
        self.seconds = max(1.0, SECONDS * share)
        self.sent = 0
        self.wrong: list[str] = []

    def count(self, full: int) -> int:
        """Return the share of ``full``, and note so many."""
        number = max(8, int(full * self.share))
        self.sent += number
        return number

    def connect(self, buffer: int = 0) -> socket.socket:
        """Return a connection, with a small receive buffer where wanted."""
        sock = socket.socket()
        sock.settimeout(30)
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.connect((self.running.server.host, self.running.server.port))
        return sock

    def head(self, method: str, target: str, length: str = "", *, sign: bool = True) -> bytes:
        """Return a request head that declares ``length`` bytes."""
        headers = {"Content-Length": length} if length else {}
        draft = self.client.draft(method, target, headers, payload="unsigned", sign=sign)
        lines = "".join(f"{name}: {value}\r\n" for name, value in draft.headers)
        return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")

    def expect(self, what: str, answer: Answer | None, statuses: Iterable[int]) -> None:
        """Note an answer whose status is none of these."""
        if answer is None or answer.status not in statuses:
            self.wrong.append(f"{what} is answered {answer and (answer.status, answer.body[:200])}")


def slow_heads(assault: Assault) -> None:
    """A byte of a head now and then."""
    head = assault.head("GET", "/attacked/large")
    with ExitStack() as stack:
        socks = [stack.enter_context(assault.connect()) for _ in range(assault.count(SOCKETS))]
        _drip(assault, socks, [head[n : n + 1] for n in range(8)])


def slow_bodies(assault: Assault) -> None:
    """Gigabytes declared: without a signature nothing is read; with one, a few bytes are sent."""
    with ExitStack() as stack:
        for _ in range(assault.count(SOCKETS)):
            sock = stack.enter_context(assault.connect())
            sock.sendall(assault.head("PUT", "/attacked/slow", GIGABYTES, sign=False))
        # Fewer than one worker has threads, wherever they come to lie.
        socks = [stack.enter_context(assault.connect()) for _ in range(6)]
        for sock in socks:
            sock.sendall(assault.head("PUT", "/attacked/slow", GIGABYTES))
        _drip(assault, socks, [b"x" * 100] * 8)


def declared_and_never_sent(assault: Assault) -> None:
    """More signed uploads than there are threads, without their bodies."""
    with ExitStack() as stack:
        for number in range(assault.count(SOCKETS)):
            sock = stack.enter_context(assault.connect())
            sock.sendall(assault.head("PUT", f"/attacked/never-{number}", GIGABYTES))
        time.sleep(assault.seconds)


def slow_readers(assault: Assault) -> None:
    """Large answers that nobody takes."""
    with ExitStack() as stack:
        assault.sent += 8
        socks = [stack.enter_context(assault.connect(4096)) for _ in range(8)]
        for sock in socks:
            sock.sendall(assault.head("GET", "/attacked/large"))
        time.sleep(assault.seconds)
        for sock in socks:
            sock.recv(4096)


def idle_connections(assault: Assault) -> None:
    """Connections without a request."""
    with ExitStack() as stack:
        for _ in range(assault.count(IDLE)):
            stack.enter_context(assault.connect())
        time.sleep(1)


def disconnects(assault: Assault) -> None:
    """Connections that are reset: before, within and after a head, within a body, before the answer."""
    whole = assault.head("GET", "/attacked/large")
    put = assault.head("PUT", "/attacked/cut", "200000") + b"x" * 100_000
    kinds = (b"", whole[:40], whole, put, b"\0" * 100)
    for number in range(assault.count(ABRUPT)):
        with assault.connect() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            sock.sendall(kinds[number % len(kinds)])
            if number % 3 == 0:
                time.sleep(0.0005)


def lists_with_delimiter(assault: Assault) -> None:
    """Listings of many keys in many directories."""
    keys = assault.count(KEYS)

    def put(number: int) -> None:
        answer = ask(assault.client, "PUT", f"/attacked/{number % 97}/{number % 7}/{number}", b"x")
        assault.expect("a put", answer, [200])

    def listed(number: int) -> None:
        query = ("delimiter=/", "delimiter=7", "delimiter=/&prefix=1", "delimiter=%00%01&max-keys=1000")
        answer = ask(assault.client, "GET", f"/attacked?list-type=2&{query[number % 4]}")
        assault.expect("a list", answer, [200, 400])

    _in_threads(put, keys)
    _in_threads(listed, assault.count(LISTS))


def open_uploads(assault: Assault) -> None:
    """Uploads that are begun and left, one of many parts, and lists of them all."""
    count = assault.count(UPLOADS)

    def begin(number: int) -> None:
        assault.expect("a begin", ask(assault.client, "POST", f"/attacked/open/{number % 50}?uploads"), [200])

    _in_threads(begin, count)
    made = ask(assault.client, "POST", "/attacked/parts?uploads")
    assert made is not None
    target = f"/attacked/parts?uploadId={made.xml().findtext('{*}UploadId')}"

    def part(number: int) -> None:
        answer = ask(assault.client, "PUT", f"{target}&partNumber={number + 1}", b"x")
        assault.expect("a part", answer, [200])

    def listed(number: int) -> None:
        places = ("/attacked?uploads", "/attacked?uploads&delimiter=/", target)
        assault.expect("a list", ask(assault.client, "GET", places[number % 3]), [200])

    _in_threads(part, assault.count(UPLOADS))
    _in_threads(listed, assault.count(LISTS))
    assault.expect("the end", ask(assault.client, "DELETE", target), [204])


def documents(assault: Assault) -> None:
    """Deep, wide, large and recursive documents."""
    made = ask(assault.client, "POST", "/attacked/document?uploads")
    assert made is not None
    upload = f"/attacked/document?uploadId={made.xml().findtext('{*}UploadId')}"
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 20))
    bodies = (
        b"<a>" * 100_000,
        b"<a>" * 100_000 + b"</a>" * 100_000,
        b"<Delete><Object><Key>" + b"k" * (1 << 20) + b"</Key></Object></Delete>",
        b"<Delete " + b"".join(b'a%d="b" ' % n for n in range(50_000)) + b"></Delete>",
        b"<Delete>" + b"<Object><Key>k</Key></Object>" * 200_000 + b"</Delete>",
        f'<!DOCTYPE a [<!ENTITY a0 "ha">{laughs}]><Delete>&a19;</Delete>'.encode(),
        b"<" + b"n" * (1 << 20) + b"/>",
        bytes(10 << 20),
    )
    places = (("POST", "/attacked?delete"), ("POST", upload), ("PUT", "/attacked/large?tagging"))

    def send(number: int) -> None:
        body = bodies[number % len(bodies)]
        method, target = places[number // len(bodies) % len(places)]
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        answer = ask(assault.client, method, target, body, Content_MD5=digest)
        refused = answer is not None and (400 <= answer.status < 500 or b"<Error>" in answer.body[:200])
        # Without an answer it was refused before all of it was sent.
        if answer is not None and not refused:
            assault.wrong.append(f"{method} {target[:30]} of {body[:20]!r} is answered {answer.status}")

    _in_threads(send, assault.count(240))


def long_heads(assault: Assault) -> None:
    """Long lines, many lines, and lines without an end."""
    kinds = (
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"A%d: a\r\n" % n for n in range(20_000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"a" * (10 << 20),
        b"G" * (10 << 20),
    )
    _in_threads(lambda number: _refused(assault, kinds[number % len(kinds)]), assault.count(SOCKETS))


def garbage(assault: Assault) -> None:
    """Random bytes alone and after a request, and a thousand requests in one piece."""
    whole = assault.head("GET", "/attacked/honest")

    def send(number: int) -> None:
        noise = random.Random(number).randbytes(1 << 18)
        _refused(assault, (noise, whole + noise, whole * 1000, b"\r\n" * 100_000)[number % 4])

    _in_threads(send, assault.count(SOCKETS))


def _refused(assault: Assault, data: bytes) -> None:
    # Send all that is taken, read what comes; no answer may be of 5xx.
    with assault.connect() as sock:
        answer = b""
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while more := sock.recv(65536):
                answer = answer[-100_000:] + more
        except OSError:
            pass
        if b"HTTP/1.1 5" in answer:
            assault.wrong.append(f"{data[:40]!r} is answered {answer[:100]!r}")


def _drip(assault: Assault, socks: list[socket.socket], pieces: list[bytes]) -> None:
    for piece in pieces:
        for sock in socks:
            try:
                sock.sendall(piece)
            except OSError:
                continue  # refused, as it should be
        time.sleep(assault.seconds / len(pieces))


def _in_threads(call: Callable[[int], None], count: int) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(call, range(count)))


ATTACKS: tuple[tuple[Callable[[Assault], None], bool], ...] = (
    (slow_heads, True),
    (slow_bodies, True),
    (slow_readers, True),
    (declared_and_never_sent, False),
    (idle_connections, True),
    (disconnects, True),
    (lists_with_delimiter, True),
    (open_uploads, True),
    (documents, True),
    (long_heads, True),
    (garbage, True),
)
"""The attacks, and whether others are served meanwhile: not where all threads wait for signed bodies."""
