"""Giving space back: files that nothing uses are unlinked some time after they were let go.

One process at a time does it, whoever gets DIR/RECLAIM. What a reader may still open is kept by its lock, see
readers. The delay is a second line of defence: a reader keeps an open file whatever happens to its name, and
one that meets a missing file reads the record again.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from threading import Event, Thread

import lmdb

from s3shim.backends.local.commit import Committer
from s3shim.backends.local.expiry import expire_uploads, forget_answers
from s3shim.backends.local.files import Files
from s3shim.backends.local.index import Index
from s3shim.backends.local.readers import oldest_reader
from s3shim.backends.local.settings import Settings
from s3shim.backends.local.tables import View, is_inline
from s3shim.errors import S3Error

SHORTEST, LONGEST = 1.0, 60.0  # seconds from one round to the next
BATCH = 200
ANSWERS_KEPT = 86_400_000  # ms

_FOREVER = (1 << 63) - 1

_log = logging.getLogger(__name__)


class Reclaimer:
    """A daemon thread that unlinks what is due, aborts the uploads that nobody completes, and frees the
    reader slots of dead processes.
    """

    def __init__(
        self, root: Path, index: Index, committer: Committer, files: Files, settings: Settings
    ) -> None:
        self._root = root
        self._index = index
        self._committer = committer
        self._files = files
        self._settings = settings
        self._interval = interval_of(settings.grace)
        self._stop = Event()
        self._thread = Thread(target=self._loop, name="s3shim-reclaim", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._index.check_readers()
        # Makes the files of the locks: when the disk is full it is too late for that.
        with self._elected():
            oldest_reader(self._root)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._stop.set()
        self._thread.join()

    def run(self, *, everything: bool = False) -> int:
        """Unlink what is due, or ``everything`` that waits, but for what is being read; return how many.

        Nothing is done while another process does it.
        """
        with self._elected() as mine:
            if not mine:
                return 0
            until = _FOREVER if everything or self._index.space.is_full() else self._settings.clock()
            failed: set[bytes] = set()
            total = 0
            while not self._stop.is_set():
                found, done = self._batch(until, failed)
                total += done
                if found < BATCH:
                    break
            if failed:
                _log.error("%d files cannot be removed, it is tried again later", len(failed))
            return total

    def make_room(self) -> None:
        """Unlink everything that waits, for a write that finds the disk full; no error where that fails."""
        try:
            self.run(everything=True)
        except (S3Error, OSError, lmdb.Error) as error:
            _log.error("no room could be made: %s", error)

    def expire(self) -> None:
        """Abort the uploads that are too old, and forget the answers to those completed a day ago.

        Nothing is done while another process does it.
        """
        with self._elected() as mine:
            if not mine:
                return
            now = self._settings.clock()
            if self._settings.upload_expiry:
                before = now - int(self._settings.upload_expiry * 1000)
                expire_uploads(self._index, self._committer, self._settings, before)
            forget_answers(self._index, self._committer, now - ANSWERS_KEPT)

    def _batch(self, until: int, failed: set[bytes]) -> tuple[int, int]:
        # Returns how many rows were looked at, and how many are done. What cannot be unlinked is noted in
        # ``failed`` and left for another time; the others go on.
        with self._index.read() as view:
            # Within the transaction: a reader whose lock comes later sees all removals that it shows.
            oldest = oldest_reader(self._root)
            free = (
                row
                for row in view.garbage(until)
                if row[0] not in failed and (oldest is None or row[1] <= oldest)
            )
            due = [(key, extent_id, _in_use(view, extent_id)) for key, _, extent_id in islice(free, BATCH)]
        done = []
        for key, extent_id, used in due:
            if used or is_inline(extent_id) or self._unlink(extent_id):
                done.append(key)
            else:
                failed.add(key)
        if done:
            self._committer.run(lambda edit: edit.forget_garbage(done), frees=True)
        return len(due), len(done)

    def _unlink(self, extent_id: bytes) -> bool:
        try:
            self._files.unlink(extent_id)
        except OSError as error:
            _log.warning("file %s cannot be removed: %s", extent_id.hex(), error)
            return False
        return True

    @contextmanager
    def _elected(self) -> Iterator[bool]:
        fd = os.open(self._root / "RECLAIM", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(fd)

    def _loop(self) -> None:
        while not self._stop.wait(self._interval):
            for task in (self._index.check_readers, self.run, self.expire):
                try:
                    task()
                except (S3Error, OSError) as error:
                    _log.error("%s failed, it is tried again later: %s", task.__name__, error)
                except Exception:
                    _log.exception("%s failed, it is tried again later", task.__name__)


def interval_of(grace: float) -> float:
    """Return how often to look for files that wait ``grace`` seconds, in seconds."""
    return min(LONGEST, max(SHORTEST, grace / 4))


def _in_use(view: View, extent_id: bytes) -> bool:
    try:
        return view.references(extent_id) > 0
    except S3Error:
        return True  # nobody knows
