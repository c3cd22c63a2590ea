"""Which of the threads waits for events. One leads: it waits, serves what comes, and waits again.

The others rest meanwhile. Threads that all wait for events and are all woken by them mostly wait for each
other after that: for the interpreter's lock, which each call of the kernel gives away and has to get back.
The leader gives the lead up before it waits for something else, and the watch takes it from a leader who is
at one request for longer than a tick. Nobody is woken by that: a lead that is free wakes a resting thread
when an event comes, and the one who gave it up may take it again before. Where requests mostly wait, for a
disk or for another server, there is little to contend for: as long as that is so all wait for events.
"""

from __future__ import annotations

import select
import threading
import time
from threading import get_ident

TICK = 0.001
"""Seconds that a leader may be at one request."""

_IDLE_TICKS = 20  # without an event, after which the watch rests too
_NOBODY = 0
_FREE = select.EPOLLIN | select.EPOLLONESHOT

# Of the last requests: how many waits there were for each, and how much the last one counts in that.
_MANY = 0.5
_WEIGHT = 1 / 16


class Lead:
    """Who leads. ``events`` and ``alarm`` are descriptors: an epoll of what there is to do, and of the end.

    A thread is among the ``attendants`` while it waits for events; a list counts without a lock. Any thread
    may call the methods.
    """

    def __init__(self, events: int, alarm: int) -> None:
        self.attendants: list[None] = []
        self._events = events
        # Who rests waits for the other epoll to have something, and only while nobody leads.
        self._rest = select.epoll()
        self._rest.register(events, 0)
        self._rest.register(alarm, select.EPOLLIN)
        self._lock = threading.Lock()
        self._leader = _NOBODY
        self._resting = 0
        self._turn = 0
        self._waits = 0.0
        self._ended = False
        self._watch_rests = False
        self._bell = threading.Semaphore(0)

    def start(self) -> None:
        """Start the watch. Raises RuntimeError where the system has no thread for it."""
        threading.Thread(target=self._watch, daemon=True).start()

    def attended(self) -> bool:
        """Whether a thread waits for events, or rests and would."""
        return bool(self.attendants) or self._resting > 0

    def take(self) -> None:
        """Return when the calling thread is to wait for events, or when all has ended."""
        me = get_ident()
        while not self._ended:
            if self._waits > _MANY:
                if self._leader != _NOBODY or self._resting:
                    with self._lock:
                        self._free()
                return
            if self._leader == me:
                return
            with self._lock:
                if self._leader == _NOBODY:
                    self._leader = me
                    self._rest.modify(self._events, 0)
                    return
                self._resting += 1
            self._rest.poll(-1, 1)
            with self._lock:
                self._resting -= 1

    def came(self) -> None:
        """Say that there is an event, to be served by the calling thread."""
        self._turn += 1
        self._waits -= self._waits * _WEIGHT
        if self._watch_rests and self._waits <= _MANY:
            self._watch_rests = False
            self._bell.release()

    def give_up(self) -> None:
        """Leave the lead, if the calling thread has it, to whoever comes first: it is about to wait."""
        self._waits += _WEIGHT
        me = get_ident()
        if self._leader == me:
            with self._lock:
                if self._leader == me:
                    self._free()

    def _free(self) -> None:
        self._leader = _NOBODY
        if not self._ended:
            self._rest.modify(self._events, _FREE)

    def end(self) -> None:
        """Let all return from ``take``, from now on; the alarm has been given."""
        self._ended = True
        self._bell.release()

    def close(self) -> None:
        """Close what threads rest with; none of them rests any more."""
        with self._lock:
            self._ended = True
            self._rest.close()
        self._bell.release()

    def _watch(self) -> None:
        turn, idle = -1, 0
        while not self._ended:
            if idle > _IDLE_TICKS:
                self._watch_rests = True
                # Whoever has got an event just before does not know that it rests.
                if self._turn == turn or self._waits > _MANY:
                    self._bell.acquire()
                self._watch_rests = False
                idle = 0
            time.sleep(TICK)
            if self._turn == turn or self._waits > _MANY:
                idle += 1
            else:
                turn, idle = self._turn, 0
                continue
            if not self.attendants and self._leader != _NOBODY:
                idle = 0
                with self._lock:
                    # Somebody may have come back from a request meanwhile.
                    if self._turn == turn and not self.attendants:
                        self._waits += _WEIGHT
                        self._free()
