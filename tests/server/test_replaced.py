"""Workers that make way for others, at SIGHUP and after so many requests: no request fails."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from tests.server.process import Server, workers

PID = b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n"


class Asking(AbstractContextManager["Asking"]):
    """Clients that ask all the time which worker they have; half of them keep their connections."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.pids: list[int] = []
        self.failed: list[BaseException] = []
        self._done = threading.Event()
        runs = [self._keep, self._keep, self._come_and_go, self._come_and_go]
        self._threads = [threading.Thread(target=self._watch, args=(run,)) for run in runs]
        for thread in self._threads:
            thread.start()

    def _watch(self, run: Callable[[], None]) -> None:
        try:
            run()
        except BaseException as error:
            self.failed.append(error)

    def _keep(self) -> None:
        while not self._done.is_set():
            with self.server.connect() as client:
                kept = True
                while kept and not self._done.is_set():
                    client.send(PID)
                    answer = client.answer()
                    self.pids.append(int(answer.body))
                    kept = answer.headers["connection"] == "keep-alive"
                    time.sleep(0.002)

    def _come_and_go(self) -> None:
        while not self._done.is_set():
            self.pids.append(int(self.server.ask(PID).body))
            time.sleep(0.002)

    def until(self, true: Callable[[], bool]) -> None:
        """Wait, and demand that no request fails meanwhile."""
        deadline = time.monotonic() + 20
        while not true():
            assert not self.failed
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()


def test_a_reload_fails_no_request(start: Callable[..., Server]) -> None:
    server = start("workers=2")
    with Asking(server) as asking:
        asking.until(lambda: len(asking.pids) > 20)
        old = set(workers(server))
        server.process.send_signal(signal.SIGHUP)
        asking.until(lambda: old.isdisjoint(workers(server)) and len(workers(server)) == 2)
        so_far = len(asking.pids)
        asking.until(lambda: len(asking.pids) > so_far + 20)
    assert not asking.failed
    assert old.isdisjoint(asking.pids[so_far:])
    assert not old.isdisjoint(asking.pids)


def test_a_worker_that_has_served_its_requests_is_replaced(start: Callable[..., Server]) -> None:
    server = start("max_requests=50")
    with Asking(server) as asking:
        asking.until(lambda: len(set(asking.pids)) >= 3)
    assert not asking.failed
    first, second = list(dict.fromkeys(asking.pids))[:2]
    assert asking.pids.count(first) >= 50
    assert asking.pids.count(second) >= 50
