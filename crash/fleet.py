"""Clients in processes of their own, and bodies that say what they are.

One process of Python runs one thread at a time; several make requests that are truly at the same time.
"""

from __future__ import annotations

import hashlib
import http.client
import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.server.process import Server
from tests.wire.answer import Answer
from tests.wire.client import LiveClient
from tests.wire.signing import Draft

T = TypeVar("T")

# What ends a request without an answer. A read that is cut short is an IncompleteRead.
LOST = (OSError, http.client.HTTPException)


class OnceClient(LiveClient):
    """A client that never sends a request twice: what is lost is lost."""

    def send(self, draft: Draft) -> Answer:
        """Send the request. Raises one of LOST; then nobody knows what became of it."""
        if getattr(self._local, "connection", None) is not None:
            return self._exchange(self._local.connection, draft)
        return super().send(draft)


@dataclass(frozen=True, slots=True)
class Site:
    """Where a server listens, and its key pair."""

    host: str
    port: int
    access_key: str
    secret_key: str

    @classmethod
    def of(cls, server: Server) -> Site:
        """Return the site of a running server."""
        return cls(server.host, server.port, server.shown("access key"), server.shown("secret key"))

    def client(self) -> OnceClient:
        """Return a client with connections of its own."""
        return OnceClient(self.host, self.port, self.access_key, self.secret_key)


def body_of(name: str, size: int) -> bytes:
    """Return ``size`` bytes (at least len(name) + 12) that name themselves and their size."""
    head = f"{size:010d} {name}\n".encode()
    unit = hashlib.sha256(head).digest()
    return (head + unit * (size // len(unit) + 1))[:size]


def is_whole(body: bytes) -> bool:
    """Whether a body is one of ``body_of``, every byte of it."""
    size, _, name = body[:200].partition(b"\n")[0].decode("latin-1").partition(" ")
    return size.isdigit() and int(size) == len(body) and body == body_of(name, len(body))


def etag_of(body: bytes) -> str:
    """Return the ETag of a body without quotes."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


class Fleet:
    """Processes that each run some threads; to be used in a with statement."""

    def __init__(self, processes: int) -> None:
        self._pool = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"))
        # Start them now: the first request of all shall not wait for an interpreter.
        list(self._pool.map(_nothing, range(processes), timeout=60))

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def start(self, call: Callable[[Any], T], jobs: Iterable[Any], threads: int) -> list[Future[list[T]]]:
        """Call ``call`` with every job, ``threads`` of them to a process; return what will give results."""
        listed = list(jobs)
        return [
            self._pool.submit(_in_threads, call, listed[at : at + threads])
            for at in range(0, len(listed), threads)
        ]


def results(futures: Iterable[Future[list[T]]]) -> list[T]:
    """Wait for all results."""
    return [result for future in futures for result in future.result()]


def _nothing(_: int) -> None:
    pass


def _in_threads(call: Callable[[Any], T], jobs: list[Any]) -> list[T]:
    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(call, jobs))


def children(pid: int) -> list[int]:
    """Return the processes that ``pid`` has started, such as a server's workers."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
