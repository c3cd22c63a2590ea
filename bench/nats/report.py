"""The comparison over NATS as a table in Markdown."""

from __future__ import annotations

from bench.gateways.report import page, peak_text, rows_of
from bench.gateways.run import Comparison
from bench.report import spread_text
from bench.rows import Row
from bench.servers import OURS

PEER = "nats-s3"


def markdown(comparison: Comparison) -> str:
    """Return the generated part of the page."""
    head = [f"CPU, {OURS}", f"CPU, {PEER}", "Quotient"]
    head += [f"p50 ms, {OURS}", f"p50 ms, {PEER}", f"Peak MiB, {OURS}", f"Peak MiB, {PEER}"]
    return page(comparison, head, [_cells(comparison, row) for row in rows_of(comparison.results)])


def _cells(comparison: Comparison, row: Row) -> list[str]:
    results = comparison.results
    cpu = [results.spread(name, row.name, "cpu_us") for name in (OURS, PEER)]
    waits = [results.spread(name, row.name, "p50_ms") for name in (OURS, PEER)]
    quotient = f"{cpu[0].median / cpu[1].median:.2f}" if cpu[0] and cpu[1] else "-"
    return [
        *(spread_text(found) for found in cpu),
        quotient,
        *(spread_text(found) for found in waits),
        *(peak_text(comparison, name, row) for name in (OURS, PEER)),
    ]
