"""Lines over a logarithmic axis: how a cost grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.plots.svg import Log, Sheet, short
from bench.results import Spread

_WIDTH, _HEIGHT = 660, 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 500, 58, 322
_LABEL_STEP = 15

Points = Sequence[tuple[float, Spread]]
"""What was measured at each place of the x axis."""


def lines(
    title: str, x_label: str, y_label: str, series: Mapping[str, Points], names: Mapping[float, str]
) -> str:
    """Return the plot of up to four series.

    ``names`` are the ticks of the x axis, which is even from tick to tick. The y axis is logarithmic: what
    grows in proportion rises, and what does not grow is flat.
    """
    sheet = Sheet(_WIDTH, _HEIGHT, title)
    values = [value for points in series.values() for _, found in points for value in (found.low, found.high)]
    scale = Log.over([value for value in values if value > 0], _BOTTOM, _TOP)
    places = sorted(names)
    step = (_RIGHT - _LEFT) / max(1, len(places) - 1)
    at = {place: _LEFT + number * step for number, place in enumerate(places)}
    for tick in scale.ticks():
        sheet.line([(_LEFT, scale.at(tick)), (_RIGHT, scale.at(tick))], "grid")
        sheet.text(_LEFT - 8, scale.at(tick) + 4, short(tick), "dim", "end")
    for place in places:
        sheet.line([(at[place], _TOP), (at[place], _BOTTOM)], "grid")
        sheet.text(at[place], _BOTTOM + 18, names[place], "dim", "middle")
    sheet.text((_LEFT + _RIGHT) / 2, _BOTTOM + 42, x_label, "dim", "middle")
    sheet.upright(22, (_TOP + _BOTTOM) / 2, y_label)
    ends = []
    for number, (name, points) in enumerate(series.items()):
        _draw(sheet, scale, at, points, f"s{number}")
        ends.append((scale.at(points[-1][1].median), name, points[-1][1].median, number))
    _label(sheet, ends)
    return sheet.source()


def _draw(sheet: Sheet, scale: Log, at: Mapping[float, float], points: Points, kind: str) -> None:
    sheet.line([(at[place], scale.at(found.median)) for place, found in points], f"{kind} line")
    for place, found in points:
        if found.low < found.high:
            sheet.line([(at[place], scale.at(found.low)), (at[place], scale.at(found.high))], "range")
        sheet.dot(at[place], scale.at(found.median), kind)


def _label(sheet: Sheet, ends: list[tuple[float, str, float, int]]) -> None:
    """Write each series' name at its end, moved so that none covers another."""
    free = 0.0
    for y, name, value, number in sorted(ends):
        y = max(y, free)
        free = y + _LABEL_STEP
        sheet.dot(_RIGHT + 14, y, f"s{number}")
        sheet.text(_RIGHT + 22, y + 4, f"{name}: {short(value)}")
