"""The results as text: a table for the terminal, tables in Markdown."""

from __future__ import annotations

from collections.abc import Callable

from bench.results import Results, Spread, spread
from bench.rows import MEASURED, Row
from bench.servers import OURS

MIB = 1 << 20


def terminal(results: Results) -> str:
    """Return the results of every row, a line per server."""
    lines = [_about(results), ""]
    head = f"{'':12}{'CPU us/op':>28}{'ops/s':>28}{'p50 ms':>10}{'p99 ms':>10}{'errors':>8}"
    for row in MEASURED:
        lines.append(row.title + head[len(row.title) :])
        for server in results.servers:
            lines.append(_line(results, server, row))
        lines.append("")
    lines.append(f"{'':12}{'memory MiB':>28}{'syncs/put':>12}{'calls/get':>12}  damaged byte on disk")
    lines += [_summary(results, server) for server in results.servers]
    lines += [f"{server} failed: {why}" for server, why in results.failures.items()]
    return "\n".join(lines)


def _about(results: Results) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    text = f"{results.date}, {results.rounds} rounds, median (min-max); {machine}"
    if writes := spread(results.durable_writes):
        text += f"\ndurable writes of 4 KiB on this disk, one thread: {_cell(writes, number_text)} a second"
    return text


def _line(results: Results, server: str, row: Row) -> str:
    def cell(figure: str, digits: Callable[[float], str] = number_text) -> str:
        found = results.spread(server, row.name, figure)
        return _cell(found, digits) if found else "-"

    def middle(figure: str) -> str:
        found = results.spread(server, row.name, figure)
        return f"{found.median:,.2f}" if found else "-"

    errors, first = results.errors(server, row.name)
    return (
        f"{server:12}{cell('cpu_us'):>28}{cell('ops_per_s'):>28}{middle('p50_ms'):>10}{middle('p99_ms'):>10}"
        f"{errors:>8}" + (f"  {first}" if first else "")
    )


def _summary(results: Results, server: str) -> str:
    memory = spread([size / MIB for size in results.memory.get(server, [])])
    calls = results.calls.get(server, {})
    puts, gets = calls.get("put-4k"), calls.get("get-4k")
    return (
        f"{server:12}{_cell(memory, number_text) if memory else '-':>28}"
        f"{f'{puts.syncs:.2f}' if puts else '-':>12}{f'{gets.every:.1f}' if gets else '-':>12}"
        f"  {results.damaged.get(server, '-')}"
    )


def markdown(results: Results) -> str:
    """Return the generated part of the page."""
    servers = results.servers
    parts = [_facts(results), _behind(results), _contestants(results)]
    parts += [f"![{title}](performance/{name}.svg)" for name, _, title in PLOTS]
    for title, figure in _FIGURES:
        cells = [[_right(results, server, row, figure) for server in servers] for row in MEASURED]
        parts.append(f"### {title}\n\n" + table(["", *servers], [row.title for row in MEASURED], cells))
    if results.calls:
        cells = [[_calls(results, server, row) for server in servers] for row in MEASURED]
        parts.append(
            "### System calls per operation, and of them fsync and fdatasync\n\n"
            + table(["", *servers], [row.title for row in MEASURED], cells)
        )
    wrong = [
        f"* {server}, {row.title}: {count} wrong answers, the first: `{first[:160]}`"
        for server in servers
        for row in MEASURED
        for count, first in [results.errors(server, row.name)]
        if count
    ]
    wrong += [f"* {server} did not finish: `{why[:160]}`" for server, why in results.failures.items()]
    parts.append("### Errors\n\n" + ("\n".join(wrong) if wrong else "None, in any row of any server."))
    return "\n\n".join(parts) + "\n"


_WORTH_SAYING = 1.05

# Name of the file, field of Sample, title.
PLOTS = (
    ("cpu", "cpu_us", "Processor time of the server, microseconds per operation: less is better"),
    ("throughput", "ops_per_s", "Operations per second: more is better"),
    ("latency", "p50_ms", "Median latency, ms: less is better"),
    ("slowest", "p99_ms", "99th percentile of the latency, ms: less is better"),
)

