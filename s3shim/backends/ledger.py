"""The contract of a ledger: small lines that the processes of all machines see, changed by compare-and-set.

A storage that cannot decide something itself decides it there: see ``upstream/leases.py``. Methods raise
``S3Error`` ServiceUnavailable where the ledger cannot be reached, and nothing else on purpose.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple


class Line(NamedTuple):
    """What is under a name; no value is nothing. Each write has another revision, 0 is that of none."""

    revision: int
    value: bytes


class Ledger(ABC):
    """Names are dots between tokens of A-Z a-z 0-9 _ - =. Methods may be called from many threads."""

    @abstractmethod
    def start(self) -> None:
        """Open it, in each process that serves requests, after the fork; it need not be there yet."""

    @abstractmethod
    def close(self) -> None:
        """Let everything go."""

    @abstractmethod
    def check(self) -> None:
        """Raise ServiceUnavailable where it cannot be reached."""

    @abstractmethod
    def read(self, name: str) -> Line:
        """Return the line that was written last, by whomever."""

    @abstractmethod
    def write(self, lines: Mapping[str, Line]) -> dict[str, int]:
        """Write each value over the revision that is given with it; return the new revisions.

        A name is missing in the answer where another revision is there. Each line is written for itself;
        where ServiceUnavailable is raised, any of them may have been.
        """

    @abstractmethod
    def remove(self, revisions: Mapping[str, int]) -> None:
        """Remove the lines that still have these revisions, if it can be done in a second; never raises."""

    @abstractmethod
    def names(self, stem: str) -> list[str]:
        """Return the names that begin with ``stem`` and a dot."""
