"""What a worker holds open towards Garage, and how soon it serves again."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

_ESTABLISHED = "01"


def connections(pid: int, port: int) -> dict[str, int]:
    """Return how many sockets of a process are connected to ``port`` of this machine, by state."""
    held = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            held.add(target[8:-1])
    found = {"established": 0, "other": 0}
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].rpartition(":")[2], 16) == port and fields[9] in held:
            found["established" if fields[3] == _ESTABLISHED else "other"] += 1
    return found


def answers(s3: Any, **at: str) -> bool:
    """Whether a read is answered now."""
    try:
        s3.get_object(**at)["Body"].read()
    except (BotoCoreError, ClientError):
        return False
    return True


def seconds_until(true: Any, most: float = 30.0) -> float:
    """Call ``true`` until it answers true; return the seconds that took. Raises AssertionError."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < most, f"not within {most:g} s"
        time.sleep(0.01)
    return time.monotonic() - began
