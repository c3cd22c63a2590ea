"""Rounds on one store after another, each of them with another sudden end."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from crash.load import Writer
from crash.suite import Outcome, Run
from crash.target import DidNotStart, Target
from crash.trial import Trial

ROUNDS_OF_A_STORE = 20
SHORTEST, LONGEST = 0.05, 0.5  # seconds of load before the end
STARTS = "in starts too"


class Rounds:
    """The rounds of a suite; a subclass says what an end is. The ways are drawn from ``deck``."""

    def __init__(self, run: Run, outcome: Outcome, dice: random.Random, deck: Sequence[str]) -> None:
        self.work = run.work
        self.outcome = outcome
        self.dice = dice
        self.ways: Counter[str] = Counter()
        self._whole_deck = deck
        self._deck: list[str] = []
        self._trial: Trial | None = None
        self._in_store = 0

    def all(self, run: Run) -> None:
        """Do the rounds that ``run`` asks for."""
        try:
            for number in range(run.rounds):
                self._round(number)
                if number % 50 == 49:
                    run.say(self.outcome.line())
        finally:
            self._close()
        run.say(", ".join(f"{count} {way}" for way, count in self.ways.items()))

    def make(self, number: int) -> Trial:
        """Return a trial of a new store."""
        raise NotImplementedError

    def end(self, way: str, trial: Trial, writers: list[Writer]) -> None:
        """Bring the server to its end."""
        raise NotImplementedError

    def end_starts(self, target: Target, times: int) -> None:
        """Bring as many starts to their end."""
        raise NotImplementedError

    def restore(self) -> None:
        """Make the store readable after an end."""

    def keep(self, number: int, trial: Trial) -> None:
        """Keep what a broken trial has left, where the next would take it away."""

    def _round(self, number: int) -> None:
        self.outcome.counts["rounds"] += 1
        trial = self._trial
        try:
            if trial is None or trial.broken or self._in_store == ROUNDS_OF_A_STORE:
                trial = self._next(number)
            self._in_store += 1
            if not self._deck:
                self._deck = self.dice.sample(self._whole_deck, len(self._whole_deck))
            way, current = self._deck.pop(), trial
            self.ways[way] += 1
            trial.load(lambda writers: self.end(way, current, writers))
            self.restore()
            trial.inspect()
            if way == STARTS:
                self.end_starts(trial.target, 2)
            trial.recover()
        except (DidNotStart, TimeoutError) as error:
            assert trial is not None
            trial.fail(str(error))
        if trial is not None and trial.broken:
            self.keep(number, trial)

    def _next(self, number: int) -> Trial:
        self._close()
        trial = self._trial = self.make(number)
        self._in_store = 0
        self.end_starts(trial.target, self.dice.randrange(3))
        trial.begin()
        return trial

    def _close(self) -> None:
        if self._trial is not None:
            self._trial.target.kill()
