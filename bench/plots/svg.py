"""What all plots share: the sheet with its colours, texts and strokes, and the logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from xml.sax.saxutils import escape

_CROWDED = 3  # decades

# The sheet has its own ground, so it can be read wherever it is shown; it turns dark with the reader's page.
_STYLE = """
.ground { fill: #ffffff; stroke: #d0d7de; }
text { fill: #1f2328; font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
.title { font-size: 15px; font-weight: 600; }
.head { font-weight: 600; }
.dim { fill: #59636e; font-size: 11px; }
.grid { stroke: #d8dee4; fill: none; }
.s0 { fill: #d9480f; stroke: #d9480f; } .s1 { fill: #1971c2; stroke: #1971c2; }
.s2 { fill: #2f9e44; stroke: #2f9e44; } .s3 { fill: #9c36b5; stroke: #9c36b5; }
.peer { fill: #8a99ad; stroke: #8a99ad; }
.range { stroke: #1f2328; fill: none; }
.line { fill: none; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117; stroke: #30363d; } text { fill: #e6edf3; } .dim { fill: #9198a1; }
.grid { stroke: #262c36; } .range { stroke: #e6edf3; } .peer { fill: #6b7b93; stroke: #6b7b93; }
.s0 { fill: #ff8c42; stroke: #ff8c42; } .s1 { fill: #4dabf7; stroke: #4dabf7; }
.s2 { fill: #69db7c; stroke: #69db7c; } .s3 { fill: #da77f2; stroke: #da77f2; }
.line { fill: none; }
}
"""


class Sheet:
    """A drawing of ``width`` by ``height`` pixels."""

    def __init__(self, width: float, height: float, title: str) -> None:
        label = escape(title, {'"': "&quot;"})
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
            f'viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{label}">',
            f"<style>{_STYLE}</style>",
            f'<rect class="ground" x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="6"/>',
        ]
        self.text(16, 26, title, "title")

    def text(self, x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> None:
        """Write ``text`` with its base line at ``y``."""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def upright(self, x: float, y: float, text: str) -> None:
        """Write ``text`` from the bottom to the top, its middle at ``y``."""
        self._parts.append(
            f'<text class="dim" text-anchor="middle" transform="translate({x:.1f} {y:.1f}) rotate(-90)">'
            f"{escape(text)}</text>"
        )

    def bar(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        """Draw a filled rectangle."""
        self._parts.append(
            f'<rect class="{kind}" stroke="none" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{height:.1f}"/>'
        )

    def line(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        """Draw straight strokes from point to point."""
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline class="{kind}" points="{path}"/>')

    def dot(self, x: float, y: float, kind: str) -> None:
        """Draw a point."""
        self._parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>')

    def source(self) -> str:
        """Return the file."""
        return "\n".join([*self._parts, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class Log:
    """A logarithmic scale of whole decades from ``low`` to ``high``, over the pixels ``start`` to ``end``."""

    low: int
    high: int
    start: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float) -> Log:
        """Return the smallest scale for ``values``, all above 0."""
        there = list(values)
        low, high = math.floor(math.log10(min(there))), math.ceil(math.log10(max(there)))
        return cls(low, max(high, low + 1), start, end)

    def at(self, value: float) -> float:
        """Return where ``value`` is, in pixels."""
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def decades(self) -> list[float]:
        """Return the powers of ten on the scale."""
        return [10.0**power for power in range(self.low, self.high + 1)]

    def ticks(self) -> list[float]:
        """Return the powers of ten, with 2 and 5 between them where there is room."""
        if self.high - self.low > _CROWDED:
            return self.decades()
        between = [10.0**power * step for power in range(self.low, self.high) for step in (2, 5)]
        return sorted([*self.decades(), *between])


def short(value: float) -> str:
    """Return a number in few characters: 1.2k, 35k, 1M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"
