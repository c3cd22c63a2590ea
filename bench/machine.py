"""The machine that a run was made on, and what its disk can do."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path

BLOCK = 4096
SECONDS = 1.0


def describe() -> dict[str, str]:
    """Return kernel, processor, cores, memory and Python."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "kernel": f"{platform.system()} {platform.release()}",
        "processor": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory / 2**30:.0f} GiB",
        "python": platform.python_version(),
    }


def durable_writes(directory: Path, seconds: float = SECONDS) -> float:
    """Return how many writes of 4 KiB, each followed by fdatasync, one thread does in a second."""
    path = directory / "durable-writes"
    block = os.urandom(BLOCK)
    fd = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        began = time.monotonic()
        count = 0
        while (took := time.monotonic() - began) < seconds:
            os.write(fd, block)
            os.fdatasync(fd)
            count += 1
        return count / took
    finally:
        os.close(fd)
        path.unlink()
