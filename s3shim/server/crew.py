"""The threads of a worker: so many that work, and others that stand in for those that wait for a client.

A thread that waits for a slow client gives its seat to another, so that slow clients leave the seats to those
that are not. When it comes back it works on at once; the first thread that is done ends then. Where there are
as many slow clients as threads, half of the seats stay taken: a thread that would leave one of those has to
give its client up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MOST_HELD = 128 << 20
"""Bytes of answers that may wait for slow clients in all, a block of an object for each of them."""


class NotSpared(TimeoutError):
    """The thread cannot wait for its client any longer."""


class Crew:
    """``seats`` threads that run ``work`` again and again, and stand-ins, in all at most ``most`` threads.

    ``free`` tells whether one of them waits for something to do.
    """

    def __init__(
        self, work: Callable[[], None], seats: int, most: int, free: Callable[[], bool] = lambda: True
    ) -> None:
        self._work = work
        self._seats = seats
        self._most = most
        self._free = free
        self._least = max(seats // 2, 1)
        # A slow client goes and comes many times, and not each time is a thread to be started and ended.
        self._enough = seats + seats // 4 + 1
        self._lock = threading.Lock()
        self._seated = 0
        self._threads = 0
        self._held = 0
        self._ended = False

    def start(self) -> None:
        """Start the threads. Raises RuntimeError where the system has none."""
        for _ in range(self._seats):
            self._threads += 1
            self._seated += 1
            self._spawn()

    def end(self) -> None:
        """Let each thread end when it is done; ``work`` must return soon by itself."""
        self._ended = True

    @property
    def gone(self) -> bool:
        """Whether all threads have ended."""
        return self._threads == 0

    def short(self) -> bool:
        """Whether nobody is free for what comes next, while one more could be."""
        return self._threads < self._most and not self._free()

    @contextmanager
    def away(self, held: int = 0) -> Iterator[None]:
        """The calling thread waits for something that is not its work: let another one stand in for it.

        Meanwhile it has ``held`` bytes in its hands. Raises NotSpared where there is nobody who could, or
        where too many bytes are held.
        """
        self._leave(held)
        try:
            yield
        finally:
            with self._lock:
                self._seated += 1
                self._held -= held

    def _leave(self, held: int) -> None:
        with self._lock:
            if self._held + held > MOST_HELD:
                raise NotSpared("slow clients keep too much waiting")
            self._held += held
            self._seated -= 1
            short = self._seated < self._seats and self._threads < self._most
            if short:
                self._seated += 1
                self._threads += 1
        if short:
            try:
                self._spawn()
            except RuntimeError:  # the system has no more threads
                with self._lock:
                    self._seated -= 1
                    self._threads -= 1
        with self._lock:
            if self._seated < self._least:
                self._seated += 1
                self._held -= held
                raise NotSpared("too many clients are slow")

    def _spawn(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            while not self._ended and not self._superfluous():
                self._work()
        finally:
            if self._ended:
                with self._lock:
                    self._threads -= 1
                    self._seated -= 1

    def _superfluous(self) -> bool:
        # Looked at without the lock first: it is asked after each request.
        if self._seated <= self._enough:
            return False
        with self._lock:
            if self._seated <= self._enough:
                return False
            self._seated -= 1
            self._threads -= 1
            return True