_FIGURES = (
    ("Processor time of the server, microseconds per operation", "cpu_us"),
    ("Operations per second", "ops_per_s"),
    ("Latency, median, ms", "p50_ms"),
    ("Latency, 99th percentile, ms", "p99_ms"),
    ("Bytes written towards the disk per operation", "written"),
    ("Processor time of the client, microseconds per operation", "client_cpu_us"),
)


def _facts(results: Results) -> str:
    machine = results.machine
    facts = [
        f"Measured on {results.date}: {machine['processor']}, {machine['cores']} cores, {machine['memory']}, "
        f"{machine['kernel']}, Python {machine['python']}. Median of {results.rounds} rounds, the least and "
        "the greatest in brackets.",
    ]
    if writes := spread(results.durable_writes):
        facts.append(
            f"The disk: {spread_text(writes)} durable writes of 4 KiB a second by one thread "
            "(write and fdatasync)."
        )
    return "\n".join(facts)


def _behind(results: Results) -> str:
    """Say first where s3shim is behind, and how far."""
    slower = _factors(results, lambda row, server: _ratio(results, row, OURS, server, "cpu_us"))
    fewer = _factors(results, lambda row, server: _ratio(results, row, server, OURS, "ops_per_s"))
    none = "In no row."
    return (
        "### Where s3shim is behind\n\nIts processor time is more than another server's, by this factor:\n\n"
        + ("\n".join(slower) or none)
        + "\n\nAnother server does more operations per second, by this factor:\n\n"
        + ("\n".join(fewer) or none)
    )


def _factors(results: Results, factor_of: Callable[[Row, str], float]) -> list[str]:
    lines = []
    for row in MEASURED:
        right = [server for server in results.servers if not results.errors(server, row.name)[0]]
        factors = {server: factor_of(row, server) for server in right}
        names = [f"{server} {factor:.1f}" for server, factor in factors.items() if factor >= _WORTH_SAYING]
        if names:
            lines.append(f"* {row.title}: {', '.join(names)}")
    return lines


def _ratio(results: Results, row: Row, over: str, under: str, figure: str) -> float:
    """Return the median of ``over`` divided by that of ``under``, 0 where one has none."""
    high, low = (results.spread(server, row.name, figure) for server in (over, under))
    return high.median / low.median if high and low and low.median else 0.0


def _contestants(results: Results) -> str:
    cells = []
    for server in results.servers:
        memory = spread([size / MIB for size in results.memory.get(server, [])])
        cells.append(
            [
                results.versions.get(server, "?"),
                results.notes.get(server, ""),
                results.durable(server),
                results.damaged.get(server, "?"),
                spread_text(memory),
            ]
        )
    head = ["", "Version", "How it runs", "A put waits for the disk", "Damaged byte on disk", "Memory, MiB"]
    return table(head, results.servers, cells)


def _calls(results: Results, server: str, row: Row) -> str:
    counted = results.calls.get(server, {}).get(row.name)
    return f"{counted.every:,.1f} / {counted.syncs:.2f}" if counted else "-"


def table(head: list[str], names: list[str], cells: list[list[str]]) -> str:
    """Return a table in Markdown with a line for each of ``names``."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += ["| " + " | ".join([name, *line]) + " |" for name, line in zip(names, cells, strict=True)]
    return "\n".join(lines)


def _right(results: Results, server: str, row: Row, figure: str) -> str:
    """Return a figure; what a wrong answer costs is none."""
    if results.errors(server, row.name)[0]:
        return "wrong answers"
    return spread_text(results.spread(server, row.name, figure))


def spread_text(found: Spread | None) -> str:
    """Return the median with the least and the greatest, "-" where there is none."""
    return _cell(found, number_text) if found else "-"


def _cell(found: Spread, digits: Callable[[float], str]) -> str:
    if found.low == found.high:
        return digits(found.median)
    return f"{digits(found.median)} ({digits(found.low)}-{digits(found.high)})"


def number_text(value: float) -> str:
    """Return a number with three significant digits or all before the point."""
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
