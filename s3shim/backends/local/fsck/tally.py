"""Two ways of counting the same rows, compared without keeping them.

A Tally is the sum of a keyed hash of everything that was added, so equal tallies mean equal multisets, at
any size, in a few bytes. Only where two differ are they counted anew, exactly, to say by what.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator


class Tally:
    """The expected and the found uses of keys; with ``exact``, which of them differ."""

    __slots__ = ("_difference", "_exact", "_expected", "_found")

    def __init__(self, *, exact: bool) -> None:
        self._difference = 0
        self._exact = exact
        self._expected: Counter[bytes] = Counter()
        self._found: Counter[bytes] = Counter()

    def expect(self, key: bytes, number: int = 1) -> None:
        """Something needs ``key``."""
        self._difference += number * hash(key)
        if self._exact:
            self._expected[key] += number

    def find(self, key: bytes, number: int = 1) -> None:
        """The table of ``key`` has it."""
        self._difference -= number * hash(key)
        if self._exact:
            self._found[key] += number

    @property
    def agrees(self) -> bool:
        """Whether the same was expected and found."""
        return self._difference == 0

    def differences(self) -> Iterator[tuple[bytes, int, int]]:
        """Yield (key, expected, found) where these are not the same."""
        for key in sorted(self._expected.keys() | self._found.keys()):
            expected, found = self._expected[key], self._found[key]
            if expected != found:
                yield key, expected, found
