"""``python -m bench.gate``: measure, and compare with the bounds."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.gate import measure
from bench.gate.paths import Service

# What the kernel does for a real disk is charged to the process, and differs from run to run by half.
_MEMORY = "/dev/shm"


def main() -> int:
    """Return 0 where every row is within its bound, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.gate", description=__doc__)
    parser.add_argument("--update", action="store_true", help="make what is measured the bounds")
    parser.add_argument(
        "--times", type=int, default=1, help="go through the application so often: the gate must complain"
    )
    parser.add_argument("--bounds", type=Path, default=measure.BOUNDS, help="the file of the bounds")
    arguments = parser.parse_args()
    place = _MEMORY if os.path.isdir(_MEMORY) else None
    with tempfile.TemporaryDirectory(prefix="gate-", dir=place) as directory, _log_thrown_away():
        service = Service(Path(directory), arguments.times)
        try:
            measured = measure.quotients(service)
        finally:
            service.backend.close()
    for name, found in measured.items():
        print(f"{name}: {found:.2f} units of the reference")
    if arguments.update:
        measure.update(measured, arguments.bounds)
        return 0
    lines = measure.complaints(measured, arguments.bounds)
    for line in lines:
        print(f"SLOWER {line}")
    return 1 if lines else 0


@contextmanager
def _log_thrown_away() -> Iterator[None]:
    """Let standard error lead to nowhere: the log line of each request is made and written, as in service."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
