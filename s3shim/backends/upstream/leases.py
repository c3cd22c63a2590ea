"""Leases: locks that the gateways of all machines share, in a ledger.

One process of a machine takes a lease at a time, under the lock of its machine (``locks``). Whoever holds it
renews it; whoever could not in time has lost it, and then others may take it. No clocks are compared: the
holder counts from before it asked for the lease, the others from after they saw it, each by its own clock,
which goes on while the machine is suspended. So a lease is over for its holder before it is for anybody else.

A holder looks at what is left just before it sends a change, and may be stopped just then. So there are two
times: a lease is in the way of others for ``TWICE`` as long as a holder may be stopped without harm, and
nothing is sent but where that and the time of sending are left.
"""

from __future__ import annotations

import json
import logging
import math
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b

from s3shim.backends.ledger import Ledger, Line
from s3shim.errors import Code, S3Error

_DRIFT = 1.05
"""How much longer than its time others let a lease be: clocks do not go at the same rate."""

TWICE = 2
"""How many times as long as a holder may pause others let its lease be."""

_SENDING = 1 / 4
"""The share of that pause that each of the two steps of sending may take, head and body."""

_PAUSES = (0.002, 0.025)
_SEEN = 4096

_log = logging.getLogger(__name__)


def clock() -> float:
    """Return seconds that go on while the machine is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _Holding:
    """Leases that are taken together: their revisions, and ``since`` when they are ours.

    ``lock`` is held while they are changed in the ledger. ``doubtful``: what was sent under them may still
    happen, so they are left to run out.
    """

    def __init__(self, time: float) -> None:
        self.value = json.dumps({"holder": os.urandom(8).hex(), "seconds": time}).encode()
        self.revisions: dict[str, int] = {}
        self.since = 0.0
        self.lock = threading.Lock()
        self.over = False
        self.doubtful = False

    def lines(self, revisions: dict[str, int]) -> dict[str, Line]:
        """Return the lines to write over these revisions."""
        return {name: Line(revision, self.value) for name, revision in revisions.items()}


class Leases:
    """``pause`` is for how many seconds this process may be stopped without harm."""

    def __init__(self, ledger: Ledger, pause: float) -> None:
        self.ledger = ledger
        self._pause = pause
        self._time = TWICE * pause
        self._holdings: set[_Holding] = set()
        self._of_thread = threading.local()
        self._seen: dict[str, tuple[int, float]] = {}
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to reach the ledger, and to renew."""
        self.ledger.start()
        self._ended.clear()
        self._thread = threading.Thread(target=self._run, name="s3shim-leases", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End."""
        self._ended.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
        self.ledger.close()

    @contextmanager
    def hold(self, names: Sequence[str], patience: float) -> Iterator[None]:
        """Hold the leases of these names, for this thread.

        Raises SlowDown where they are not to be had in time, ServiceUnavailable where the ledger is not to be
        reached, and at the end where a lease ran out before what was done under it was known to be done.
        """
        holding = _Holding(self._time)
        self._holdings.add(holding)
        try:
            self._take(holding, sorted(set(names)), clock() + patience)
            holdings = self._mine()
            holdings.append(holding)
            try:
                yield
            finally:
                holdings.remove(holding)
            if self._left(holding) <= 0:
                raise S3Error(Code.ServiceUnavailable)
        finally:
            self._give_back(holding)

    def sending(self) -> float | None:
        """Return how many seconds each of the two steps of sending a change, head and body, may take.

        Whoever is stopped in between for no longer than the pause has sent it while the lease was his. None
        where this thread holds no lease. Raises SlowDown where too little is left of one that it holds.
        """
        holdings = self._mine()
        if not holdings:
            return None
        step = self._pause * _SENDING
        if min(map(self._left, holdings)) < self._pause + 2 * step:
            raise S3Error(Code.SlowDown)
        return step

    def doubt(self) -> None:
        """Let the leases of this thread run out: what was sent under them may happen later."""
        for holding in self._mine():
            holding.doubtful = True

    def is_held(self, name: str) -> bool:
        """Whether somebody holds a lease now. Raises ServiceUnavailable."""
        line = self.ledger.read(name)
        if not line.value:
            self._seen.pop(name, None)
            return False
        return not self._is_dead(name, line)

    def outlast(self, stem: str, patience: float) -> None:
        """Wait until those who now hold leases below ``stem`` hold them no more. Raises as ``hold``."""
        deadline = clock() + patience
        for name in self.ledger.names(stem):
            first = self.ledger.read(name)
            for _ in _pauses(deadline):
                line = self.ledger.read(name)
                if line.value != first.value or not line.value or self._is_dead(name, line):
                    break

    # -- taking and giving back -----------------------------------------------------------------

    def _take(self, holding: _Holding, names: list[str], deadline: float) -> None:
        """Take the leases in order: all at once, but whoever waits for one holds none behind it."""
        wanted = dict.fromkeys(names, 0)
        while wanted:
            with holding.lock:
                since = clock()
                taken = self.ledger.write(holding.lines(wanted))
                missing = next((name for name in names if name in wanted and name not in taken), None)
                kept = {name: taken[name] for name in taken if missing is None or name < missing}
                if not holding.revisions:
                    holding.since = since
                holding.revisions |= kept
            if missing is None:
                return
            self.ledger.remove({name: taken[name] for name in taken if name not in kept})
            wanted = {name: 0 for name in names if name >= missing}
            wanted[missing] = self._wait(missing, deadline)

    def _wait(self, name: str, deadline: float) -> int:
        """Wait until nobody holds a lease; return the revision to write over. Raises SlowDown."""
        for _ in _pauses(deadline):
            line = self.ledger.read(name)
            if not line.value:
                self._seen.pop(name, None)
                return line.revision
            if self._is_dead(name, line):
                return line.revision
        raise AssertionError  # there is no end to pauses

    def _is_dead(self, name: str, line: Line) -> bool:
        """Whether the holder of a lease has not renewed it for as long as we watch it."""
        now = clock()
        revision, since = self._seen.get(name, (0, now))
        if revision != line.revision:
            if len(self._seen) >= _SEEN:
                self._seen.clear()
            self._seen[name] = line.revision, now
            return False
        return now - since > self._time_of(line) * _DRIFT

    def _time_of(self, line: Line) -> float:
        try:
            return max(float(json.loads(line.value)["seconds"]), 0.0)
        except (ValueError, TypeError, KeyError):
            return self._time  # somebody else wrote there

    def _give_back(self, holding: _Holding) -> None:
        with holding.lock:
            holding.over = True
        self._holdings.discard(holding)
        if holding.revisions and not holding.doubtful:
            self.ledger.remove(holding.revisions)

    # -- holding --------------------------------------------------------------------------------

    def _mine(self) -> list[_Holding]:
        try:
            found: list[_Holding] = self._of_thread.holdings
        except AttributeError:
            found = self._of_thread.holdings = []
        return found

    def _left(self, holding: _Holding) -> float:
        return holding.since + self._time - clock()

    def _run(self) -> None:
        while not self._ended.wait(self._pause / 8):
            for holding in list(self._holdings):
                try:
                    self._renew(holding)
                except S3Error:
                    _log.debug("a lease is not renewed")
                except Exception:
                    _log.exception("renewing leases has failed")

    def _renew(self, holding: _Holding) -> None:
        """Renew leases that are old enough for it. Raises ServiceUnavailable: they may have been renewed."""
        with holding.lock:
            since = clock()
            if holding.over or not holding.revisions or since - holding.since < self._pause / 4:
                return
            renewed = self.ledger.write(holding.lines(holding.revisions))
            holding.revisions |= renewed
            lost = [name for name in holding.revisions if name not in renewed]
            for name in lost:
                line = self.ledger.read(name)
                if line.value != holding.value:
                    holding.since = -math.inf
                    return
                # An earlier renewal came through, and its answer did not; the next one renews it for sure.
                holding.revisions[name] = line.revision
            if not lost:
                holding.since = since


def digest(*names: str) -> str:
    """Return a token of a ledger's name that stands for these names."""
    return blake2b("\0".join(names).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _pauses(deadline: float) -> Iterator[None]:
    """Yield at once, and then after short pauses, not the same for all. Raises SlowDown at the end."""
    pause = _PAUSES[0]
    while True:
        yield
        wait = pause * random.uniform(0.5, 1.0)
        if clock() + wait > deadline:
            raise S3Error(Code.SlowDown)
        time.sleep(wait)
        pause = min(pause * 1.5, _PAUSES[1])
