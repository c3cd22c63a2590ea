"""What the storage does by itself, in one process of each host: every hour what has expired is removed."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

_EVERY = 300.0
_CLEAN_EVERY = 3600.0

_log = logging.getLogger(__name__)


class Rounds:
    """A thread beside those that serve. ``clean`` is called with the time (ms) before which uploads expire.

    Uploads are aborted after ``expiry`` seconds; 0 is never, and the time is 0 then. ``path`` is a file whose
    time says when it was done last by any process of this host.
    """

    def __init__(self, path: Path, expiry: int, clean: Callable[[int], object]) -> None:
        self._path = path
        self._expiry = expiry
        self._clean = clean
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="s3shim-upstream-rounds", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is being done ends with the storage."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY * random.uniform(0.8, 1.2)):
            self.round()

    def round(self) -> bool:
        """Clean up where it is due; return whether it was."""
        if not self._is_due():
            return False
        try:
            self._clean(int((time.time() - self._expiry) * 1000) if self._expiry else 0)
        except Exception as error:
            _log.warning("nothing is cleaned up now: %r", error)
        return True

    def _is_due(self) -> bool:
        try:
            if time.time() - self._path.stat().st_mtime < _CLEAN_EVERY:
                return False
        except OSError:
            pass  # it is the first time
        try:
            self._path.touch()
        except OSError as error:
            _log.warning("nothing is cleaned up now: %r", error)
            return False
        return True
