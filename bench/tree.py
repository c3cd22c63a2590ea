"""The tree that is measured: its version, and the places that a run uses in it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import client

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"


def version() -> str:
    """Return the commit, with a mark where the tree differs from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "?"


@contextmanager
def workplace(work: Path | None) -> Iterator[tuple[Path, Path]]:
    """Give the load generator, newly built, and an empty directory in ``work``. Raises LoadFailed.

    The directory is on the disk of the tree unless told otherwise: on a file system in memory nothing is
    durable and every figure of a write is a dream.
    """
    BUILD.mkdir(exist_ok=True)
    program = BUILD / "load"
    client.build(ROOT / "bench" / "load", program)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=work or BUILD) as directory:
        yield program, Path(directory).resolve()
