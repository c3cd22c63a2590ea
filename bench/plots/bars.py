"""Bars side by side: a panel for each row, a bar for each server, one logarithmic scale for all."""

from __future__ import annotations

from bench.plots.svg import Log, Sheet, short
from bench.results import Results, Spread
from bench.rows import MEASURED, Row
from bench.servers import OURS

_COLUMNS = 2
_PANEL = 440
_NAMES = 84
_VALUES = 72
_MARGIN = 16
_TOP = 64
_STEP = 18
_BAR = 12


def bars(results: Results, figure: str, title: str) -> str:
    """Return the plot of a figure (a field of Sample), with the range over the rounds as a thin line."""
    servers = results.servers
    found = {
        (server, row.name): spread
        for server in servers
        for row in MEASURED
        if not results.errors(server, row.name)[0]
        and (spread := results.spread(server, row.name, figure))
        and spread.low > 0
    }
    lines = -(-len(MEASURED) // _COLUMNS)
    height = _TOP + lines * _height(servers) + _MARGIN
    sheet = Sheet(_COLUMNS * _PANEL, height, title)
    sheet.text(_MARGIN, 44, "logarithmic; the thin line is the range over the rounds", "dim")
    if not found:
        return sheet.source()
    every = [value for spread in found.values() for value in (spread.low, spread.high)]
    for number, row in enumerate(MEASURED):
        left = number % _COLUMNS * _PANEL + _MARGIN
        top = _TOP + number // _COLUMNS * _height(servers)
        scale = Log.over(every, left + _NAMES, left + _PANEL - _MARGIN - _VALUES)
        _panel(sheet, scale, (left, top), row, {server: found.get((server, row.name)) for server in servers})
    return sheet.source()


def _height(servers: list[str]) -> float:
    return len(servers) * _STEP + 52


def _panel(
    sheet: Sheet, scale: Log, corner: tuple[float, float], row: Row, found: dict[str, Spread | None]
) -> None:
    left, top = corner
    sheet.text(left, top + 12, row.title, "head")
    bottom = top + 22 + len(found) * _STEP
    for decade in scale.decades():
        x = scale.at(decade)
        sheet.line([(x, top + 20), (x, bottom)], "grid")
        sheet.text(x, bottom + 12, short(decade), "dim", "middle")
    for number, (server, spread) in enumerate(found.items()):
        y = top + 22 + number * _STEP
        sheet.text(scale.start - 6, y + 11, server, "head" if server == OURS else "", "end")
        if spread is None:
            sheet.text(scale.start + 4, y + 11, "no figure, or wrong answers", "dim")
            continue
        end = scale.at(spread.median)
        sheet.bar(scale.start, y + 1, max(1.0, end - scale.start), _BAR, "s0" if server == OURS else "peer")
        middle = y + 1 + _BAR / 2
        if spread.low < spread.high:
            sheet.line([(scale.at(spread.low), middle), (scale.at(spread.high), middle)], "range")
        sheet.text(max(end, scale.at(spread.high)) + 5, y + 11, short(spread.median))
