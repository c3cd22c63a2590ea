"""Kill points of some operations, at the calls of Python and of LMDB by which the store writes."""

import os
import tempfile
from pathlib import Path

import pytest

from crash import points
from crash.suite import Run

MEMORY = "/dev/shm"


@pytest.fixture
def work():
    """A directory in memory where there is one: the death of a process loses nothing that was written."""
    with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as path:
        yield Path(path)


def test_every_point_of_some_operations(work):
    cases = points.chosen(
        "put inline, over file",
        "put file, over file",
        "copy file, over inline",
        "complete, over file",
        "delete many",
        "upload part file, again over file",
        "reclaim",
        "sweep",
    )
    outcome = points.run(Run(work, 1_000, 1, print), points.by_python, cases)
    print(outcome.line())
    assert outcome.failures == []
    counts = outcome.counts
    assert counts["old"] + counts["new"] == counts["kill points"] == counts["fsck clean"]
    assert counts["old"] > 50
    assert counts["new"] >= 6
    assert counts["controls caught"] == len(points.CONTROLS)
