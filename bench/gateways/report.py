"""What the tables of all comparisons have in common."""

from __future__ import annotations

from bench.gateways.rows import GIANT_ROWS, MEASURED
from bench.gateways.run import Comparison
from bench.report import number_text, table
from bench.results import Results
from bench.rows import MIB, Row
from bench.servers import OURS


def facts(results: Results) -> str:
    """Return what was measured, when and where."""
    machine = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    return (
        f"Measured on {results.date}: {machine['processor']}, {machine['cores']} cores, {machine['memory']}, "
        f"{machine['kernel']}, Python {machine['python']}; {versions}. Median of {results.rounds} "
        "rounds, the least and the greatest in brackets; load average of the machine at the end "
        f"{machine['load']}."
    )


def rows_of(results: Results) -> list[Row]:
    """Return the rows that s3shim did."""
    return [row for row in (*MEASURED, *GIANT_ROWS) if results.spread(OURS, row.name, "cpu_us")]


def peak_text(comparison: Comparison, name: str, row: Row) -> str:
    """Return the MiB that an entrant had held at most by the end of a row."""
    peak = comparison.peaks.get(name, {}).get(row.name)
    return "-" if peak is None else number_text(peak / MIB)


def page(comparison: Comparison, head: list[str], cells: list[list[str]]) -> str:
    """Return a part of the page: facts, the table with a line for each of ``rows_of``, wrong answers."""
    results = comparison.results
    parts = [facts(results), table(["", *head], [row.title for row in rows_of(results)], cells)]
    if wrong := errors(results):
        parts.append("\n".join(f"* {line}" for line in wrong))
    return "\n\n".join(parts) + "\n"


def errors(results: Results) -> list[str]:
    """Return a line for each row in which an answer was wrong, and for each entrant that did not finish."""
    wrong = [
        f"{name}, {row.title}: {count} wrong answers, the first: `{first[:160]}`"
        for name in results.servers
        for row in (*MEASURED, *GIANT_ROWS)
        for count, first in [results.errors(name, row.name)]
        if count
    ]
    return wrong + [f"{name} did not finish: `{why[:160]}`" for name, why in results.failures.items()]
