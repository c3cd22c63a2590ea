"""A crowd of idle and slow connections, and what it costs those that are neither.

``python -m tests.server.crowd [--idle N] [--slow N] [--seconds N]``. A quarter of the slow ones each: send a
byte of a head a second; of the body of a put that is not signed; of one that is; read a byte of a large
object a second. The p99 of 8 clients that get 4 KiB must stay below twice what it is without the crowd; it is
the median of several, for a busy machine has its moments.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from tests.server.process import Client, Server, serve, workers
from tests.wire.client import LiveClient

IDLE, SLOW, SECONDS = 5000, 500, 10.0
HONEST = 8
ROUNDS = 5
FACTOR = 2.0

_LARGE = 32 << 20
_PAUSE = 0.005  # seconds between an honest client's requests: the machine is not to be full by itself
_KINDS = ("heads", "bodies", "signed bodies", "readers")


def answers_after(port: int, request: bytes, seconds: float) -> list[float]:
    """Send ``request`` again and again by HONEST clients; return how long each answer took, in seconds."""
    taken: list[float] = []
    end = time.monotonic() + seconds

    def ask() -> None:
        with Client(socket.create_connection(("127.0.0.1", port), 20)) as client:
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while time.monotonic() < end:
                began = time.perf_counter()
                client.send(request)
                answer = client.answer()
                taken.append(time.perf_counter() - began)
                assert (answer.status, len(answer.body)) == (200, 4096), answer.status
                time.sleep(_PAUSE)

    threads = [threading.Thread(target=ask) for _ in range(HONEST)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(taken)


class Slow:
    """A client that does one byte a second; when it is ended it comes again."""

    def __init__(self, port: int, request: bytes, *, reads: bool) -> None:
        self.port = port
        self.request = request
        self.reads = reads
        self.steps = 0
        self.ended = 0
        self._come()

    def _come(self) -> None:
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.connect(("127.0.0.1", self.port))
        self.sock.setblocking(False)
        self._left = self.request
        if self.reads:
            self.sock.send(self.request)
        else:
            # The head of a put goes out at once, so that only the body is slow.
            head, end, _ = self.request.partition(b"\r\n\r\n")
            if end:
                self.sock.send(head + end)
                self._left = b"x" * 10_000

    def step(self) -> None:
        """Do the next byte."""
        self.steps += 1
        try:
            if self.reads:
                gone = not self.sock.recv(1)
            else:
                self._left = self._left[self.sock.send(self._left[:1]) :]
                gone = self._is_over()
        except BlockingIOError:
            gone = False
        except OSError:
            gone = True
        if gone:
            self.ended += 1
            self.close()
            self._come()

    def _is_over(self) -> bool:
        try:
            return self.sock.recv(4096) == b""
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Go."""
        self.sock.close()


@dataclass
class Figures:
    """What was measured, in seconds and bytes; ``steps`` and ``ended`` by kind of slow client."""

    alone: list[list[float]]
    among: list[list[float]]
    threads: int
    memory: int
    steps: dict[str, int]
    ended: dict[str, int]
    idle: int

    @property
    def factor(self) -> float:
        """How many times as long the p99 is among the crowd."""
        return typical(self.among, 0.99) / typical(self.alone, 0.99)

    def lines(self) -> Iterator[str]:
        """Yield the figures in words."""
        for name, taken in (("without the crowd", self.alone), ("with it", self.among)):
            yield (
                f"{name}: {sum(map(len, taken)):,} answers, p50 {typical(taken, 0.5) * 1000:.2f} ms, "
                f"p99 {typical(taken, 0.99) * 1000:.2f} ms, slowest {max(map(max, taken)) * 1000:.1f} ms"
            )
        yield f"p99 is {self.factor:.2f} times as long"
        yield f"{self.idle:,} of the idle connections were there to the end"
        for kind, steps in self.steps.items():
            yield f"slow {kind}: {steps:,} bytes, ended by the server {self.ended[kind]:,} times"
        yield f"the workers have {self.threads} threads and {self.memory >> 20} MiB in all"


def typical(rounds: list[list[float]], share: float) -> float:
    """Return the median, over the rounds, of the element below which ``share`` of an ordered round is."""
    return median(ordered[min(int(len(ordered) * share), len(ordered) - 1)] for ordered in rounds)


