"""Memory that the master shares with its workers, where each of them shows its numbers to the others.

The master maps it before it forks, so there are no files: nothing is to be cleaned, whoever dies, and nobody
else can look into it. Each worker has a place of its own, in which it writes two copies in turn, each with a
checksum: who is killed while it writes leaves the copy before. The master adds the counters of a worker that
has ended to those in the first place, so that sums over all workers never fall.
"""

from __future__ import annotations

import logging
import mmap
import struct
import threading
import time
import zlib
from collections.abc import Callable
from functools import cache

import msgspec

from s3shim.measures import Samples

_COPY = 64 << 10  # bytes; of memory that is never written to, no page is used
_PLACE = 2 * _COPY
_HEAD = struct.Struct("<QIII")  # number of the copy, worker, length, CRC-32 of these three and the rest
_CHECKED = struct.Struct("<QII")
_LONGEST = _COPY - _HEAD.size
_GENERATIONS = 4  # of workers, that may be there at once: after a reload the old ones still end
_REMEMBERED = 256

MASTER = 0
"""The number in the place of those that have ended; gunicorn counts its workers from 1."""

log = logging.getLogger(__name__)


class Sheet(msgspec.Struct, array_like=True):
    """What a worker shows: ``lasting`` outlives it, ``passing`` does not. ``ended``: see ``Board.sheets``."""

    lasting: dict[str, Samples] = {}
    passing: dict[str, Samples] = {}
    ended: list[int] = []


_decoder = msgspec.msgpack.Decoder(Sheet)


class Board:
    """Made once, in the master; ``open`` and ``hire`` before the fork.

    ``show``, where it is set, shows what this process has to show now. ``started`` is the time at which the
    service has (seconds since 1970), ``began`` the same by the monotonic clock.
    """

    def __init__(self) -> None:
        self.started = time.time()
        self.began = time.monotonic()
        self.show: Callable[[], None] | None = None
        self.worker = MASTER
        self._memory: mmap.mmap | None = None
        self._places: dict[int, int] = {}
        self._of_ended = Sheet()
        self._lock = threading.Lock()
        self._copy = 0

    @property
    def is_shared(self) -> bool:
        """Whether this process has a place on it."""
        return self.worker in self._places

    # -- in the master ----------------------------------------------------------------------------

    def open(self, workers: int) -> None:
        """Make room for so many workers, and for those of some reloads."""
        if self._memory is None:
            self._memory = mmap.mmap(-1, _PLACE * (1 + _GENERATIONS * workers))

    def hire(self, worker: int) -> None:
        """Give the worker that is forked next a place; where there is none, it shows nothing."""
        self.worker = worker
        if self._memory is None:
            return
        taken = set(self._places.values())
        for place in range(1, len(self._memory) // _PLACE):
            if place not in taken:
                self._places[worker] = place
                for copy in range(2):
                    begin = place * _PLACE + copy * _COPY
                    self._memory[begin : begin + _HEAD.size] = bytes(_HEAD.size)
                return
        log.warning("worker %d has no place for its metrics: too many are still ending", worker)

    def bury(self, worker: int) -> None:
        """Keep the counters of a worker that has ended, and give its place to others."""
        place = self._places.get(worker)
        if place is None or self._memory is None:
            return
        left = self._at(place, worker)
        ended = self._of_ended
        if left is not None:
            add(ended.lasting, left.lasting)
        ended.ended = [*ended.ended, worker][-_REMEMBERED:]
        self._write(0, MASTER, ended)
        del self._places[worker]

    # -- in a worker ------------------------------------------------------------------------------

    def write(self, sheet: Sheet) -> None:
        """Show ``sheet`` in place of what this process has shown before; for any thread."""
        place = self._places.get(self.worker)
        if place is not None:
            self._write(place, self.worker, sheet)

    def sheets(self) -> list[Sheet]:
        """Return what the other workers show now, and what is left of those that have ended."""
        if self._memory is None:
            return []
        found = []
        for place in range(1, len(self._memory) // _PLACE):
            if place != self._places.get(self.worker):
                shown = self._shown(place)
                if shown is not None:
                    found.append(shown)
        # Last, with the names of those that it has counted: none is counted twice, and none is missed.
        ended = self._at(0, MASTER) or Sheet()
        return [sheet for worker, sheet in found if worker not in ended.ended] + [ended]

    def _write(self, place: int, worker: int, sheet: Sheet) -> None:
        assert self._memory is not None
        rest = msgspec.msgpack.encode(sheet)
        if len(rest) > _LONGEST:
            log.error("the metrics of this process are too long: %d bytes", len(rest))
            return
        with self._lock:
            self._copy += 1
            checked = _CHECKED.pack(self._copy, worker, len(rest))
            head = _HEAD.pack(self._copy, worker, len(rest), zlib.crc32(rest, zlib.crc32(checked)))
            begin = place * _PLACE + self._copy % 2 * _COPY
            self._memory[begin : begin + len(head) + len(rest)] = head + rest

    def _at(self, place: int, worker: int) -> Sheet | None:
        shown = self._shown(place)
        return shown[1] if shown is not None and shown[0] == worker else None

    def _shown(self, place: int) -> tuple[int, Sheet] | None:
        """Return the last whole copy in a place, and whose it is."""
        assert self._memory is not None
        newest, found = 0, None
        for copy in range(2):
            begin = place * _PLACE + copy * _COPY
            number, worker, length, checksum = _HEAD.unpack_from(self._memory, begin)
            if number <= newest or length > _LONGEST:
                continue
            begin += _HEAD.size
            rest = self._memory[begin : begin + length]
            if zlib.crc32(rest, zlib.crc32(_CHECKED.pack(number, worker, length))) == checksum:
                newest, found = number, (worker, rest)
        return None if found is None else (found[0], _decoder.decode(found[1]))


def add(total: dict[str, Samples], more: dict[str, Samples]) -> None:
    """Add the numbers of ``more`` to those of the same name and labels in ``total``."""
    for name, samples in more.items():
        sums = total.setdefault(name, {})
        for labels, numbers in samples.items():
            known = sums.get(labels)
            sums[labels] = (
                list(numbers)
                if known is None
                else [one + other for one, other in zip(known, numbers, strict=True)]
            )


@cache
def board() -> Board:
    """Return the one board of this process: the master's, in the workers that it has forked."""
    return Board()
