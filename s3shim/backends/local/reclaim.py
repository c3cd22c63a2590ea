"""Giving space back: files that nothing uses are unlinked some time after they were let go.

One process at a time does it, whoever gets DIR/RECLAIM. What a reader may still open is kept by its lock, see
readers. The delay is a second line of defence: a reader keeps an open file whatever happens to its name, and
one that meets a missing file reads the record again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from threading import Event, Thread

from s3shim.backends.local.commit import Committer
from s3shim.backends.local.expiry import expire_uploads, forget_answers
from s3shim.backends.local.files import TEMPORARY, Files
from s3shim.backends.local.index import Index, open_environment
from s3shim.backends.local.layout import SHARDS, SMALL_MAP, meta_path, shard_path
from s3shim.backends.local.readers import oldest_reader
from s3shim.backends.local.settings import Settings
from s3shim.backends.local.tables import Edit, Tables, View, is_inline

SHORTEST, LONGEST = 1.0, 60.0  # seconds from one round to the next
BATCH = 200
ANSWERS_KEPT = 86_400_000  # ms

_FILE_NAME = re.compile(r"[0-9a-f]{32}")
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
            until = _FOREVER if everything or self._index.is_full() else self._settings.clock()
            total = 0
            while not self._stop.is_set():
                done = self._batch(until)
                total += done
                if done < BATCH:
                    break
            return total

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

    def _batch(self, until: int) -> int:
        with self._index.read() as view:
            # Within the transaction: a reader whose lock comes later sees all removals that it shows.
            oldest = oldest_reader(self._root)
            free = (row for row in view.garbage(until) if oldest is None or row[1] <= oldest)
            due = [
                (key, extent_id, view.references(extent_id) > 0) for key, _, extent_id in islice(free, BATCH)
            ]
        if not due:
            return 0
        for _, extent_id, used in due:
            if not used and not is_inline(extent_id):
                self._files.unlink(extent_id)
        gc_keys = [key for key, _, _ in due]

        def forget(edit: Edit) -> None:
            edit.forget_garbage(gc_keys)

        self._committer.run(forget)
        return len(due)

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
                except Exception:
                    _log.exception("%s failed, it is tried again later", task.__name__)


def interval_of(grace: float) -> float:
    """Return how often to look for files that wait ``grace`` seconds, in seconds."""
    return min(LONGEST, max(SHORTEST, grace / 4))


def sweep(root: Path) -> int:
    """Unlink the files that no object and no part uses and none waits for; return how many.

    Only for the master, with DIR/LOCK held and before any process serves: a put that is under way
    has a file that is not in the index yet.
    """
    env = open_environment(meta_path(root), SMALL_MAP)
    try:
        tables = Tables(env, create=False)
        with env.begin() as txn:
            view = View(txn, tables)
            waiting = {extent_id for _, _, extent_id in view.garbage(_FOREVER)}
            return sum(_sweep_shard(shard_path(root, shard), shard, view, waiting) for shard in range(SHARDS))
    finally:
        env.close()


def _sweep_shard(path: Path, shard: int, view: View, waiting: set[bytes]) -> int:
    used = set(view.referenced(bytes([shard])))
    count = 0
    for name in os.listdir(path):
        if _FILE_NAME.fullmatch(name):
            extent_id = bytes.fromhex(name)
            if extent_id in used or extent_id in waiting:
                continue
        elif not name.startswith(TEMPORARY):
            continue
        os.unlink(path / name)
        count += 1
    return count
