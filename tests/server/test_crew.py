"""The crew: who waits for a client is stood in for, and the seats are as many as they were."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, Queue

import pytest

from s3shim.server.crew import MOST_HELD, Crew, NotSpared

Job = Callable[[], None]


class Jobs:
    """What a crew works on; ``seen`` are the threads that have."""

    def __init__(self) -> None:
        self.queue: Queue[Job] = Queue()
        self.seen: set[int] = set()

    def work(self) -> None:
        try:
            job = self.queue.get(timeout=0.05)
        except Empty:
            return
        self.seen.add(threading.get_ident())
        job()

    def put(self, job: Job) -> None:
        self.queue.put(job)


class Busy:
    """Jobs that run until they are told to end, and how many run now."""

    def __init__(self, away: Callable[[], object] | None = None) -> None:
        self.end = threading.Event()
        self.running = 0
        self.refused = 0
        self._lock = threading.Lock()
        self._away = away

    def __call__(self) -> None:
        if self._away is None:
            self._run()
            return
        try:
            with self._away():
                self._run()
        except TimeoutError:
            self.refused += 1

    def _run(self) -> None:
        with self._lock:
            self.running += 1
        self.end.wait(10)
        with self._lock:
            self.running -= 1


def until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not true() and time.monotonic() < deadline:
        time.sleep(0.002)
    return true()


@pytest.fixture
def jobs() -> Jobs:
    return Jobs()


@pytest.fixture
def crew(jobs: Jobs) -> Iterator[Crew]:
    made = Crew(jobs.work, 2, 5)
    made.start()
    yield made
    made.end()
    assert until(lambda: made.gone)


def test_those_who_wait_leave_the_seats_to_others(crew: Crew, jobs: Jobs) -> None:
    waiting, working = Busy(crew.away), Busy()
    for _ in range(3):
        jobs.put(waiting)
    assert until(lambda: waiting.running == 3)
    for _ in range(4):
        jobs.put(working)
    assert until(lambda: working.running == 2)
    time.sleep(0.1)
    assert working.running == 2  # the seats, and no more
    working.end.set()
    waiting.end.set()
    assert until(lambda: working.running + waiting.running == 0)


def test_stand_ins_end_when_those_who_waited_are_back(crew: Crew, jobs: Jobs) -> None:
    for _ in range(5):
        _wait_and_work(crew, jobs)


def _wait_and_work(crew: Crew, jobs: Jobs) -> None:
    waiting = Busy(crew.away)
    for _ in range(3):
        jobs.put(waiting)
    assert until(lambda: waiting.running == 3)
    waiting.end.set()
    assert until(lambda: waiting.running == 0)
    working = Busy()
    for _ in range(5):
        jobs.put(working)
    assert until(lambda: working.running >= 2)
    time.sleep(0.06)
    assert working.running <= 3  # the seats, and one that may be needed soon
    working.end.set()
    assert until(lambda: working.running == 0 and jobs.queue.empty())


def test_what_waits_for_slow_clients_is_bounded(crew: Crew) -> None:
    for _ in range(2):
        with crew.away(MOST_HELD - 10):
            with crew.away(10), crew.away(0), pytest.raises(NotSpared, match="too much"), crew.away(1):
                pytest.fail("it was let go")
            with crew.away(10):
                pass


def test_the_last_seats_are_not_left(crew: Crew, jobs: Jobs) -> None:
    waiting = Busy(crew.away)
    for _ in range(8):
        jobs.put(waiting)
    assert until(lambda: waiting.running == 4)
    assert until(lambda: waiting.refused == 4)
    done = threading.Event()
    jobs.put(done.set)
    assert done.wait(5)
    waiting.end.set()
    assert until(lambda: waiting.running == 0)
    working = Busy()
    for _ in range(5):
        jobs.put(working)
    assert until(lambda: working.running in (2, 3))
    time.sleep(0.1)
    assert working.running in (2, 3)
    working.end.set()


def test_a_system_without_threads_takes_no_seat_away(
    crew: Crew, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(_: Crew) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Crew, "_spawn", no_thread)
    waiting = Busy(crew.away)
    for _ in range(3):
        jobs.put(waiting)
    assert until(lambda: waiting.running == 1)
    assert until(lambda: waiting.refused == 2)
    done = threading.Event()
    jobs.put(done.set)
    assert done.wait(5)
    waiting.end.set()
    assert until(lambda: waiting.running == 0)


def test_a_crew_that_has_ended_is_gone(jobs: Jobs) -> None:
    crew = Crew(jobs.work, 3, 5)
    crew.start()
    waiting = Busy(crew.away)
    jobs.put(waiting)
    assert until(lambda: waiting.running == 1)
    crew.end()
    time.sleep(0.15)
    assert not crew.gone
    waiting.end.set()
    assert until(lambda: crew.gone)
