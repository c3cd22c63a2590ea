"""Stops, reloads and deaths of single processes under load: what may finish does, and nothing is lost.

Controls: a server that acknowledges before the commit, and one whose workers stop without waiting.
"""

from __future__ import annotations

import http.client
import os
import random
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from crash.load import Caller, Gone, Writer
from crash.suite import Outcome, Run, Suite
from crash.target import DidNotStart, Target
from crash.trial import Trial, zeros
from tests.wire.answer import Answer
from tests.wire.signing import Draft

ROUNDS = 170
GRACEFUL = 2
WORKERS = 2
EXTRA = 5.0  # seconds that a stop may take beyond the graceful time-out
SLOW = "grace"
SIZE = 200_000
CONTROL_ROUNDS = 10
ROUNDS_OF_A_STORE = 20

SHORT, LONG = 0.4, 60.0  # seconds that an upload takes: one that may finish, and one that may not


class Stoppable(Target):
    """The server with a short graceful time-out."""

    def __init__(self, data: Path, logs: Path, module: tuple[str, ...] = ("s3shim",)) -> None:
        super().__init__(data, logs, module)
        self._arguments += ["--graceful-timeout", str(GRACEFUL)]

    def client(self) -> Tracked:
        """See Target."""
        made = super().client()
        return Tracked(*made.address, made.signer.access_key, made.signer.secret_key)


class Tracked(Caller):
    """Notes the local port of each connection on which an answer was lost."""

    def __init__(self, address: str, port: int, access_key: str, secret_key: str) -> None:
        super().__init__(address, port, access_key, secret_key)
        self.lost: list[int] = []

    def send(self, draft: Draft) -> Answer:
        """See Caller."""
        port = 0
        try:
            kept = getattr(self._local, "connection", None)
            if kept is None:
                kept = self._local.connection = _connect(self.address, self.timeout)
            port = kept.getsockname()[1]
            return super().send(draft)
        except (OSError, http.client.HTTPException):
            self.lost.append(port)
            raise


def _connect(address: tuple[str, int], timeout: float) -> socket.socket:
    try:
        made = socket.create_connection(address, timeout)
    except OSError as error:
        raise Gone from error
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


class SlowPut(threading.Thread):
    """An upload that takes ``seconds``; ``status`` is that of its answer, 0 without one."""

    def __init__(self, client: Caller, key: str, seconds: float) -> None:
        super().__init__(daemon=True)
        self.key = key
        self.status = 0
        self.begun = threading.Event()
        self._client = client
        self._pause = seconds / 20

    def run(self) -> None:
        """Send it."""
        try:
            answer = self._client.request(
                "PUT",
                f"/{SLOW}/{self.key}",
                {"Content-Length": str(SIZE)},
                self._body(),
                payload="unsigned",
            )
            self.status = answer.status
        except (OSError, http.client.HTTPException, Gone):
            self.status = 0
        finally:
            self.begun.set()
            self._client.close()

    def _body(self) -> Iterator[bytes]:
        for number in range(20):
            yield bytes([number]) * (SIZE // 20)
            self.begun.set()
            time.sleep(self._pause)


class Stops:
    """One store through many stops."""

    def __init__(
        self, work: Path, outcome: Outcome, dice: random.Random, module: tuple[str, ...] = ("s3shim",)
    ) -> None:
        self.outcome = outcome
        self.dice = dice
        work.mkdir()
        self.target = Stoppable(work / "data", work, module)
        self.trial = Trial(self.target, outcome, dice)
        self.trial.begin()
        client = self.target.client()
        client.request("PUT", f"/{SLOW}")
        client.close()

    def stopped(self, number: int, *, long: bool) -> None:
        """Stop the server by the signal ``number`` under load, and start it again."""
        slow = [SlowPut(self.target.client(), f"short-{time.monotonic_ns()}", SHORT)]
        if long:
            slow.append(SlowPut(self.target.client(), f"long-{time.monotonic_ns()}", LONG))
        self.trial.load(lambda _: self._stop(number, slow))
        for put in slow:
            put.join()
        graceful = number == signal.SIGTERM
        self.trial.inspect()
        self.trial.recover()
        client = self.target.client()
        for put in slow:
            found = client.request("GET", f"/{SLOW}/{put.key}").status
            if (found == 200) != (put.status == 200) and put.status:
                self.trial.fail(f"{put.key} was answered {put.status}, then {found}")
            short = put.key.startswith("short")
            if graceful and put.status != (200 if short else 0):
                self.trial.fail(f"{put.key} was answered {put.status} at a graceful stop")
            if not short and found == 200:
                self.trial.fail(f"{put.key} is there though it was cut")
            if graceful:
                self.outcome.counts["finished in the grace" if short else "cut after it"] += 1
        client.close()

    def _stop(self, number: int, slow: list[SlowPut]) -> None:
        for put in slow:
            put.start()
            put.begun.wait()
        self._wait(0.02, 0.3)
        began = time.monotonic()
        os.kill(self.target.pid, number)
        code = self.target.wait()
        taken = time.monotonic() - began
        self.outcome.counts["stops"] += 1
        if code != 0:
            self.trial.fail(f"signal {number}: the server ended with {code}")
        if taken > GRACEFUL + EXTRA:
            self.trial.fail(f"signal {number}: the end took {taken:.1f} s")

    def reload(self) -> None:
        """SIGHUP: new workers take over, and no request fails."""
        old = set(self.target.workers())
        slow = SlowPut(self.target.client(), f"reload-{time.monotonic_ns()}", SHORT)
        before = self.outcome.counts["unanswered"]

        def reload(_: list[Writer]) -> None:
            slow.start()
            slow.begun.wait()
            os.kill(self.target.pid, signal.SIGHUP)
            if not _until(lambda: not old & set(self.target.workers()), GRACEFUL + EXTRA):
                self.trial.fail("the old workers do not leave after SIGHUP")
            self._wait(0.02, 0.1)

        self.trial.load(reload)
        slow.join()
        self.outcome.counts["reloads"] += 1
        lost = self.outcome.counts["unanswered"] - before
        if lost or slow.status != 200:
            self.trial.fail(f"SIGHUP: {lost} requests were lost, the slow one was answered {slow.status}")

    def master_killed(self) -> None:
        """The master dies: its workers leave, and the next server starts at once."""
        began = 0.0

        def kill(_: list[Writer]) -> None:
            nonlocal began
            self._wait(0.02, 0.3)
            began = time.monotonic()
            os.kill(self.target.pid, signal.SIGKILL)
            self.target.wait()

        self.trial.load(kill)
        self._longest("ms until the workers left a dead master", time.monotonic() - began)
        self.trial.inspect()
        self.trial.recover()
        self.outcome.counts["masters killed"] += 1

    def workers_killed(self, count: int) -> None:
        """Workers die one after the other: only what they served is lost, and others take their place."""

        def kill(writers: list[Writer]) -> None:
            served: set[int] = set()
            for _ in range(count):
                self._wait(0.05, 0.3)
                self._kill_one(writers, served)

        self.trial.load(kill)

    def _kill_one(self, writers: list[Writer], served: set[int]) -> None:
        alive = set(self.target.workers())
        victim = self.dice.choice(sorted(alive))
        os.kill(victim, signal.SIGSTOP)  # so that it takes no other connection
        time.sleep(0.01)
        served |= ports_of(victim)
        began = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        if not _until(lambda: any(map(_serves, set(self.target.workers()) - alive)), 10):
            self.trial.fail("no worker took the place of one that was killed")
        self._longest("ms until the next worker served", time.monotonic() - began)
        time.sleep(0.05)
        self.outcome.counts["workers killed"] += 1
        for writer in writers:
            assert isinstance(writer.client, Tracked)
            if not served.issuperset(writer.client.lost):
                self.trial.fail("a request was lost that no killed worker served")

    def _wait(self, low: float, high: float) -> None:
        time.sleep(self.dice.uniform(low, high))

    def _longest(self, name: str, seconds: float) -> None:
        self.outcome.counts[name] = max(self.outcome.counts[name], round(seconds * 1000))

    def close(self) -> None:
        """Kill what runs."""
        self.target.kill()


def ports_of(pid: int) -> set[int]:
    """Return the client's ports of the TCP connections that a process has open."""
    inodes = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            continue
        if found:
            inodes.add(found[1])
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[2].rpartition(":")[2], 16) for row in rows if row[9] in inodes}


