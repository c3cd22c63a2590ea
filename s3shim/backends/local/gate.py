"""The gate of the memory map: transactions pass side by side, a new mapping needs it alone.

LMDB forbids to change the map while transactions of the process are open.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, Lock

from s3shim.errors import Code, S3Error


class Gate:
    """A shared and exclusive lock that can be shut for good; whoever waits to be alone goes first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._changed = Condition(self._lock)
        self._inside = 0
        self._alone = False
        self._held = False
        self._shut = False

    def enter(self) -> None:
        """Pass the gate; raises ServiceUnavailable where it is shut. Never twice in one thread."""
        with self._lock:
            while self._alone or self._held:
                self._changed.wait()
            if self._shut:
                raise S3Error(Code.ServiceUnavailable)
            self._inside += 1

    def leave(self) -> None:
        """Undo one ``enter``."""
        with self._lock:
            self._inside -= 1
            if self._alone or self._held:
                self._changed.notify_all()

    @contextmanager
    def last(self) -> Iterator[None]:
        """For one who is inside: wait until all others have left, and let nobody in meanwhile."""
        with self._lock:
            self._held = True
            while self._inside > 1:
                self._changed.wait()
        try:
            yield
        finally:
            with self._lock:
                self._held = False
                self._changed.notify_all()

    @contextmanager
    def alone(self, *, shut: bool = False) -> Iterator[None]:
        """Wait until nobody is inside and keep it so; ``shut`` refuses everybody afterwards."""
        with self._lock:
            while self._alone:
                self._changed.wait()
            if self._shut:
                raise S3Error(Code.ServiceUnavailable)
            self._alone = True
            while self._inside:
                self._changed.wait()
        try:
            yield
        finally:
            with self._lock:
                self._alone = False
                self._shut = shut
                self._changed.notify_all()
