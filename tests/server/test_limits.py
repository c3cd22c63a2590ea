"""At the limits of connections and of descriptors: who makes room, who waits, and that it passes."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.server.conftest import PLAIN
from tests.server.process import Client, Server, workers

OK = b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is closed at the end."""
    with ExitStack() as made:
        yield made


def served(client: Client) -> bool:
    """Whether the connection serves a request; it was closed, if not."""
    try:
        client.send(OK)
        return client.answer().status == 200
    except (EOFError, ConnectionError):
        return False


def idle(server: Server, stack: ExitStack, count: int) -> list[Client]:
    """Return kept connections, in the order in which they were served."""
    made = [stack.enter_context(server.connect()) for _ in range(count)]
    assert all(served(client) for client in made)
    return made


def test_the_connection_that_was_idle_longest_makes_room(
    start: Callable[..., Server], stack: ExitStack
) -> None:
    server = start("worker_connections=4", threads=2)
    first, second, third, fourth = idle(server, stack, 4)
    assert served(first)  # so that the second has waited longest now
    assert server.ask(OK).status == 200
    assert second.ended()
    assert [served(client) for client in (third, fourth, first)] == [True] * 3
    for _ in range(20):
        assert server.ask(OK).status == 200


def test_where_all_are_at_a_request_the_next_waits_in_the_systems_queue(
    start: Callable[..., Server], stack: ExitStack
) -> None:
    """One thread: two of the three have sent a request that nobody has looked at yet. None makes room."""
    server = start("worker_connections=3", threads=1)
    first, second, third = idle(server, stack, 3)
    began = time.monotonic()
    for client in (first, second, third):
        client.send(SLOW)
        time.sleep(0.1)
    late = stack.enter_context(server.connect())
    late.send(OK)
    for client in (first, second, third):
        assert client.answer().body == b"ok"
    assert time.monotonic() - began > 4
    assert late.answer().body == b"ok"
    assert "all connections are at a request" in server.stderr


def limit(pid: int, descriptors: int) -> None:
    """Let the process have no more descriptors than that."""
    hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors, hard))


def test_without_descriptors_idle_connections_make_room(
    start: Callable[..., Server], stack: ExitStack
) -> None:
    server = start("worker_connections=100", threads=2)
    clients = idle(server, stack, 10)
    (pid,) = workers(server)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]
    limit(pid, 3)  # each accept fails from now on, until there are fewer than three
    late = stack.enter_context(server.connect())
    late.send(OK)
    for client in clients:
        assert client.ended()
    assert server.process.poll() is None
    wait_for(server, "cannot accept a connection: [Errno 24] Too many open files")
    limit(pid, before)
    assert late.answer().body == b"ok"
    assert all(served(client) for client in idle(server, stack, 10))
    assert workers(server) == [pid]


def test_with_few_descriptors_from_the_start_all_are_served(tmp_path: Path, stack: ExitStack) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        limited = Server([*PLAIN, "10", "10", "2"], tmp_path / "stderr", last="http://")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    clients = idle(limited, stack, 150)
    (pid,) = workers(limited)
    # What may be raised was raised, so that 200 connections fit.
    assert resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] >= min(200, hard)
    assert all(served(client) for client in clients)
    assert limited.stop() == 0


def wait_for(server: Server, text: str) -> None:
    """Wait until the server has logged ``text``."""
    deadline = time.monotonic() + 20
    while text not in server.stderr:
        assert time.monotonic() < deadline, server.stderr
        time.sleep(0.05)
