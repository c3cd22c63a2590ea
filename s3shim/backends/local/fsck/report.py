"""What a check found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

MOST_LINES = 1000
"""Problems that are told one by one; ``counts`` has the number of all."""


NAMES = (
    "buckets",
    "documents",
    "objects",
    "inline",
    "files",
    "bytes",
    "uploads",
    "parts",
    "completed uploads",
    "waiting files",
    "orphans",
    "problems",
)


def _zeros() -> Counter[str]:
    return Counter(dict.fromkeys(NAMES, 0))


@dataclass(slots=True)
class Report:
    """``problems``, a line each and none in a sound store; ``notes`` on what a server clears away by itself.

    ``counts`` says how much there is of each of ``NAMES``.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=_zeros)

    def problem(self, text: str) -> None:
        """Tell a problem."""
        self.counts["problems"] += 1
        if len(self.problems) < MOST_LINES:
            self.problems.append(text)
        elif len(self.problems) == MOST_LINES:
            self.problems.append("there are more problems than are told here")

    def count(self, name: str, number: int = 1) -> None:
        """Count ``number`` more of ``name``."""
        self.counts[name] += number

    def note(self, number: int, text: str) -> None:
        """Note something of which there are ``number``; nothing where that is 0."""
        if number:
            self.notes.append(f"{number} {text}")
