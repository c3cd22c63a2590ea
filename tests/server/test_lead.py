"""Who waits for events: one thread as long as requests are short, all of them where requests wait."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from s3shim.server.connection import Connection, Limits
from s3shim.server.lobby import Lobby
from tests.server.rig import Rig
from tests.server.test_crew import until

PATIENCE = 5.0


class Threads:
    """Threads in the lobby: what each takes is put in ``taken``, and it goes on when ``serve`` returns."""

    def __init__(self, lobby: Lobby, count: int) -> None:
        self.lobby = lobby
        self.taken: queue.Queue[tuple[int, Connection]] = queue.Queue()
        self.serve = lambda conn: None
        self._ended = False
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._ended:
            conn = self.lobby.next()
            if conn is not None:
                self.taken.put((threading.get_ident(), conn))
                self.serve(conn)

    def next(self) -> tuple[int, Connection]:
        """Return the thread that took a connection next, and the connection. Raises queue.Empty."""
        return self.taken.get(timeout=PATIENCE)

    def end(self) -> None:
        """End them all."""
        self._ended = True
        self.lobby.wake_all()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def lobby() -> Iterator[Lobby]:
    made = Lobby()
    yield made
    made.close()


def arrive(lobby: Lobby, clients: list[socket.socket]) -> Connection:
    """Let a new connection in that has something to do."""
    client, server = socket.socketpair()
    server.setblocking(False)
    clients.append(client)
    conn = Connection(server, {}, Limits(), nullcontext)
    lobby.admit(conn)
    client.send(b"x")
    return conn


@pytest.fixture
def clients() -> Iterator[list[socket.socket]]:
    made: list[socket.socket] = []
    yield made
    for client in made:
        client.close()


def test_what_comes_one_after_the_other_is_taken_by_one_thread(lobby: Lobby, clients: list) -> None:
    threads = Threads(lobby, 4)
    takers = set()
    for _ in range(50):
        conn = arrive(lobby, clients)
        thread, taken = threads.next()
        assert taken is conn
        takers.add(thread)
    threads.end()
    assert len(takers) == 1


def test_who_is_about_to_wait_leaves_the_lead(lobby: Lobby, clients: list) -> None:
    threads = Threads(lobby, 2)
    busy = threading.Event()

    def serve(conn: Connection) -> None:
        lobby.step_aside()
        busy.wait(PATIENCE)

    threads.serve = serve
    first = arrive(lobby, clients)
    assert threads.next()[1] is first
    second = arrive(lobby, clients)
    assert threads.next()[1] is second
    busy.set()
    threads.end()


@pytest.mark.parametrize("watched", [True, False])
def test_the_watch_takes_the_lead_from_a_thread_that_is_long_at_a_request(
    lobby: Lobby, clients: list, watched: bool
) -> None:
    if watched:
        lobby.start()
    threads = Threads(lobby, 2)
    assert until(lobby.attended)
    busy = threading.Event()
    threads.serve = lambda conn: busy.wait(PATIENCE)
    first = arrive(lobby, clients)
    assert threads.next()[1] is first
    second = arrive(lobby, clients)
    if watched:
        assert threads.next()[1] is second
    else:
        with pytest.raises(queue.Empty):
            threads.taken.get(timeout=0.1)
    busy.set()
    threads.end()


def test_the_watch_sees_it_after_a_long_rest_too(lobby: Lobby, clients: list) -> None:
    lobby.start()
    threads = Threads(lobby, 2)
    for _ in range(3):
        time.sleep(0.1)  # longer than the watch goes on without an event
        busy = threading.Event()
        threads.serve = lambda conn, busy=busy: busy.wait(PATIENCE)
        first = arrive(lobby, clients)
        assert threads.next()[1] is first
        second = arrive(lobby, clients)
        assert threads.next()[1] is second
        busy.set()
    threads.end()


def test_where_requests_wait_all_threads_are_there_for_the_next(lobby: Lobby, clients: list) -> None:
    threads = Threads(lobby, 4)
    meeting = threading.Barrier(4)

    def serve(conn: Connection) -> None:
        lobby.step_aside()
        meeting.wait(PATIENCE)  # nobody goes on before all four are at a request

    def four_come() -> None:
        for _ in range(4):
            arrive(lobby, clients)
        for _ in range(4):
            threads.next()

    threads.serve = serve
    for _ in range(15):
        four_come()
    assert until(lambda: len(lobby._lead.attendants) == 4)
    threads.serve = lambda conn: time.sleep(0.005)  # and when they no longer wait, one is enough again
    for _ in range(15):
        four_come()
    assert until(lambda: len(lobby._lead.attendants) == 1)
    assert lobby.attended()
    threads.end()


def test_a_thread_that_ends_does_not_take_the_lead_along(lobby: Lobby, clients: list) -> None:
    lobby.start()
    arrive(lobby, clients)
    gone = threading.Thread(target=lobby.next)
    gone.start()
    gone.join(PATIENCE)
    threads = Threads(lobby, 2)
    second = arrive(lobby, clients)
    assert threads.next()[1] is second
    threads.end()


def test_slow_requests_are_served_side_by_side() -> None:
    meeting = threading.Barrier(4)

    def app(environ: dict, start_response) -> list[bytes]:
        meeting.wait(PATIENCE)  # nobody goes on before all four are being served
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with Rig(app, threads=4) as rig:
        connections = [rig.connect() for _ in range(4)]
        for client in connections:
            client.sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        for client in connections:
            received = b""
            while data := client.receive():
                received += data
            assert received.endswith(b"ok")
            client.sock.close()
