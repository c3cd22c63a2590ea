"""What a running server takes: memory, descriptors, threads, disk, in samples; and whether they stay flat."""

from __future__ import annotations

import os
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from crash.fleet import children

EVERY = 10.0  # seconds
MIB = 1 << 20

GROWTH = 0.05  # of the memory at first, or
SMALL_GROWTH = 8 * MIB  # if that is more: one arena of malloc
MORE_DESCRIPTORS = 10
MORE_THREADS = 4
STAND_INS = 16  # threads that stand in for others, at one time


@dataclass(frozen=True, slots=True)
class Gauge:
    """One sample of one worker: bytes of anonymous memory, descriptors that are no sockets, threads."""

    when: float
    anonymous: int
    descriptors: int
    threads: int


@dataclass(frozen=True, slots=True)
class Disk:
    """One sample of the store: bytes that data.mdb takes, files in blobs."""

    index: int
    files: int


def measure(pid: int) -> Gauge:
    """Look at a process. Raises OSError where it is gone."""
    status = Path(f"/proc/{pid}/status").read_text()
    numbers = {
        name: int(re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)[1]) for name in ("RssAnon", "Threads")
    }
    descriptors = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            descriptors += not os.readlink(f"/proc/{pid}/fd/{fd}").startswith("socket:")
        except FileNotFoundError:
            continue
    return Gauge(time.monotonic(), numbers["RssAnon"] * 1024, descriptors, numbers["Threads"])


def measure_disk(root: Path) -> Disk:
    """Look at a store."""
    files = sum(len(os.listdir(shard)) for shard in (root / "blobs").iterdir())
    return Disk((root / "meta" / "data.mdb").stat().st_blocks * 512, files)


class Sampler(threading.Thread):
    """Takes samples of a server's workers and of its store until ``stop`` is called."""

    def __init__(self, master: int, root: Path) -> None:
        super().__init__(daemon=True)
        self.gauges: dict[int, list[Gauge]] = {}
        self.disk: list[Disk] = []
        self._master = master
        self._root = root
        self._ended = threading.Event()

    def run(self) -> None:
        """Take a sample now and then."""
        while True:
            for pid in children(self._master):
                try:
                    self.gauges.setdefault(pid, []).append(measure(pid))
                except OSError:
                    continue
            self.disk.append(measure_disk(self._root))
            if self._ended.wait(EVERY):
                return

    def stop(self) -> None:
        """End it."""
        self._ended.set()
        self.join()


def slope(points: list[tuple[float, float]]) -> float:
    """Return the slope of the line of least squares, 0 for fewer than three points."""
    if len(points) < 3:
        return 0.0
    x = sum(point[0] for point in points) / len(points)
    y = sum(point[1] for point in points) / len(points)
    spread = sum((point[0] - x) ** 2 for point in points)
    return sum((point[0] - x) * (point[1] - y) for point in points) / spread


def judge(segment: dict[int, list[Gauge]], warm: float) -> tuple[list[str], list[str]]:
    """Return what grew, and a line on each worker; the first ``warm`` seconds do not count."""
    wrong: list[str] = []
    lines: list[str] = []
    for pid, samples in segment.items():
        kept = [one for one in samples if one.when - samples[0].when >= warm]
        if len(kept) < 3:
            wrong.append(f"worker {pid} has only {len(kept)} samples after {warm:.0f} s")
            continue
        span = kept[-1].when - kept[0].when
        memory = slope([(one.when, one.anonymous) for one in kept]) * span
        first = sum(one.anonymous for one in kept[:3]) / 3
        descriptors = slope([(one.when, one.descriptors) for one in kept]) * span
        threads = [one.threads for one in kept]
        if memory > max(GROWTH * first, SMALL_GROWTH):
            wrong.append(f"worker {pid} grew by {memory / MIB:.1f} MiB of {first / MIB:.1f}")
        if abs(descriptors) > MORE_DESCRIPTORS:
            wrong.append(f"worker {pid} has {descriptors:+.0f} descriptors")
        more = slope([(one.when, one.threads) for one in kept]) * span
        if more > MORE_THREADS:
            wrong.append(f"worker {pid} has {threads[-1]} threads that grew by {more:.0f}")
        elif max(threads) > min(threads) + STAND_INS:
            wrong.append(f"worker {pid} had {min(threads)} to {max(threads)} threads")
        lines.append(
            f"worker {pid}: {span:.0f} s, {first / MIB:.1f} MiB {memory / MIB:+.2f} MiB"
            f" ({memory / first:+.1%}), most {max(one.anonymous for one in samples) / MIB:.1f} MiB,"
            f" {min(one.descriptors for one in kept)} to {max(one.descriptors for one in kept)} descriptors,"
            f" {min(threads)} to {max(threads)} threads"
        )
    return wrong, lines
