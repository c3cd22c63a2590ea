"""The comparison over Garage as a table in Markdown: what a gateway adds to what Garage itself does."""

from __future__ import annotations

from bench.gateways.report import page, peak_text, rows_of
from bench.gateways.run import Comparison
from bench.report import spread_text
from bench.results import Results, Sample, Spread, spread
from bench.rows import MIB, Row
from bench.servers import OURS

STORAGE = "garage"
PEER = "versitygw"
_WRONG = "wrong answers"


def markdown(comparison: Comparison) -> str:
    """Return the generated part of the page."""
    head = [f"CPU, {STORAGE}", f"added, {OURS}", f"added, {PEER}"]
    head += [f"p50 ms, {STORAGE}", f"added, {OURS}", f"added, {PEER}"]
    head += [f"MiB/s, {STORAGE}", f"of it, {OURS}", f"of it, {PEER}"]
    head += [f"Peak MiB, {OURS}", f"Peak MiB, {PEER}"]
    return page(comparison, head, [_cells(comparison, row) for row in rows_of(comparison.results)])


def _cells(comparison: Comparison, row: Row) -> list[str]:
    results = comparison.results
    cells = []
    for figure in ("cpu_us", "p50_ms"):
        cells.append(spread_text(results.spread(STORAGE, row.name, figure)))
        cells += [_text(results, name, row, added(results, name, row, figure)) for name in (OURS, PEER)]
    if row.work.size >= MIB:
        samples = _samples(results, STORAGE, row).values()
        cells.append(spread_text(spread(one.ops_per_s * row.work.size / MIB for one in samples)))
        cells += [_text(results, name, row, share(results, name, row)) for name in (OURS, PEER)]
    else:
        cells += ["", "", ""]
    return [*cells, *(peak_text(comparison, name, row) for name in (OURS, PEER))]


def added(results: Results, name: str, row: Row, figure: str) -> Spread | None:
    """Return by how much a figure of an entrant is above Garage's own of the same round, over the rounds."""
    alone = _samples(results, STORAGE, row)
    return spread(
        getattr(sample, figure) - getattr(alone[number], figure)
        for number, sample in _samples(results, name, row).items()
        if number in alone
    )


def share(results: Results, name: str, row: Row) -> Spread | None:
    """Return which part of Garage's own throughput of the same round an entrant had, over the rounds."""
    alone = _samples(results, STORAGE, row)
    return spread(
        sample.ops_per_s / alone[number].ops_per_s
        for number, sample in _samples(results, name, row).items()
        if number in alone and alone[number].ops_per_s
    )


def _samples(results: Results, name: str, row: Row) -> dict[int, Sample]:
    """Return the samples of an entrant by their rounds."""
    return {one.round: one for one in results.samples if one.server == name and one.row == row.name}


def _text(results: Results, name: str, row: Row, found: Spread | None) -> str:
    """Return a figure; what a wrong answer costs is none."""
    return _WRONG if results.errors(name, row.name)[0] else spread_text(found)
