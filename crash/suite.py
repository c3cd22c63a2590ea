"""What a suite of this harness is: it runs some rounds against real stores and says what it counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class Outcome:
    """What a suite did: ``counts`` in the order to be printed, ``failures`` in one line each."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return the counts in one line."""
        return " · ".join(f"{count:,} {what}" for what, count in self.counts.items())

    def check(self, held: bool, failure: str) -> bool:
        """Note ``failure`` where a promise was not ``held``; return ``held``."""
        if not held:
            self.failures.append(failure)
        return held


@dataclass(slots=True, frozen=True)
class Run:
    """What a suite is run with.

    ``work`` is an empty directory on a disk file system, ``rounds`` how often, ``seed`` what every random
    choice follows from; ``say`` prints a line of progress.
    """

    work: Path
    rounds: int
    seed: int
    say: Callable[[str], None]


@dataclass(slots=True, frozen=True)
class Suite:
    """A suite: ``rounds`` of a full run, what it ``needs`` of the machine, and the ``run`` itself.

    ``needs`` may hold "root", and names of programs.
    """

    name: str
    rounds: int
    run: Callable[[Run], Outcome]
    needs: tuple[str, ...] = ()
