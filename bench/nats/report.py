"""The comparison as tables in Markdown."""

from __future__ import annotations

from bench.nats.rows import GIANT_ROWS, MEASURED
from bench.nats.run import PEER, Comparison
from bench.report import number_text, spread_text, table
from bench.results import Results
from bench.rows import Row
from bench.servers import OURS

MIB = 1 << 20


def markdown(comparison: Comparison) -> str:
    """Return the generated part of the page."""
    results = comparison.results
    machine = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    facts = (
        f"Measured on {results.date}: {machine['processor']}, {machine['cores']} cores, {machine['memory']}, "
        f"{machine['kernel']}, Python {machine['python']}; {versions}. Median of {results.rounds} "
        "rounds, the least and the greatest in brackets; load average of the machine at the end "
        f"{machine['load']}."
    )
    rows = [row for row in (*MEASURED, *GIANT_ROWS) if results.spread(OURS, row.name, "cpu_us")]
    cells = [_cells(comparison, row) for row in rows]
    head = ["", f"CPU, {OURS}", f"CPU, {PEER}", "Quotient"]
    head += [f"p50 ms, {OURS}", f"p50 ms, {PEER}", f"Peak MiB, {OURS}", f"Peak MiB, {PEER}"]
    parts = [facts, table(head, [row.title for row in rows], cells)]
    if wrong := errors(results):
        parts.append("\n".join(f"* {line}" for line in wrong))
    return "\n\n".join(parts) + "\n"


def _cells(comparison: Comparison, row: Row) -> list[str]:
    results = comparison.results
    cpu = [results.spread(name, row.name, "cpu_us") for name in (OURS, PEER)]
    waits = [results.spread(name, row.name, "p50_ms") for name in (OURS, PEER)]
    peaks = [comparison.peaks.get(name, {}).get(row.name) for name in (OURS, PEER)]
    quotient = f"{cpu[0].median / cpu[1].median:.2f}" if cpu[0] and cpu[1] else "-"
    return [
        *(spread_text(found) for found in cpu),
        quotient,
        *(spread_text(found) for found in waits),
        *("-" if peak is None else number_text(peak / MIB) for peak in peaks),
    ]


def errors(results: Results) -> list[str]:
    """Return a line for each row in which an answer was wrong."""
    return [
        f"{name}, {row.title}: {count} wrong answers, the first: `{first[:160]}`"
        for name in results.servers
        for row in (*MEASURED, *GIANT_ROWS)
        for count, first in [results.errors(name, row.name)]
        if count
    ]
