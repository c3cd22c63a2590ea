"""Kills over NATS: the gateway, nats-server, or both die at a random moment under load.

Every second round the server dies too; it syncs always. After each round another gateway reads everything,
and sweeps as if a long time had passed. Control: a gateway that acknowledges before it has stored.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from crash.content import Piece
from crash.suite import Outcome, Run, Suite
from tests.nats.rig import BUCKET, check_sound, ready, started, until
from tests.nats_server import NatsServer
from tests.server.process import ROOT, environment

SHORTEST, LONGEST = 0.1, 1.0
CONTROL_ROUNDS = 20


def run(run: Run) -> Outcome:
    """Run the rounds, then the control."""
    outcome = Outcome()
    for what in ("rounds", "gateways killed", "servers killed", "acknowledged changes", "unanswered"):
        outcome.counts[what] = 0
    dice = random.Random(run.seed)
    with _Place(run.work / "store", dice) as place:
        for number in range(run.rounds):
            place.play(outcome, "right", both=bool(number % 2))
    control = Outcome()
    with _Place(run.work / "control", dice) as place:
        for number in range(1, CONTROL_ROUNDS + 1):
            place.play(control, "early", both=bool(number % 2))
            if control.failures:
                outcome.counts["controls caught"] += 1
                run.say(f"control: caught in round {number}: {control.failures[0]}")
                break
    outcome.check(bool(control.failures), "what is acknowledged too early is not caught")
    return outcome


SUITE = Suite("nats-kills", 100, run)


class _Place:
    """A server, and what its bucket holds by key: the data, None where there is no object."""

    def __init__(self, path: Path, dice: random.Random) -> None:
        self._path = path
        self._dice = dice
        self._server = NatsServer(path / "server", sync='"always"')
        self._held: dict[str, bytes | None] = defaultdict(lambda: None)

    def __enter__(self) -> _Place:
        self._server.start()
        with started(self._path / "first", self._server.url) as backend:
            backend.create_bucket(BUCKET)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()

    def play(self, outcome: Outcome, how: str, *, both: bool) -> None:
        """Let a gateway work and die, and look at what is left."""
        lines = self._work(outcome, how, both)
        outcome.counts["rounds"] += 1
        with started(self._path / "judge", self._server.url, timeout=5.0) as backend:
            until(10, lambda: ready(backend))
            try:
                found = check_sound(backend)
            except Exception as error:
                outcome.failures.append(f"the bucket is not sound: {error!r}")
                return
        self._judge(outcome, lines, found)

    def _work(self, outcome: Outcome, how: str, both: bool) -> list[str]:
        command = [sys.executable, "-m", "crash.nats_victim", self._server.url, str(self._path / "victim")]
        process = subprocess.Popen(
            [*command, str(self._dice.random()), how], stdout=subprocess.PIPE, cwd=ROOT, env=environment()
        )
        assert process.stdout is not None
        try:
            first = process.stdout.readline()
            time.sleep(self._dice.uniform(SHORTEST, LONGEST))
            if both:
                self._server.kill()
                outcome.counts["servers killed"] += 1
                self._server.start()
                time.sleep(self._dice.uniform(SHORTEST, LONGEST))
        finally:
            process.send_signal(signal.SIGKILL)
            rest = process.stdout.read()
            process.wait()
            process.stdout.close()
        outcome.counts["gateways killed"] += 1
        outcome.check(bool(first), "the gateway did not begin")
        return (first + rest).decode().splitlines()

    def _judge(self, outcome: Outcome, lines: list[str], found: dict[str, bytes]) -> None:
        allowed: dict[str, list[bytes | None]] = {}
        begun: dict[str, bytes | None] = {}
        for line in lines:
            what, key, version, size = line.split()
            possible = allowed.setdefault(key, [self._held[key]])
            data = None if int(size) < 0 else Piece(key, int(version), int(size)).data
            if what == "done":
                outcome.counts["acknowledged changes"] += 1
                possible[:] = [data]
                begun.pop(key, None)
            else:
                outcome.counts["unanswered"] += key in begun
                begun[key] = data
                possible.append(data)
        outcome.counts["unanswered"] += len(begun)
        for key, possible in allowed.items():
            # One that was refused may have been done; the next one of the key came after it.
            outcome.check(found.get(key) in possible, f"{key} is none of {len(possible)} that it may be")
        for key in self._held.keys() - allowed.keys():
            outcome.check(found.get(key) == self._held[key], f"{key} has changed though nobody changed it")
        self._held.update(dict.fromkeys(self._held.keys() | allowed.keys()) | found)
