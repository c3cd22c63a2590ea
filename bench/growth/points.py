"""What was measured of a growth, and its plots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.plots.lines import Points, lines
from bench.results import Sample, Spread, spread


@dataclass(frozen=True, slots=True)
class Point:
    """A value of ``figure`` of ``series`` where ``subject`` (objects, clients, ...) is ``place``."""

    subject: str
    place: float
    series: str
    figure: str
    value: float


@dataclass(frozen=True, slots=True)
class Plot:
    """Which points make a plot, and what it says."""

    name: str
    subject: str
    figure: str
    title: str
    x_label: str
    y_label: str


@dataclass(slots=True)
class Growth:
    """A whole run."""

    date: str
    machine: dict[str, str]
    version: str
    points: list[Point] = field(default_factory=list)

    def add(self, subject: str, place: float, series: str, sample: Sample) -> None:
        """Keep the figures of a row. Raises RuntimeError where an answer was wrong."""
        if sample.errors:
            raise RuntimeError(f"{subject} {place:g}, {series}: {sample.errors} errors: {sample.first_error}")
        for figure in ("cpu_us", "ops_per_s", "p50_ms", "p99_ms", "written"):
            value = getattr(sample, figure)
            if value is not None:
                self.points.append(Point(subject, place, series, figure, value))

    def series(self, subject: str, figure: str) -> dict[str, dict[float, Spread]]:
        """Return the summaries by series and place, in the order of measuring."""
        values: dict[str, dict[float, list[float]]] = {}
        for point in self.points:
            if (point.subject, point.figure) == (subject, figure):
                values.setdefault(point.series, {}).setdefault(point.place, []).append(point.value)
        return {
            name: {place: found for place, there in sorted(places.items()) if (found := spread(there))}
            for name, places in values.items()
        }

    def plot(self, plot: Plot, names: Mapping[float, str]) -> str:
        """Return the file of a plot, "" where nothing of it was measured."""
        found = self.series(plot.subject, plot.figure)
        if not found:
            return ""
        drawn: dict[str, Points] = {name: list(places.items()) for name, places in found.items()}
        there = {place: names[place] for places in found.values() for place in places}
        return lines(plot.title, plot.x_label, plot.y_label, drawn, there)

    def write(self, path: Path) -> None:
        """Write everything as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")