def _serves(pid: int) -> bool:
    # It has the index mapped, so it is at its requests or about to.
    try:
        return "data.mdb" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


def _until(come: object, seconds: float) -> bool:
    assert callable(come)
    deadline = time.monotonic() + seconds
    while not come():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def run(run: Run) -> Outcome:
    """Run the rounds: stops by SIGTERM; a tenth as many of each other kind; then the controls."""
    names = ("stops", "finished in the grace", "cut after it", "reloads", "masters killed", "workers killed")
    outcome = Outcome(zeros(*names))
    dice = random.Random(run.seed)
    few = max(1, run.rounds // 10)
    stops = None
    try:
        for number in range(run.rounds):
            outcome.counts["rounds"] += 1
            if stops is None or stops.trial.broken or number % ROUNDS_OF_A_STORE == 0:
                if stops is not None:
                    stops.close()
                stops = Stops(run.work / f"store-{number}", outcome, dice)
            stops.stopped(signal.SIGTERM, long=number % 10 == 1)
            if number < few:
                stops.stopped(signal.SIGINT, long=number % 2 == 1)
                stops.stopped(signal.SIGQUIT, long=number % 2 == 0)
                stops.reload()
                stops.workers_killed(5)
                stops.master_killed()
            if number % 50 == 49:
                run.say(outcome.line())
    except (DidNotStart, TimeoutError) as error:
        outcome.check(False, str(error))
    finally:
        if stops is not None:
            stops.close()
    _controls(run, outcome, dice)
    return outcome


def _controls(run: Run, outcome: Outcome, dice: random.Random) -> None:
    for name, module, number in (
        ("early-acknowledgement", "crash.broken", signal.SIGQUIT),
        ("abrupt-stop", "crash.unfair", signal.SIGTERM),
    ):
        found = Outcome(zeros())
        stops = Stops(run.work / name, found, dice, (module, name))
        try:
            for _ in range(CONTROL_ROUNDS):
                stops.stopped(number, long=False)
                if found.failures:
                    break
        finally:
            stops.close()
        if outcome.check(bool(found.failures), f"control {name} is not caught"):
            outcome.counts["controls caught"] += 1


SUITE = Suite("stops", ROUNDS, run)
