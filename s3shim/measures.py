"""What is measured, as plain numbers: a layer above makes metrics of them.

A process has its own numbers, and several processes are one service: ``Measure.across`` says what the
numbers of all of them come to.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto

Samples = dict[tuple[str, ...], list[float]]
"""The numbers of a measure by the values of its labels: one number, or what ``Histogram.numbers`` has."""


class Durability(StrEnum):
    """What an acknowledged write has behind it, as far as it is known."""

    FULL = "full"  # it is synced before it is acknowledged
    DELAYED = "delayed"  # it is synced some time after it is acknowledged
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """What the numbers are: the types of OpenMetrics."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Across(Enum):
    """What the gauges of several processes come to; counters and histograms are always sums."""

    SUM = auto()
    LEAST = auto()
    ANY = auto()  # all of them see the same


@dataclass(slots=True)
class Measure:
    """One thing that is measured. No samples: nothing is known now.

    ``name`` is that of the metric, with ``_total`` where it is a counter; ``labels`` are the names of the
    labels, ``bounds`` the upper bounds of a histogram's buckets but the last.
    """

    name: str
    help: str
    kind: Kind
    samples: Samples
    across: Across = Across.SUM
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @classmethod
    def of(
        cls, name: str, text: str, kind: Kind, value: float | None, across: Across = Across.SUM
    ) -> Measure:
        """Return a measure without labels; ``value`` None is not known."""
        return cls(name, text, kind, {} if value is None else {(): [float(value)]}, across)


@dataclass(slots=True)
class Histogram:
    """How often a number was in which range: up to each of ``bounds``, and beyond the last one."""

    bounds: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count ``value``; for one thread."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def numbers(self) -> list[float]:
        """The count of each range, not of those below it, and the sum of all values."""
        return [*map(float, self.counts), self.total]
