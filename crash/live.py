"""A server under attack or in a race: its workers, what they use, clients, and many threads at once."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from crash.suite import Outcome
from crash.target import group
from s3shim.backends.local.fsck import check
from tests.server.process import Server
from tests.wire.answer import Answer
from tests.wire.client import LiveClient
from tests.wire.signing import Draft

PATIENCE = 30.0
MIN_PART = 4096
FLAGS = ("--min-part-size", str(MIN_PART), "--listen", "127.0.0.1:0", "--allow-root", "--log-level", "error")

T = TypeVar("T")


class ManyClients(LiveClient):
    """A client for threads that come and go: ``end`` closes the connections that they leave."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._made: set[socket.socket] = set()

    def send(self, draft: Draft) -> Answer:
        """See LiveClient."""
        try:
            return super().send(draft)
        finally:
            kept = getattr(self._local, "connection", None)
            if kept is not None:
                self._made.add(kept)

    def end(self) -> None:
        """Close all connections."""
        for sock in self._made:
            sock.close()


class Live:
    """``s3shim serve`` on ``data``; ``module`` names another program in its place."""

    def __init__(
        self,
        data: Path,
        *flags: str,
        module: Sequence[str] = ("s3shim",),
        settings: dict[str, str] | None = None,
    ) -> None:
        self.data = data
        self._logs = data.with_name(f"{data.name}-stderr-{time.monotonic_ns()}")
        self.server = Server(
            ["-m", *module, "serve", *FLAGS, "--data", str(data), *flags], self._logs, settings
        )
        self._clients: list[ManyClients] = []
        self.keys = self.server.shown("access key"), self.server.shown("secret key")

    @property
    def pid(self) -> int:
        """The master, and its process group."""
        return self.server.process.pid

    def client(self, timeout: float = PATIENCE) -> LiveClient:
        """Return a client; it has a connection in each thread that uses it."""
        made = ManyClients(self.server.host, self.server.port, *self.keys, timeout=timeout)
        self._clients.append(made)
        return made

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Close the clients, stop the server, return its exit code. SIGKILL goes to the workers too."""
        for client in self._clients:
            client.end()
        if number == signal.SIGKILL:
            os.killpg(self.pid, number)
        return self.server.stop(number)

    def workers(self) -> list[int]:
        """Return the worker processes that serve or begin to."""
        return sorted(set(group(self.pid)) - {self.pid})

    def told(self) -> str:
        """Return what the server has logged."""
        return self._logs.read_text()


@contextmanager
def live(outcome: Outcome, data: Path, *flags: str, module: Sequence[str] = ("s3shim",)) -> Iterator[Live]:
    """Give a running server; stop it at the end, and check its store."""
    running = Live(data, *flags, module=module)
    try:
        yield running
    except BaseException:
        running.stop(signal.SIGKILL)
        raise
    code = running.stop()
    outcome.check(code == 0, f"the server ended with {code}")
    clean(outcome, data)


def clean(outcome: Outcome, data: Path) -> None:
    """Check the store, thoroughly."""
    report = check(data, deep=True)
    if outcome.check(not report.problems, f"fsck of {data.name}: {report.problems[:5]}"):
        outcome.counts["fsck clean"] += 1


def at_once(calls: Sequence[Callable[[], T]], pool: ThreadPoolExecutor) -> list[T]:
    """Run the calls in threads that begin together; return what they return, in order."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], T]) -> T:
        barrier.wait(PATIENCE)
        return call()

    return list(pool.map(run, calls))


def ask(client: LiveClient, method: str, target: str, body: bytes = b"", **headers: str) -> Answer | None:
    """Send a request; None where its answer did not come whole."""
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        return client.request(method, target, lines, body)
    except (OSError, http.client.HTTPException):
        client.close()
        return None


def until(come: Callable[[], bool], seconds: float = PATIENCE) -> bool:
    """Wait until ``come()``, at most so long; return whether it came."""
    deadline = time.monotonic() + seconds
    while not come():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def anonymous_memory(pid: int) -> int:
    """Return the bytes of memory that are the process's own (RssAnon of proc(5)); 0 of one that is gone."""
    try:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def descriptors(pid: int) -> int:
    """Return how many files the process has open; 0 of one that is gone."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0
