"""What the processes of a server cost: processor time, memory, bytes written."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_SCHED = 2  # CPUCLOCK_SCHED of the kernel's posix-timers.h: what the scheduler counted

# A mapping of /proc/PID/smaps: its file, then the lines of its figures.
_MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+ *(?P<path>.*)$")


class Processes:
    """Processes and all their descendants, looked up anew for each figure."""

    def __init__(self, roots: Sequence[int]) -> None:
        self._roots = list(roots)

    def pids(self) -> list[int]:
        """Return the ids of the processes that live."""
        found: list[int] = []
        todo = list(self._roots)
        while todo:
            pid = todo.pop()
            try:
                tasks = os.listdir(f"/proc/{pid}/task")
                found.append(pid)
                for task in tasks:
                    children = Path(f"/proc/{pid}/task/{task}/children").read_text()
                    todo += [int(child) for child in children.split()]
            except FileNotFoundError:
                continue
        return found

    def cpu(self) -> float:
        """Return the seconds of processor time, user and system, since the processes began.

        Exact to the nanosecond for the processes that live, with all their threads, ended ones too: it is
        the kernel's clock of the process. Children that ended count in ticks of 10 ms.
        """
        total = 0.0
        for pid in self.pids():
            try:
                # clock_getcpuclockid(3) makes the clock's number like this.
                total += time.clock_gettime((~pid << 3) | _SCHED)
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += (int(fields[13]) + int(fields[14])) / _TICKS
            except OSError:
                continue
        return total

    def memory(self, data: Path) -> int:
        """Return the bytes that the processes hold, shared ones by share (PSS), without files of ``data``."""
        total = 0
        for pid in self.pids():
            try:
                total += _private(Path(f"/proc/{pid}/smaps").read_text(), str(data))
            except OSError:
                continue
        return total

    def peak(self) -> int:
        """Return the most bytes that the largest of the processes has held at any time (VmHWM)."""
        most = 0
        for pid in self.pids():
            try:
                found = re.search(r"^VmHWM:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
            except OSError:
                continue
            if found:
                most = max(most, int(found[1]) * 1024)
        return most

    def written(self) -> int:
        """Return the bytes that the living processes sent towards the disk."""
        total = 0
        for pid in self.pids():
            try:
                found = re.search(r"^write_bytes: (\d+)", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
            except OSError:
                continue
            if found:
                total += int(found[1])
        return total


def _private(smaps: str, data: str) -> int:
    total, counted = 0, True
    for line in smaps.splitlines():
        if found := _MAPPING.match(line):
            counted = not found["path"].startswith(data)
        elif counted and line.startswith("Pss:"):
            total += int(line.split()[1]) * 1024
    return total
