"""Kills: the server dies at a random moment under load, whole or in part, and starts again.

Controls: servers that acknowledge before the commit, and that write an object in two commits.
"""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

from crash.load import Writer
from crash.oracle import HALF, LOST
from crash.rounds import LONGEST, SHORTEST, STARTS, Rounds
from crash.suite import Outcome, Run, Suite
from crash.target import PATIENCE, Target, wait, wait_until
from crash.trial import Trial, zeros

CONTROL_ROUNDS = 10

WHOLE, STOPPED, MASTER, WORKER, CLEAN = (
    "whole server",
    "whole server while stopped",
    "master alone",
    "one worker first",
    "clean stop",
)
DECK = (WHOLE, WHOLE, WHOLE, WHOLE, STOPPED, STARTS, STARTS, MASTER, WORKER, CLEAN)

CONTROLS = (
    ("early-acknowledgement", {"put": 10, "remove": 1}, LOST),
    ("two-commits", {"put": 10, "remove": 1}, HALF),
)


def run(run: Run) -> Outcome:
    """Run the rounds, then the controls."""
    outcome = Outcome(zeros("kills"))
    dice = random.Random(run.seed)
    _Kills(run, outcome, dice, DECK).all(run)
    for name, mix, kind in CONTROLS:
        needed = _caught(run.work / name, name, mix, kind, dice)
        if outcome.check(needed > 0, f"control {name} is not caught in {CONTROL_ROUNDS} rounds"):
            outcome.counts["controls caught"] += 1
            run.say(f"control {name}: caught in round {needed}")
    return outcome


SUITE = Suite("kills", 200, run)


class _Kills(Rounds):
    def make(self, number: int) -> Trial:
        place = self.work / f"store-{number}"
        place.mkdir()
        return Trial(Target(place / "data", place), self.outcome, self.dice)

    def end(self, way: str, trial: Trial, writers: list[Writer]) -> None:
        target = trial.target

        def acknowledged() -> int:
            return sum(writer.counts["acknowledged writes"] for writer in writers)

        wait(self.dice, SHORTEST, LONGEST)
        self.outcome.counts["kills"] += way != CLEAN
        if way == MASTER:
            os.kill(target.pid, signal.SIGKILL)
            target.wait()
            return
        if way == CLEAN:
            os.kill(target.pid, signal.SIGTERM)
            code = target.wait()
            if code != 0:
                trial.fail(f"a clean stop ends with {code}")
            return
        if way == WORKER:
            os.kill(self.dice.choice(target.workers()), signal.SIGKILL)
            served = acknowledged()
            if not wait_until(lambda: acknowledged() > served, PATIENCE):
                trial.fail("a worker was killed and the others did not go on")
            wait(self.dice, SHORTEST, LONGEST)
            self.outcome.counts["kills"] += 1
        if way == STOPPED:
            target.signal(signal.SIGSTOP)
            wait(self.dice, 0, 0.05)
        target.kill()

    def end_starts(self, target: Target, times: int) -> None:
        for _ in range(times):
            with target.starting(self.dice):
                self.outcome.counts["kills"] += 1


def _caught(place: Path, name: str, mix: dict[str, int], kind: str, dice: random.Random) -> int:
    # In which round a server that breaks its word is caught; 0 for never.
    place.mkdir()
    outcome = Outcome(zeros())
    target = Target(place / "data", place, ("crash.broken", name))
    trial = Trial(target, outcome, dice, mix)
    try:
        trial.begin()
        for number in range(1, CONTROL_ROUNDS + 1):

            def end(_: object) -> None:
                wait(dice, SHORTEST, LONGEST)
                target.kill()

            trial.load(end)
            trial.recover()
            if outcome.counts[kind]:
                return number
        return 0
    finally:
        target.kill()
