"""The watch over LMDB's write lock: a process that is stopped while it has the lock must not stop all others.

LMDB gives the lock of a dead process to the next writer, but waits without limit for one that lives and does
not run: stopped by a signal or a debugger, frozen, or in a deadlock. So whoever wants the lock marks itself
by a lock on one byte of DIR/WRITER, whoever has got it by another byte, and each process looks at these marks
once a second. A process whose marks stay while its thread does not run is killed.

The marks are POSIX record locks. The kernel says whose they are, so no number of a process can be mistaken
for that of another, and it takes them back when the process dies; nothing is written to the disk.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread, get_native_id
from typing import NamedTuple

INTERVAL = 1.0  # seconds from one look to the next, where the limit is not very short

_FLOCK = struct.Struct("@hhqqi0q")  # struct flock: type, whence, start, length, pid

# The byte of a mark: whether the lock is held, the time in ms, the thread. No thread id has more bits.
_HELD = 1 << 62
_THREAD_BITS = 22
_TIME = (1 << 40) - 1

_STATUS = re.compile(
    rb"^State:\t(\w).*^voluntary\w+:\t(\d+)\nnonvoluntary\w+:\t(\d+)", re.DOTALL | re.MULTILINE
)

_log = logging.getLogger(__name__)


class Mark(NamedTuple):
    """What process ``pid`` says of itself by the byte ``at``."""

    pid: int
    at: int

    @property
    def held(self) -> bool:
        """Whether it has the write lock, or else waits for it."""
        return bool(self.at & _HELD)

    @property
    def thread(self) -> int:
        """The thread that writes."""
        return self.at & (1 << _THREAD_BITS) - 1


class WriterMarks:
    """The marks in the file ``path``, which is made where it is missing. OSError where that fails.

    Only one at a time in a process: to close the file takes away the marks of the whole process.
    """

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def wait(self, at: int) -> None:
        """Mark, by ``at`` of ``mark_of_now``, that this thread wants the write lock.

        It comes before the wait: a thread that has got the lock may be stopped before it can say so.
        """
        self._set(fcntl.F_WRLCK, at)

    def hold(self, at: int) -> None:
        """Mark that this thread has the write lock."""
        self._set(fcntl.F_WRLCK, at | _HELD)

    def leave(self, at: int) -> None:
        """Take both marks back, or what there is of them."""
        self._set(fcntl.F_UNLCK, at | _HELD)
        self._set(fcntl.F_UNLCK, at)

    def others(self) -> Iterator[Mark]:
        """Yield the marks of all other processes."""
        spans = [(0, 0)]
        while spans:
            start, length = spans.pop()  # a length of 0 is up to the end of all files
            answer = fcntl.fcntl(self._fd, fcntl.F_GETLK, _flock(fcntl.F_WRLCK, start, length))
            kind, _, at, _, pid = _FLOCK.unpack(answer)
            if kind == fcntl.F_UNLCK:
                continue
            yield Mark(pid, at)
            if at > start:
                spans.append((start, at - start))
            if length != 1 and at + 1 != start + length:
                spans.append((at + 1, length and start + length - at - 1))

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _set(self, kind: int, at: int) -> None:
        fcntl.fcntl(self._fd, fcntl.F_SETLK, _flock(kind, at, 1))


class Sight(NamedTuple):
    """What was seen of a thread: since when, monotonic seconds, and how often it had been switched."""

    since: float
    switches: int


class Watchdog:
    """A daemon thread that kills whoever keeps the write lock for ``limit`` seconds without running.

    It is the time that this thread has seen itself that counts: after a halt of all processes, or of the
    machine, nobody is to blame.
    """

    def __init__(self, marks: WriterMarks, limit: float) -> None:
        self._marks = marks
        self._limit = limit
        self._interval = min(INTERVAL, limit / 10)
        self._seen: dict[Mark, Sight] = {}
        self._last = time.monotonic()
        self._stop = Event()
        self._thread = Thread(target=self._loop, name="s3shim-watchdog", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread and wait for it."""
        self._stop.set()
        self._thread.join()

    def look(self, now: float) -> None:
        """Look at the marks once; ``now`` is the monotonic time in seconds."""
        if now - self._last > max(3 * self._interval, self._limit / 2):
            self._seen = {}  # this process did not run either
        self._last = now
        seen = {}
        for mark in sorted(self._marks.others(), key=lambda mark: mark.held, reverse=True):
            state, switches = thread_state(mark)
            if not blocks(mark, state):
                continue
            before = self._seen.get(mark)
            seen[mark] = sight = before if before and before.switches == switches else Sight(now, switches)
            if now - sight.since >= self._limit:
                self._kill(mark, state, now - sight.since)
        self._seen = seen

    def _kill(self, mark: Mark, state: str, seconds: float) -> None:
        try:
            process = os.pidfd_open(mark.pid)
        except ProcessLookupError:
            return
        try:
            # Who has the mark still is the process that was opened, and no later one of its number.
            if mark in self._marks.others():
                signal.pidfd_send_signal(process, signal.SIGKILL)
                verb = "kept" if mark.held else "waited for"
                _log.error(
                    "process %d was killed: it %s the write lock and did not run for %.1f s (state %s)",
                    mark.pid,
                    verb,
                    seconds,
                    state,
                )
        except ProcessLookupError:
            return
        finally:
            os.close(process)

    def _loop(self) -> None:
        while not self._stop.wait(self._interval):
            try:
                self.look(time.monotonic())
            except Exception:
                _log.exception("the watch over the write lock failed, it is tried again later")


def mark_of_now() -> int:
    """Return the byte by which this thread marks itself next; never 0."""
    return (time.monotonic_ns() // 1_000_000 & _TIME) << _THREAD_BITS | get_native_id()


def thread_state(mark: Mark) -> tuple[str, int]:
    """Return the state letter of the thread (proc(5)) and how often it was switched; "" where it is gone."""
    try:
        with open(f"/proc/{mark.pid}/task/{mark.thread}/status", "rb", buffering=0) as file:
            found = _STATUS.search(file.read())
    except (FileNotFoundError, ProcessLookupError):
        found = None
    if found is None:
        return "", 0
    return found[1].decode(), int(found[2]) + int(found[3])


def blocks(mark: Mark, state: str) -> bool:
    """Return whether a thread that stays in ``state`` keeps all others from writing.

    Stopped (T) and traced (t): always; one that waits may have got the lock and not have said so. Asleep (S):
    only with the lock, the others have nothing to do but wait. A wait for the disk (D) ends by itself or
    with the disk, the next writer would wait for the same. Runnable (R): the machine is busy or the change
    is large; another start of it would take no less.
    """
    return state in ("T", "t") or (state == "S" and mark.held)


def _flock(kind: int, start: int, length: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, start, length, 0)
