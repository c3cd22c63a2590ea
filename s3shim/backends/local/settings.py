"""What a local store is opened with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from s3shim.backends.local.files import MIN_BLOCK
from s3shim.backends.local.index import MAX_MAP


def wall_clock() -> int:
    """Return the time, ms since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True, frozen=True)
class Settings:
    """What a store is opened with.

    Bodies up to ``inline_max`` bytes lie in the index, larger ones in files of blocks of ``block_size``
    bytes. ``readers`` bounds the transactions that read at once over all processes. ``map_size`` is the
    first size of the index's sparse map, doubled as needed up to ``max_map``. Files are unlinked
    ``grace`` seconds after nothing uses them any more, at once on a full disk: one with no
    more than ``reserve`` bytes free, or 5 % of it where that is less. That much is kept for deletes; 0 keeps
    nothing. Uploads are aborted ``upload_expiry`` seconds after they were begun, 0 for never.
    A process that keeps the index's write lock for ``stuck_after`` seconds without running is killed.
    ``clock`` gives ms since the epoch. ValueError for blocks below 4 KiB.
    """

    inline_max: int = 64 << 10
    block_size: int = 1 << 20
    readers: int = 126
    map_size: int = 64 << 30
    max_map: int = MAX_MAP
    grace: float = 3600
    upload_expiry: float = 7 * 86400
    reserve: int = 64 << 20
    stuck_after: float = 10
    clock: Callable[[], int] = wall_clock

    def __post_init__(self) -> None:
        if self.block_size < MIN_BLOCK:
            raise ValueError(f"block size {self.block_size} is below {MIN_BLOCK}")

    def due(self) -> int:
        """Return when what is let go now may be unlinked, ms since the epoch."""
        return self.clock() + int(self.grace * 1000)
