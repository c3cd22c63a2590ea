"""What a migration has done so far, counted by many threads and told to whoever asks."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from threading import Event, Lock


class Outcome(Enum):
    """What became of an object; the value is what the summary calls it."""

    EQUAL = "equal"
    COPIED = "copied"
    DESCRIBED = "metadata only"
    PLANNED = "to copy"
    GONE = "gone from the source"
    DIFFERENT = "different"
    FAILED = "failed"


class Mode(Enum):
    """What to do about differences."""

    MIGRATE = "migrate"
    PLAN = "dry run"
    VERIFY = "verify"


PROBLEMS = frozenset({Outcome.DIFFERENT, Outcome.FAILED})


@dataclass(slots=True)
class Settled:
    """What became of an object, and why in a line; ``unavailable`` where a storage does not work at all."""

    outcome: Outcome
    reason: str = ""
    unavailable: bool = False


class Stopped(Exception):
    """The migration was told to stop."""


@dataclass(slots=True)
class Progress:
    """Counts, and the switch that stops everything. ``bytes`` are those that were read at the source."""

    bytes: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    problems: int = 0
    extra: int = 0
    _lock: Lock = field(default_factory=Lock)
    _stop: Event = field(default_factory=Event)

    def moved(self, number: int) -> None:
        """Count bytes. Raises Stopped."""
        self.proceed()
        with self._lock:
            self.bytes += number

    def proceed(self) -> None:
        """Raise Stopped where there is nothing to be done any more."""
        if self._stop.is_set():
            raise Stopped

    def ended(self, outcome: Outcome) -> None:
        """Count an object."""
        with self._lock:
            self.outcomes[outcome] += 1
            self.problems += outcome in PROBLEMS

    def problem(self) -> None:
        """Count what is wrong beside objects."""
        with self._lock:
            self.problems += 1

    def stop(self) -> None:
        """Let whatever runs come to an end."""
        self._stop.set()

    def pause(self, seconds: float) -> None:
        """Wait so long. Raises Stopped."""
        if self._stop.wait(seconds):
            raise Stopped

    @property
    def stopped(self) -> bool:
        """Whether the end has come before its time."""
        return self._stop.is_set()

    @property
    def objects(self) -> int:
        """How many objects have been dealt with."""
        return self.outcomes.total()

    def line(self) -> str:
        """Return everything in one line."""
        counted = [f"objects {self.objects:,}"]
        counted += [f"{one.value} {self.outcomes[one]:,}" for one in Outcome if self.outcomes[one]]
        if self.extra:
            counted.append(f"only at the destination {self.extra:,}")
        return ", ".join([*counted, f"bytes read {self.bytes:,}"])
