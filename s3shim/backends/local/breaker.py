"""The breaker: a disk that fails its syncs gets no more writes for a while.

What a failed sync was to write may be lost, though the page cache still shows it and the next sync says
nothing of it. One failure is answered to its client. A disk that fails again and again is left alone: the
process refuses to write, and reads go on. After a pause one write is let through; what becomes of it decides.
"""

from __future__ import annotations

import errno
import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import ceil
from threading import Lock

from s3shim.backends.local.space import Space
from s3shim.errors import Code, S3Error
from s3shim.waiting import WAITS

LIMIT, WINDOW = 3, 60.0  # so many failed syncs in so many seconds stop the writing
PAUSE = 60.0  # seconds without a failure before a write is tried
READ_ONLY_PAUSE = 5.0  # the same where the file system is read-only: to try costs nothing then

_FREE = nullcontext()

_log = logging.getLogger(__name__)


class Breaker:
    """Counts the failed syncs of a process and refuses its writes when they are too many."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._lock = Lock()
        self._failures: deque[float] = deque(maxlen=LIMIT)
        self._tripped = False
        self._until = 0.0
        self._probing = False

    @property
    def tripped(self) -> bool:
        """Whether nothing may be written, or one write at most."""
        return self._tripped

    def check(self) -> None:
        """Raise ServiceUnavailable where a write would be refused now."""
        if self._tripped:
            left = self._until - time.monotonic()
            if left > 0 or self._probing:
                raise S3Error(Code.ServiceUnavailable, headers={"Retry-After": str(max(ceil(left), 1))})

    def turn(self) -> AbstractContextManager[None]:
        """Give a write its turn; only one at a time has it while the breaker is tripped.

        Raises ServiceUnavailable where there is none.
        """
        WAITS.announce()
        return self._probe() if self._tripped else _FREE

    @contextmanager
    def _probe(self) -> Iterator[None]:
        probe = False
        if self._tripped:
            with self._lock:
                self.check()
                probe = self._probing = self._tripped
        try:
            yield
        finally:
            if probe:
                self._probing = False

    def failed(self, code: int) -> None:
        """Count a write that failed with the errno ``code`` when it was to be made durable."""
        read_only = code == errno.EROFS
        # A full disk fails syncs too, and what frees space must go on then.
        if not read_only and (code not in (errno.EIO, errno.ENOSPC) or self._space.is_full()):
            return
        with self._lock:
            now = time.monotonic()
            if not read_only:
                self._failures.append(now)
            many = len(self._failures) == LIMIT and now - self._failures[0] <= WINDOW
            if read_only or many or self._tripped:
                if not self._tripped:
                    reason = "the file system is read-only" if read_only else "syncs fail again and again"
                    _log.error("%s: nothing is written for now", reason)
                self._tripped = True
                self._until = now + (READ_ONLY_PAUSE if read_only else PAUSE)

    def succeeded(self) -> None:
        """Note that a write is durable: the one that was let through ends the refusal."""
        if self._probing:
            with self._lock:
                self._tripped = False
                self._failures.clear()
            _log.warning("a write has succeeded: writing goes on")
