"""Histories of a real server: many clients, few keys, workers killed; is every key a register?

The value of a register is the ETag of its body; each body is written once only and says what it is, so a
read also proves that it is whole.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path

from crash.fleet import LOST, Fleet, OnceClient, Site, body_of, children, etag_of, is_whole, results
from crash.linearizable import NEVER, OK, REFUSED, UNKNOWN, Operation, explain
from crash.suite import Outcome, Run, Suite
from s3shim.backends.local.fsck import check
from tests.server.process import Server, serve

PROCESSES = 4
CLIENTS = 16
KEYS = 8
SECONDS = 20.0
SIZES = (100, 3_000, 70_000, 200_000)  # two in the index, two in files
FLAGS = ("--workers", "4", "--threads", "8", "--grace", "1", "--log-level", "error")
KINDS = ("get",) * 5 + ("head",) * 2 + ("put",) * 4 + ("delete",) * 2 + ("create",) * 2 + ("swap",) * 3
REQUESTS_OF_A_CONNECTION = 20
BUCKET = "/history"
STALE = ["-m", "crash.stale_server", "serve"]


@dataclass(frozen=True, slots=True)
class Job:
    """What one client does: requests until ``until`` (time.monotonic), chosen by ``seed``."""

    site: Site
    seed: int
    until: float


@dataclass(slots=True)
class Log:
    """What one client saw: (key, operation) each, answers that must not be, bodies that were not whole."""

    operations: list[tuple[str, Operation]]
    strange: list[str]
    broken: list[str]


class Caller:
    """One client."""

    def __init__(self, job: Job) -> None:
        self.random = random.Random(job.seed)
        self.name = f"client{job.seed}"
        self.until = job.until
        self.client: OnceClient = job.site.client()
        self.log = Log([], [], [])
        self.seen: dict[str, str | None] = {}

    def run(self) -> Log:
        """Make requests until the time is up."""
        number = 0
        while time.monotonic() < self.until:
            number += 1
            if number % REQUESTS_OF_A_CONNECTION == 0:
                self.client.close()
            self.request(f"key{self.random.randrange(KEYS)}", self.random.choice(KINDS), number)
        self.client.close()
        return self.log

    def request(self, key: str, kind: str, number: int) -> None:
        """Make one request and write down what came of it."""
        method = {"get": "GET", "head": "HEAD", "delete": "DELETE"}.get(kind, "PUT")
        body = b""
        if method == "PUT":
            body = body_of(f"{self.name}-{number}", self.random.choice(SIZES))
        headers, wanted = {}, None
        if kind == "create":
            headers["If-None-Match"] = "*"
        elif kind == "swap":
            wanted = self.seen.get(key) or "0" * 32
            headers["If-Match"] = f'"{wanted}"'
        value = etag_of(body) if method == "PUT" else None
        began = time.monotonic()
        try:
            answer = self.client.request(method, f"{BUCKET}/{key}", headers, body)
        except LOST:
            operation = Operation("get" if kind == "head" else kind, began, began, value, wanted, UNKNOWN)
            self.log.operations.append((key, operation))
            return
        ended = time.monotonic()
        outcome = OK
        if kind in ("get", "head") and answer.status == 200:
            value = answer.headers["etag"].strip('"')
            if kind == "get" and not (is_whole(answer.body) and etag_of(answer.body) == value):
                self.log.broken.append(f"{key}: {len(answer.body)} bytes, {answer.body[:40]!r}")
        elif answer.status == 412 or (kind == "swap" and answer.status == 404):
            outcome = REFUSED
        elif answer.status not in (200, 204) and not (method in ("GET", "HEAD") and answer.status == 404):
            self.log.strange.append(f"{kind}: {answer.status} {answer.code}")
            outcome = UNKNOWN
        if outcome == OK:
            self.seen[key] = value
        operation = Operation("get" if kind == "head" else kind, began, ended, value, wanted, outcome)
        self.log.operations.append((key, operation))


def call(job: Job) -> Log:
    """Be one client."""
    return Caller(job).run()


def disturb(server: Server, chosen: random.Random, until: float) -> Counter[str]:
    """Kill a worker about every second, or let the server reload; return how often each was done."""
    done: Counter[str] = Counter()
    events = 0
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, chosen.uniform(0.7, 1.3)))
        workers = children(server.process.pid)
        events += 1
        if events % 4 == 2:
            server.process.send_signal(signal.SIGHUP)
            done["reloads"] += 1
        elif workers:
            with suppress(ProcessLookupError):
                os.kill(chosen.choice(workers), signal.SIGKILL)
                done["workers killed"] += 1
    return done


def record(server: Server, fleet: Fleet, seed: int, seconds: float) -> tuple[list[Log], Counter[str]]:
    """Let the clients work for some time while workers die; return what they saw."""
    site = Site.of(server)
    keeper = site.client()
    assert keeper.request("PUT", BUCKET).status == 200
    keeper.close()
    until = time.monotonic() + seconds
    jobs = [Job(site, seed * 1000 + number, until) for number in range(CLIENTS)]
    running = fleet.start(call, jobs, CLIENTS // PROCESSES)
    done = disturb(server, random.Random(seed), until)
    logs = results(running)
    # What is there at the end is a part of the history.
    last = Caller(Job(site, seed, NEVER))
    for number in range(KEYS):
        last.request(f"key{number}", "get", number)
    last.client.close()
    return [*logs, last.log], done


def by_key(logs: list[Log]) -> dict[str, list[Operation]]:
    """Return the history of each key."""
    pairs = sorted((pair for log in logs for pair in log.operations), key=lambda pair: pair[0])
    return {key: [one for _, one in group] for key, group in groupby(pairs, key=lambda pair: pair[0])}


def violations(logs: list[Log]) -> list[str]:
    """Return what no order of the operations explains, and what must not be in any answer."""
    found = [line for log in logs for line in log.strange + log.broken]
    for key, operations in by_key(logs).items():
        piece = explain(operations)
        if piece is not None:
            found.append(f"{key} is not linearizable at {piece[:4]}")
    return found


def with_a_stale_read(operations: list[Operation]) -> list[Operation] | None:
    """Return a history with one result changed to what had been overwritten, None where none can be."""
    written = sorted(
        (one for one in operations if one.kind == "put" and one.outcome == OK), key=lambda one: one.began
    )
    for at, one in enumerate(operations):
        if one.kind == "get" and one.outcome == OK:
            before = [put for put in written if put.ended < one.began]
            newest = before[-1] if before else None
            older = [put for put in before if newest is not None and put.ended < newest.began]
            if older and older[-1].value != one.value:
                return [*operations[:at], replace(one, value=older[-1].value), *operations[at + 1 :]]
    return None


def play(
    work: Path, fleet: Fleet, seed: int, seconds: float, arguments: list[str] | None = None
) -> tuple[list[Log], Counter[str], list[str]]:
    """Run a server with clients; return their logs, what was done to it, and what is wrong with its store.

    ``arguments`` of Python run another server than ``s3shim serve``.
    """
    directory = work / f"history-{seed}"
    directory.mkdir()
    data = ["--data", str(directory / "data"), "--listen", "127.0.0.1:0", "--allow-root"]
    if arguments is None:
        server = serve(directory, *FLAGS)
    else:
        server = Server([*arguments, *data, *FLAGS], directory / "stderr")
    try:
        logs, done = record(server, fleet, seed, seconds)
    finally:
        code = server.stop()
    problems = check(directory / "data", deep=True).problems
    if code:
        problems.append(f"the server ended with {code}: {server.stderr[-500:]}")
    return logs, done, problems


def run(job: Run) -> Outcome:
    """Take ``rounds`` histories."""
    return take(job, SECONDS)


def take(job: Run, seconds: float) -> Outcome:
    """Take ``rounds`` histories of ``seconds`` each, and try the controls."""
    outcome = Outcome()
    with Fleet(PROCESSES) as fleet:
        swapped = _take(outcome, job, fleet, seconds)
        stale = any(
            violations(play(job.work, fleet, job.seed % 1_000_000 + job.rounds + number, 3, STALE)[0])
            for number in range(3)
        )
    outcome.check(stale, "a server that answers from a stale cache was not caught")
    outcome.counts["stale servers caught"] = int(stale)
    outcome.check(swapped > 0, "no history had a read that could be changed to a stale one")
    return outcome


def _take(outcome: Outcome, job: Run, fleet: Fleet, seconds: float) -> int:
    counts = outcome.counts
    counts["histories"] = job.rounds
    swapped = caught = 0
    for number in range(job.rounds):
        seed = job.seed % 1_000_000 + number
        logs, done, problems = play(job.work, fleet, seed, seconds)
        found = violations(logs)
        outcome.failures += [f"seed {seed}: {line}" for line in [*found[:20], *problems[:20]]]
        operations = [one for log in logs for _, one in log.operations]
        counts["operations"] += len(operations)
        counts["of unknown outcome"] += sum(one.outcome == UNKNOWN for one in operations)
        counts["workers killed"] += done["workers killed"]
        counts["reloads"] += done["reloads"]
        for history in by_key(logs).values():
            wrong = with_a_stale_read(history)
            if wrong is not None:
                swapped += 1
                caught += explain(wrong) is not None
        job.say(f"seed {seed}: {len(operations):,} operations, {len(found)} violations")
    counts["violations"] = len(outcome.failures)
    counts["stale reads put in and caught"] = caught
    outcome.check(caught == swapped, f"{swapped - caught} of {swapped} stale reads were not noticed")
    return swapped


SUITE = Suite("history", 10, run)
