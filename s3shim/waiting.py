"""Waits that are announced, so that whoever serves clients can let another thread serve them meanwhile.

The server says whom to tell; where nobody has, as in a command or a test, nobody is told.
"""

from __future__ import annotations

from collections.abc import Callable


class Waits:
    """Whom to tell of waits, in this process."""

    def __init__(self) -> None:
        self.announce: Callable[[], None] = _nobody
        """To be called by a thread before it waits a millisecond or more: for a disk, another server."""

    def tell(self, announce: Callable[[], None]) -> None:
        """Tell ``announce`` of each wait from now on."""
        self.announce = announce


def _nobody() -> None:
    pass


WAITS = Waits()