class Crowd(contextlib.AbstractContextManager["Crowd"]):
    """``idle`` kept connections and ``slow`` slow ones, of each kind as many."""

    def __init__(self, server: Server, requests: dict[str, bytes], idle: int, slow: int) -> None:
        self.idle = [_idle(server) for _ in range(idle)]
        self.slow = {
            kind: [
                Slow(server.port, requests[kind], reads=kind == "readers") for _ in range(slow // len(_KINDS))
            ]
            for kind in _KINDS
        }
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._go_on)
        self._thread.start()

    def _go_on(self) -> None:
        every = [client for clients in self.slow.values() for client in clients]
        due = time.monotonic()
        while not self._end.wait(max(due - time.monotonic(), 0)):
            for number, client in enumerate(every):
                client.step()
                if number % 20 == 19:  # spread over the second
                    time.sleep(0.8 * 20 / len(every))
            due += 1

    def still_idle(self) -> int:
        """Return how many of the idle connections are still there and serve another request."""
        return sum(_serves(client) for client in self.idle)

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        for client in self.idle:
            client.sock.close()
        for clients in self.slow.values():
            for slow in clients:
                slow.close()


def _idle(server: Server) -> Client:
    client = server.connect()
    assert _serves(client)
    return client


def _serves(client: Client) -> bool:
    try:
        client.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        return client.answer().status == 200
    except (OSError, EOFError):
        return False


def _requests(server: Server) -> dict[str, bytes]:
    """Store the objects; return what each kind of client sends."""
    access, secret = server.shown("access key"), server.shown("secret key")
    client = LiveClient(server.host, server.port, access, secret)
    try:
        for target, body in (("/crowd", b""), ("/crowd/small", b"s" * 4096), ("/crowd/large", bytes(_LARGE))):
            assert client.request("PUT", target, body=body).status == 200
    finally:
        client.close()

    def head(method: str, target: str, lines: str = "", *, sign: bool = True) -> bytes:
        draft = client.draft(method, target, payload="unsigned", sign=sign)
        kept = [f"{name}: {value}\r\n" for name, value in draft.headers if name != "Content-Length"]
        return f"{method} {target} HTTP/1.1\r\n{''.join(kept)}{lines}\r\n".encode()

    return {
        "honest": head("GET", "/crowd/small"),
        "heads": head("GET", "/crowd/small")[:-4],
        "bodies": head("PUT", "/crowd/slow", "Content-Length: 10000\r\n", sign=False),
        "signed bodies": head("PUT", "/crowd/slow", "Content-Length: 10000\r\n"),
        "readers": head("GET", "/crowd/large"),
    }


def _workers(server: Server, row: str) -> int:
    """Return the sum of a row of /proc/PID/status over the workers."""
    texts = [Path(f"/proc/{worker}/status").read_text() for worker in workers(server)]
    return sum(int(found[1]) for text in texts if (found := re.search(rf"{row}:\s+(\d+)", text)))


def measure(work: Path, idle: int, slow: int, seconds: float, say: Callable[[str], None]) -> Figures:
    """Measure without the crowd and with it, against a server of its own. Raises AssertionError."""
    server = serve(work, "--workers", "2", "--threads", "8", "--keepalive", "600", "--log-level", "error")
    try:
        requests = _requests(server)
        # The honest have a process of their own: they wait for the server, not for this one's other threads.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:

            def honest() -> list[list[float]]:
                each = (server.port, requests["honest"], seconds / ROUNDS)
                return [pool.submit(answers_after, *each).result() for _ in range(ROUNDS)]

            pool.submit(answers_after, server.port, requests["honest"], 0.3).result()  # both sides get warm
            alone = honest()
            with Crowd(server, requests, idle, slow) as crowd:
                say(f"{idle:,} idle and {slow:,} slow connections are there")
                time.sleep(min(seconds, 3))
                among = honest()
                threads, memory = _workers(server, "Threads"), _workers(server, "VmRSS") << 10
                return Figures(
                    alone,
                    among,
                    threads,
                    memory,
                    {kind: sum(client.steps for client in clients) for kind, clients in crowd.slow.items()},
                    {kind: sum(client.ended for client in clients) for kind, clients in crowd.slow.items()},
                    crowd.still_idle(),
                )
    finally:
        assert server.stop() == 0
        assert "Traceback" not in server.stderr


def main() -> int:
    """Return 0 where the promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.server.crowd", description=__doc__)
    parser.add_argument("--idle", type=int, default=IDLE)
    parser.add_argument("--slow", type=int, default=SLOW)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="s3shim-crowd-") as work:
        figures = measure(Path(work), options.idle, options.slow, options.seconds, print)
    for line in figures.lines():
        print(line)
    kept = figures.factor < FACTOR and figures.idle == options.idle
    print("the promise was kept" if kept else "THE PROMISE WAS NOT KEPT")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
