"""Lines of a long run: results on standard output, and meanwhile one that says how far it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from s3shim.migrate import Progress

_EVERY = 0.5  # seconds from one line of progress to the next on a terminal
_EVERY_LOGGED = 30.0  # and elsewhere

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


class Screen:
    """Writes lines, from any thread. The line of progress goes to standard error."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._lock = Lock()
        self._shown = 0

    def tell(self, line: str) -> None:
        """Write a line that stays."""
        with self._lock:
            self._clear()
            print(line, flush=True)

    @contextmanager
    def showing(self, progress: Progress) -> Iterator[None]:
        """Show ``progress`` as long as this lasts."""
        ended = Event()
        thread = Thread(target=self._loop, args=(progress, ended), name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            with self._lock:
                self._clear()

    def _loop(self, progress: Progress, ended: Event) -> None:
        began = time.monotonic()
        while not ended.wait(_EVERY if self._terminal else _EVERY_LOGGED):
            rate = progress.bytes / (time.monotonic() - began)
            self._show(f"{progress.line()}, {sized(rate)}/s")

    def _show(self, line: str) -> None:
        with self._lock:
            if self._terminal:
                sys.stderr.write("\r" + line.ljust(self._shown))
                self._shown = len(line)
            else:
                sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def _clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r" + " " * self._shown + "\r")
            sys.stderr.flush()
            self._shown = 0


def sized(number: float) -> str:
    """Return a number of bytes in the largest unit that leaves something before the point."""
    for unit in _UNITS[:-1]:
        if number < 1024:
            return f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:.1f} {_UNITS[-1]}"
