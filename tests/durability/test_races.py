"""Races of many clients over real workers, in few rounds."""

from crash.races import CLIENTS, SUITE
from crash.suite import Run


def test_races(tmp_path):
    lines = []
    outcome = SUITE.run(Run(tmp_path, 20, 1, lines.append))
    assert outcome.failures == []
    counts = outcome.counts
    assert counts["wrong outcomes"] == 0
    assert counts["creations"] >= 3
    assert counts["increments"] >= CLIENTS
    assert counts["double puts"] >= 3
    assert counts["completions"] >= 8
    assert counts["ends of uploads"] == 20
    assert counts["buckets deleted"] + counts["buckets kept"] == 20
    assert counts["slow reads"] >= 12
    assert counts["overwrites meanwhile"] > 10
    assert counts["controls caught"] == 3
    assert counts["fsck clean"] == 2
