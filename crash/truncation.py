"""Requests that end too early: cut at every byte of a head, at the places of a body that matter."""

from __future__ import annotations

import os
import re
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests.server.process import Server
from tests.wire.client import LiveClient
from tests.wire.signing import Draft

BLOCK = 1 << 20
PATIENCE = 30.0

FIN = "FIN"
RST = "RST"


@dataclass(slots=True, frozen=True)
class Request:
    """A request as bytes; ``name`` says what it does."""

    name: str
    head: bytes
    body: bytes

    @property
    def whole(self) -> bytes:
        """All of it."""
        return self.head + self.body


@dataclass(slots=True, frozen=True)
class Cut:
    """``data`` are sent, then the connection is ended by ``end``."""

    label: str
    data: bytes
    end: str


def request_of(
    client: LiveClient, name: str, method: str, target: str, body: bytes, **headers: str
) -> Request:
    """Return a signed request whose signature says nothing of its body."""
    draft = client.draft(
        method,
        target,
        {key.replace("_", "-"): value for key, value in headers.items()},
        body,
        payload="unsigned",
    )
    return Request(name, head_of(draft), body)


def head_of(draft: Draft) -> bytes:
    """Return the head of a request as it goes out."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in draft.headers)
    return f"{draft.method} {draft.target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")


def cuts_of_head(request: Request) -> Iterator[Cut]:
    """Yield the request cut before every byte of its head."""
    for length in range(len(request.head)):
        for end in (FIN, RST):
            yield Cut(f"{request.name}, head cut at {length}", request.head[:length], end)


def cuts_of_body(request: Request) -> Iterator[Cut]:
    """Yield the request cut at 0, 1, n - 1 bytes of its body, in the midst, and about its blocks."""
    size = len(request.body)
    borders = [border + off for border in range(BLOCK, size, BLOCK) for off in (-1, 0, 1)]
    places = {0, 1, size // 2, size - 1, 65_535, 65_536, 65_537, *borders}
    for length in sorted(place for place in places if place < size):
        for end in (FIN, RST):
            data = request.head + request.body[:length]
            yield Cut(f"{request.name}, body cut at {length} of {size}", data, end)


def shoot(server: Server, cuts: list[Cut], at_once: int = 16) -> list[bytes]:
    """Send all, many at once; return what came back for those with a FIN, b"" for those with a RST."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda cut: _shoot(server, cut), cuts))


def _shoot(server: Server, cut: Cut) -> bytes:
    answer = b""
    with socket.create_connection((server.host, server.port), timeout=PATIENCE) as connection:
        connection.sendall(cut.data)
        if cut.end == RST:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return b""
        connection.shutdown(socket.SHUT_WR)
        try:
            while data := connection.recv(65536):
                answer += data
        except ConnectionResetError:
            pass
    return answer


def statuses(answer: bytes) -> list[int]:
    """Return the status codes of all answers in what came back."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answer)]


def descriptors(pid: int) -> int:
    """Return how many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
