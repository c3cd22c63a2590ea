"""Kills: the server dies at a random moment under load, whole or in part, and starts again.

Controls: servers that acknowledge before the commit, and that write an object in two commits.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from functools import partial
from pathlib import Path

from crash.load import Writer
from crash.oracle import HALF, LOST
from crash.suite import Outcome, Run, Suite
from crash.target import PATIENCE, DidNotStart, Target, wait, wait_until
from crash.trial import Trial, zeros

ROUNDS_OF_A_STORE = 20
CONTROL_ROUNDS = 10
SHORTEST, LONGEST = 0.05, 0.5  # seconds of load before the end

WHOLE, STOPPED, STARTS, MASTER, WORKER, CLEAN = (
    "whole server",
    "whole server while stopped",
    "in starts too",
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
    rounds = _Rounds(run, outcome, dice)
    try:
        for number in range(run.rounds):
            rounds.round(number)
            if number % 50 == 49:
                run.say(outcome.line())
    finally:
        rounds.close()
    run.say(", ".join(f"{count} {way}" for way, count in rounds.ways.items()))
    for name, mix, kind in CONTROLS:
        needed = _caught(run.work / name, name, mix, kind, dice)
        if outcome.check(needed > 0, f"control {name} is not caught in {CONTROL_ROUNDS} rounds"):
            outcome.counts["controls caught"] += 1
            run.say(f"control {name}: caught in round {needed}")
    return outcome


SUITE = Suite("kills", 200, run)


class _Rounds:
    def __init__(self, run: Run, outcome: Outcome, dice: random.Random) -> None:
        self._work = run.work
        self._outcome = outcome
        self._dice = dice
        self._deck: list[str] = []
        self.ways: Counter[str] = Counter()
        self._trial: Trial | None = None
        self._in_store = 0

    def round(self, number: int) -> None:
        """Bring the server to its end in one way, and back; on a new store now and then."""
        self._outcome.counts["rounds"] += 1
        trial = self._trial
        try:
            if trial is None or trial.broken or self._in_store == ROUNDS_OF_A_STORE:
                trial = self._next(number)
            self._in_store += 1
            if not self._deck:
                self._deck = self._dice.sample(DECK, len(DECK))
            card = self._deck.pop()
            self.ways[card] += 1
            trial.load(partial(self._end, card, trial))
            trial.inspect()
            if card == STARTS:
                self._kill_starts(trial.target, 2)
            trial.recover()
        except (DidNotStart, TimeoutError) as error:
            assert trial is not None
            trial.fail(str(error))

    def close(self) -> None:
        """Kill what runs."""
        if self._trial is not None:
            self._trial.target.kill()

    def _next(self, number: int) -> Trial:
        self.close()
        place = self._work / f"store-{number}"
        place.mkdir()
        target = Target(place / "data", place)
        trial = self._trial = Trial(target, self._outcome, self._dice)
        self._in_store = 0
        self._kill_starts(target, self._dice.randrange(3))
        trial.begin()
        return trial

    def _end(self, card: str, trial: Trial, writers: list[Writer]) -> None:
        target = trial.target

        def acknowledged() -> int:
            return sum(writer.counts["acknowledged writes"] for writer in writers)

        wait(self._dice, SHORTEST, LONGEST)
        self._outcome.counts["kills"] += card != CLEAN
        if card == MASTER:
            os.kill(target.pid, signal.SIGKILL)
            target.wait()
            return
        if card == CLEAN:
            os.kill(target.pid, signal.SIGTERM)
            code = target.wait()
            if code != 0:
                trial.fail(f"a clean stop ends with {code}")
            return
        if card == WORKER:
            os.kill(self._dice.choice(target.workers()), signal.SIGKILL)
            served = acknowledged()
            if not wait_until(lambda: acknowledged() > served, PATIENCE):
                trial.fail("a worker was killed and the others did not go on")
            wait(self._dice, SHORTEST, LONGEST)
            self._outcome.counts["kills"] += 1
        if card == STOPPED:
            target.signal(signal.SIGSTOP)
            wait(self._dice, 0, 0.05)
        target.kill()

    def _kill_starts(self, target: Target, times: int) -> None:
        for _ in range(times):
            with target.starting(self._dice):
                self._outcome.counts["kills"] += 1


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
