"""An open store: its index, its committer, its files and its reclaimer, made and ended together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import lmdb

from s3shim.backends.local.commit import Committer
from s3shim.backends.local.files import Files
from s3shim.backends.local.index import Index
from s3shim.backends.local.layout import open_index
from s3shim.backends.local.readers import ReaderLock
from s3shim.backends.local.reclaim import Reclaimer
from s3shim.backends.local.settings import Settings
from s3shim.errors import Code, S3Error


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
            stuck_after=settings.stuck_after,
        )
        committer = Committer(index)
        files = Files(self._root, settings.block_size, index.space, index.breaker)
        reclaimer = Reclaimer(self._root, index, committer, files, settings)
        index.space.make_room = reclaimer.make_room
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
        """Raise ServiceUnavailable where the store cannot be read or written.

        Where writing has been stopped long enough, a write is tried. A full disk is no reason: what is
        there can be read and deleted.
        """
        parts = self._open()
        try:
            with parts.index.read() as view:
                identity = view.uuid()
            if identity is not None and not parts.index.space.is_read_only():
                if parts.index.breaker.tripped:
                    parts.committer.run(lambda edit: edit.set_uuid(identity), frees=True)
                return
        except (S3Error, OSError, lmdb.Error) as error:
            raise S3Error(Code.ServiceUnavailable) from error
        raise S3Error(Code.ServiceUnavailable)

    def admit(self, size: int | None) -> None:
        """Look, before a body of ``size`` bytes is read, whether it can be kept.

        ServiceUnavailable while writing is stopped, InsufficientStorage where there is no room.
        """
        index = self.index
        index.breaker.check()
        index.space.check(size or 0, in_index=size is None or size <= self.settings.inline_max)

    def reclaim(self, *, everything: bool = False) -> int:
        """Unlink the files that are due, or all that wait; return how many. A thread does it by itself."""
        return self._open().reclaimer.run(everything=everything)

    def lock_readers(self, sequence: int) -> ReaderLock:
        """Keep what is used after the change ``sequence`` from being unlinked, whatever happens to it."""
        return ReaderLock(self._root, sequence)

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
