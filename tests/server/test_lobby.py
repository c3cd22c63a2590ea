"""The lobby: a connection is one thread's or nobody's, also where descriptors are used again."""

from __future__ import annotations

import math
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import pytest

from s3shim.server.connection import ENDING, IDLE, READING, Connection, Limits
from s3shim.server.lobby import Lobby

Make = Callable[[], tuple[socket.socket, Connection]]


@pytest.fixture
def lobby() -> Iterator[Lobby]:
    made = Lobby()
    yield made
    made.close()


@pytest.fixture
def make() -> Iterator[Make]:
    clients = []

    def make() -> tuple[socket.socket, Connection]:
        client, server = socket.socketpair()
        server.setblocking(False)
        clients.append(client)
        return client, Connection(server, {}, Limits(), nullcontext)

    yield make
    for client in clients:
        client.close()


def test_an_event_gives_its_connection_to_one(lobby: Lobby, make: Make) -> None:
    client, conn = make()
    lobby.admit(conn)
    client.send(b"a")
    assert lobby.next() is conn
    client.send(b"b")
    lobby.wake_all()
    assert lobby.next() is None  # it is somebody's, so that no other event comes
    lobby.arm(conn)
    found = {lobby.next(), lobby.next()}  # and the one that has come meanwhile is not lost
    assert conn in found
    assert len(lobby) == 1


def test_one_that_has_something_to_do_comes_again(lobby: Lobby, make: Make) -> None:
    client, conn = make()
    lobby.admit(conn)
    client.send(b"a")
    assert lobby.next() is conn
    assert conn.poll() == b"a"
    lobby.arm(conn, again=True)
    assert lobby.next() is conn


def test_a_connection_whose_time_is_over_is_the_callers(lobby: Lobby, make: Make) -> None:
    (_, old), (_, young) = make(), make()
    old.deadline, young.deadline = time.monotonic() - 1, time.monotonic() + 60
    lobby.admit(old)
    lobby.admit(young)
    assert lobby.expired() == [old]
    assert lobby.expired() == []
    lobby.drop(old)
    assert len(lobby) == 1


class Renewed(Connection):
    """A connection that is served between two looks at its deadline."""

    looks = 0

    @property
    def deadline(self) -> float:
        self.looks += 1
        return 0.0 if self.looks == 1 else math.inf

    @deadline.setter
    def deadline(self, value: float) -> None:
        pass


def test_a_connection_that_was_served_at_the_last_moment_is_not_ended(lobby: Lobby) -> None:
    client, server = socket.socketpair()
    with client:
        conn = Renewed(server, {}, Limits(), nullcontext)
        lobby.admit(conn)
        client.send(b"a")
        assert lobby.expired() == []
        assert conn.looks > 1
        assert lobby.next() is conn


def test_the_oldest_without_a_request_makes_room(lobby: Lobby, make: Make) -> None:
    (_, reading), (client, first), (_, second), (_, ending) = make(), make(), make(), make()
    reading.phase, ending.phase = READING, ENDING
    for conn in (reading, first, second, ending):
        lobby.admit(conn)
    assert first.phase == IDLE
    client.send(b"a")
    assert lobby.next() is first
    assert first.poll() == b"a"
    lobby.arm(first)
    assert lobby.oldest() is second
    assert lobby.oldest() is first
    assert lobby.oldest() is None


def test_one_that_has_sent_a_request_makes_no_room(lobby: Lobby, make: Make) -> None:
    (first, waits), (_, idle) = make(), make()
    lobby.admit(waits)
    lobby.admit(idle)
    first.send(b"GET / HTTP/1.1")
    assert lobby.oldest() is idle
    assert lobby.oldest() is None
    assert lobby.next() is waits


def test_a_held_connection_waits_for_its_deadline_only(lobby: Lobby, make: Make) -> None:
    client, conn = make()
    lobby.admit(conn)
    client.send(b"a")
    assert lobby.next() is conn
    lobby.hold(conn)
    client.send(b"b")
    lobby.wake_all()
    assert lobby.next() is None
    conn.deadline = 0.0
    assert lobby.expired() == [conn]


def test_hurry_shortens_every_wait(lobby: Lobby, make: Make) -> None:
    (_, far), (_, near) = make(), make()
    near.deadline = soon = time.monotonic() + 0.5
    lobby.admit(far)
    lobby.admit(near)
    lobby.hurry(1)
    assert far.deadline <= time.monotonic() + 1
    assert near.deadline == soon


def test_what_cannot_be_admitted_is_not_counted(lobby: Lobby, make: Make) -> None:
    _, conn = make()
    conn.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        lobby.admit(conn)
    assert len(lobby) == 0
    conn.deadline = 0.0
    assert lobby.expired() == []


class Late:
    """An epoll to which other threads are faster."""

    def __init__(self, epoll: select.epoll, others: Callable[[], None]) -> None:
        self._epoll = epoll
        self._others = others

    def modify(self, fd: int, event: int) -> None:
        self._others()
        self._epoll.modify(fd, event)

    def close(self) -> None:
        self._epoll.close()


def test_arming_one_that_was_ended_meanwhile_spares_the_next_on_its_descriptor(
    lobby: Lobby, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    (client, old), (_, new) = make(), make()
    lobby.admit(old)
    client.send(b"a")
    assert lobby.next() is old
    old.deadline = 0.0
    fd = new.fd

    def others() -> None:
        # The main thread ends it, and takes another, which is not registered yet.
        (ended,) = lobby.expired()
        lobby.drop(ended)
        new.fd = old.fd
        lobby.hold(new)

    monkeypatch.setattr(lobby, "_epoll", Late(lobby._epoll, others))
    lobby.arm(old)
    new.deadline = 0.0
    assert lobby.expired() == [new]
    new.fd = fd
    new.close()


def test_many_threads_lose_no_event(lobby: Lobby, make: Make) -> None:
    """16 connections, 3 threads that echo, one that ends and admits others all the time."""
    stop = threading.Event()

    def echo() -> None:
        while not stop.is_set():
            conn = lobby.next()
            if conn is None:
                continue
            data = conn.poll()
            if data == b"":
                lobby.drop(conn)
                continue
            if data:
                conn.send(data)
            lobby.arm(conn)

    threads = [threading.Thread(target=echo, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    kept = [make() for _ in range(16)]
    for _, conn in kept:
        lobby.admit(conn)
    for number in range(300):
        client, conn = make()
        client.settimeout(5)
        lobby.admit(conn)
        client.send(b"x")
        assert client.recv(10) == b"x"
        client.close()
        for other, _ in kept:
            other.settimeout(5)
            other.send(b"%d" % number)
        for other, _ in kept:
            assert other.recv(10) == b"%d" % number
    stop.set()
    lobby.wake_all()
    for thread in threads:
        thread.join(5)
    assert not any(thread.is_alive() for thread in threads)
