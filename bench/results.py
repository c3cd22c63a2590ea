"""What a run measured, and its summary: the median of the rounds with the smallest and the largest."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of one server in one round.

    Times are in milliseconds or, where the name ends in ``_us``, microseconds per operation. ``cpu_us`` is
    the server's processor time, ``written`` its bytes towards the disk per operation; both are None of a
    remote server.
    """

    server: str
    round: int
    row: str
    ops: int
    errors: int
    first_error: str
    ops_per_s: float
    p50_ms: float
    p99_ms: float
    client_cpu_us: float
    cpu_us: float | None
    written: float | None


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some values, the least and the greatest of them."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Calls:
    """System calls per operation: all of them, those that wait for the disk, and each by its name."""

    every: float
    syncs: float
    names: dict[str, float]


@dataclass(slots=True)
class Results:
    """A whole run."""

    date: str
    machine: dict[str, str]
    rounds: int
    versions: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    durable_writes: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    memory: dict[str, list[int]] = field(default_factory=dict)
    calls: dict[str, dict[str, Calls]] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def servers(self) -> list[str]:
        """The servers that did some work, in the order of the run."""
        return list(dict.fromkeys(sample.server for sample in self.samples))

    def spread(self, server: str, row: str, figure: str) -> Spread | None:
        """Return a figure (a field of Sample) over the rounds, None where there is none."""
        found = [sample for sample in self.samples if sample.server == server and sample.row == row]
        return spread(getattr(sample, figure) for sample in found)

    def errors(self, server: str, row: str) -> tuple[int, str]:
        """Return the number of wrong answers in all rounds, and what the first one was."""
        found = [sample for sample in self.samples if sample.server == server and sample.row == row]
        first = next((sample.first_error for sample in found if sample.first_error), "")
        return sum(sample.errors for sample in found), first

    def durable(self, server: str) -> str:
        """Say whether a put waited for the disk, as strace saw it; "?" where nobody looked."""
        counted = self.calls.get(server, {}).get("put-4k")
        if counted is None:
            return "?"
        return "yes" if counted.syncs > 0 else "no"

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def spread(values: Iterable[float | None]) -> Spread | None:
    """Return the summary of the values that are there."""
    there = [value for value in values if value is not None]
    return Spread(statistics.median(there), min(there), max(there)) if there else None
