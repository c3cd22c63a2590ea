"""An open store: its index, its committer, its files and its reclaimer, made and ended together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import lmdb

from s3shim.backends.local.commit import Committer
from s3shim.backends.local.files import MIN_BLOCK, Files
from s3shim.backends.local.index import MAX_MAP, Index
from s3shim.backends.local.layout import open_index
from s3shim.backends.local.reclaim import Reclaimer
from s3shim.errors import Code, S3Error


def wall_clock() -> int:
    """Return the time, ms since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(slots=True, frozen=True)
class Settings:
    """What a store is opened with.

    Bodies up to ``inline_max`` bytes lie in the index, larger ones in files of blocks of ``block_size``
    bytes. ``readers`` bounds the transactions that read at once over all processes. ``map_size`` is the
    first size of the index's sparse map, doubled as needed up to ``max_map``. Files are unlinked
    ``grace`` ms after their object is gone, at once with no more than ``reserve`` bytes of the disk free.
    ``clock`` gives ms since the epoch. ValueError for blocks below 4 KiB.
    """

    inline_max: int = 64 << 10
    block_size: int = 1 << 20
    readers: int = 126
    map_size: int = 64 << 30
    max_map: int = MAX_MAP
    grace: int = 3_600_000
    reserve: int = 64 << 20
    clock: Callable[[], int] = wall_clock

    def __post_init__(self) -> None:
        if self.block_size < MIN_BLOCK:
            raise ValueError(f"block size {self.block_size} is below {MIN_BLOCK}")


@dataclass(slots=True)
class _Parts:
    index: Index
    committer: Committer
    files: Files
    reclaimer: Reclaimer


class Store:
    """A store in ``root``, its parts within one process; closed at first."""

    def __init__(self, root: Path, settings: Settings) -> None:
        self._root = root
        self.settings = settings
        self._parts: _Parts | None = None

    def start(self) -> None:
        """Open the store, made where it is missing. Raises StoreRefused."""
        settings = self.settings
        index = open_index(
            self._root,
            map_size=settings.map_size,
            max_map=settings.max_map,
            readers=settings.readers,
            reserve=settings.reserve,
        )
        committer = Committer(index)
        files = Files(self._root, settings.block_size, self._make_room)
        reclaimer = Reclaimer(self._root, index, committer, files, settings.clock)
        reclaimer.start()
        self._parts = _Parts(index, committer, files, reclaimer)

    def close(self) -> None:
        """End the thread, wait for open transactions, close the index."""
        parts, self._parts = self._parts, None
        if parts is not None:
            parts.index.guard()
            parts.reclaimer.close()
            parts.index.close()

    def check(self) -> None:
        """Raise ServiceUnavailable where the index cannot be read or is another store's."""
        try:
            with self.index.read() as view:
                identity = view.uuid()
        except (S3Error, lmdb.Error) as error:
            raise S3Error(Code.ServiceUnavailable) from error
        if identity is None:
            raise S3Error(Code.ServiceUnavailable)

    def reclaim(self, *, everything: bool = False) -> int:
        """Unlink the files that are due, or all that wait; return how many. A thread does it each minute."""
        return self._open().reclaimer.run(everything=everything)

    @property
    def index(self) -> Index:
        """The open index, or ServiceUnavailable."""
        return self._open().index

    @property
    def committer(self) -> Committer:
        """The way to change the index, or ServiceUnavailable."""
        return self._open().committer

    @property
    def files(self) -> Files:
        """The files, or ServiceUnavailable."""
        return self._open().files

    def _open(self) -> _Parts:
        parts = self._parts
        if parts is None:
            raise S3Error(Code.ServiceUnavailable)
        return parts

    def _make_room(self) -> None:
        self.reclaim(everything=True)
