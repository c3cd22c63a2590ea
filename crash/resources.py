"""Processes and what they share: one master, workers that boot, the write lock, the map, readers, free pages.

Control: a server in which nobody watches the write lock.
"""

from __future__ import annotations

import logging
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from crash.live import FLAGS, Live, ask, clean, live, until
from crash.shared_index import CASES
from crash.suite import Outcome, Run, Suite
from tests.server.process import ROOT, environment

MASTERS = 100
BOOTS = 20
STOPS = 3
LIMIT = 10.0
GOES_ON = 2.0  # seconds after the limit within which the others write again

LONGEST = "ms at most behind a stopped holder"


def masters(outcome: Outcome, data: Path, count: int) -> None:
    """Start many servers on one directory at once: one serves, all others say why not and leave."""
    logs = [data.with_name(f"master-{number}") for number in range(count)]
    processes = []
    for log in logs:
        with open(log, "wb") as file:
            processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "s3shim", "serve", *FLAGS, "--data", str(data)],
                    cwd=ROOT,
                    env=environment(),
                    stdout=subprocess.DEVNULL,
                    stderr=file,
                    start_new_session=True,
                )
            )
    until(lambda: sum(process.poll() is None for process in processes) <= 1, 180)
    alive = [process for process in processes if process.poll() is None]
    outcome.counts["masters started at once"] += count
    outcome.counts["of them serving"] += len(alive)
    outcome.check(len(alive) == 1, f"{len(alive)} of {count} masters serve")
    for process, log in zip(processes, logs, strict=True):
        if process in alive:
            continue
        lines = log.read_text().splitlines()
        refused = len(lines) == 1 and "is in use by another server" in lines[0]
        outcome.check(
            process.returncode == 78 and refused, f"a master ended with {process.returncode}: {lines}"
        )
    for process in alive:
        process.terminate()
        outcome.check(process.wait(30) == 0, "the one master did not stop cleanly")
    clean(outcome, data)


def boots(outcome: Outcome, data: Path, count: int) -> None:
    """Start and stop a server of 8 workers again and again; each boot finds what the ones before wrote."""
    for number in range(count):
        with live(outcome, data, "--workers", "8") as running:
            client = running.client()
            if number == 0:
                client.request("PUT", "/boots")
            until(lambda running=running: len(running.workers()) == 8)
            found = [ask(client, "GET", f"/boots/{old}") for old in range(number)]
            held = [answer and answer.body for answer in found] == [b"%d" % old for old in range(number)]
            outcome.check(held, f"boot {number}: {found}")
            answer = ask(client, "PUT", f"/boots/{number}", b"%d" % number)
            outcome.check(answer is not None and answer.status == 200, f"boot {number}: {answer}")
            outcome.check(len(running.workers()) == 8, f"boot {number}: {running.workers()}")
            client.close()
        outcome.counts["boots of 8 workers"] += 1


def stopped_holder(outcome: Outcome, data: Path, count: int, limit: int) -> None:
    """Stop the worker that has the write lock: the others go on, it is killed and replaced."""
    running = Live(data, "--workers", "3", module=("crash.unfair", f"stops-for-{limit}"))
    client = running.client(timeout=60)
    client.request("PUT", "/held")
    acknowledged = []
    for number in range(count):
        workers = set(running.workers())
        with ThreadPoolExecutor(13) as pool:
            stopped = pool.submit(ask, running.client(), "PUT", "/held/stop-now", b"half" * 100)
            time.sleep(0.3)
            began = time.monotonic()
            puts = {
                f"/held/{number}-{n}": pool.submit(_put, running, f"/held/{number}-{n}", n) for n in range(12)
            }
            acknowledged += [target for target, put in puts.items() if put.result()]
            taken = time.monotonic() - began
            outcome.check(stopped.result() is None, "the stopped worker has answered")
        outcome.counts["holders stopped"] += 1
        outcome.counts[LONGEST] = max(outcome.counts[LONGEST], round(taken * 1000))
        outcome.check(taken <= limit + GOES_ON, f"writes went on after {taken:.1f} s")
        gone = until(lambda workers=workers: len(workers - set(running.workers())) == 1)
        outcome.check(gone, "not one worker was killed")
        replaced = until(lambda: len(running.workers()) == 3)
        outcome.check(replaced, "the killed worker was not replaced")
        absent = ask(client, "GET", "/held/stop-now")
        outcome.check(absent is not None and absent.status == 404, f"half a put is there: {absent}")
    found = [ask(client, "GET", target) for target in acknowledged]
    outcome.check(all(answer and answer.status == 200 for answer in found), "acknowledged puts are lost")
    outcome.check(len(acknowledged) >= 6 * count, f"only {len(acknowledged)} puts were acknowledged")
    outcome.counts["puts acknowledged behind them"] += len(acknowledged)
    outcome.check(running.stop() == 0, "the server did not stop cleanly")
    clean(outcome, data)


def _put(running: Live, target: str, number: int) -> bool:
    client = running.client(timeout=60)
    answer = ask(client, "PUT", target, bytes([number]) * (100 if number % 2 else 80_000))
    client.close()
    return answer is not None and answer.status == 200


def unwatched(data: Path) -> bool:
    """Return whether writes hang behind a stopped worker where nobody watches."""
    running = Live(data, "--workers", "3", module=("crash.unfair", "stops-unwatched"))
    try:
        client = running.client(timeout=4)
        client.request("PUT", "/held")
        with ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(ask, running.client(timeout=5), "PUT", "/held/stop-now", b"half")
            time.sleep(0.3)
            hangs = ask(client, "PUT", "/held/other", b"other") is None
            stopped.result()
        return hangs
    finally:
        running.stop(signal.SIGKILL)
        until(lambda: not running.workers())


def run(run: Run) -> Outcome:
    """Run everything with ``rounds`` percent of its full number."""
    outcome = Outcome(Counter({"masters started at once": 0}))
    share = run.rounds / 100
    logging.getLogger("s3shim").addHandler(logging.NullHandler())  # it warns of what is done to it here

    def timed(name: str, began: float) -> None:
        run.say(f"{name}: {time.monotonic() - began:.1f} s")

    began = time.monotonic()
    masters(outcome, run.work / "masters", max(12, int(MASTERS * share)))
    timed("masters", began)
    began = time.monotonic()
    boots(outcome, run.work / "boots", max(2, int(BOOTS * share)))
    timed("boots", began)
    began = time.monotonic()
    short = share < 1
    stopped_holder(outcome, run.work / "holder", 1 if short else STOPS, 1 if short else int(LIMIT))
    timed("stopped holders", began)
    if outcome.check(unwatched(run.work / "unwatched"), "control stops-unwatched is not caught"):
        outcome.counts["controls caught"] += 1
    for case in CASES:
        began = time.monotonic()
        place = run.work / case.__name__
        place.mkdir()
        case(outcome, place, share, random.Random(run.seed))
        timed(case.__name__.replace("_", " "), began)
    return outcome


SUITE = Suite("resources", 100, run)
