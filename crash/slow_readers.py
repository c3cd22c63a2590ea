"""Clients that read slowly: who is judged is the server, by the ETag that it gave with the bytes."""

from __future__ import annotations

import hashlib
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from crash.live import PATIENCE, Live

RATE = 64 * 1024  # bytes per second of each
STEP = 16 * 1024


def slow_reads(running: Live, target: str, count: int, seconds: float) -> Counter[str]:
    """Let ``count`` clients read an object at 64 KiB/s for ``seconds``, and what is left of it at once.

    They begin one after the other within half of that time; who finds nothing tries again. Returns the
    outcomes: the ETag of an answer whose bytes fit it, else what is wrong.
    """
    end = time.monotonic() + seconds

    def read(number: int) -> str:
        time.sleep(number * seconds / 2 / count)
        deadline = time.monotonic() + 4 * PATIENCE
        while (outcome := slow_read(running, target, end)) == "absent":
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        return outcome

    with ThreadPoolExecutor(count) as pool:
        return Counter(pool.map(read, range(count)))


def slow_read(running: Live, target: str, end: float) -> str:
    """Read once, slowly until the monotonic time ``end``."""
    draft = running.client().draft("GET", target)
    head = f"GET {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in draft.headers)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RATE)
        sock.settimeout(4 * PATIENCE)
        try:
            sock.connect((running.server.host, running.server.port))
            sock.sendall(head.encode() + b"Connection: close\r\n\r\n")
            return _judge(sock, end)
        except OSError as error:
            return f"no answer: {error!r}"


def _judge(sock: socket.socket, end: float) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(STEP)
        if not more:
            return f"the end after {data!r}"
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    if " 404 " in status:
        return "absent"
    if " 200 " not in status:
        return status
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    digest = hashlib.md5(body, usedforsecurity=False)
    left = int(fields["content-length"]) - len(body)
    while left:
        body = sock.recv(STEP)
        if not body:
            return f"the end {left} bytes early"
        digest.update(body)
        left -= len(body)
        if time.monotonic() < end:
            time.sleep(len(body) / RATE)
    etag = fields["etag"].strip('"')
    return etag if digest.hexdigest() == etag else "other bytes than those of the ETag"
