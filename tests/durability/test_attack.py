"""Attacks on memory, descriptors and attention, in small numbers."""

from crash.attack import SUITE
from crash.attacks import ATTACKS
from crash.suite import Run


def test_attacks(tmp_path):
    outcome = SUITE.run(Run(tmp_path, 4, 1, lambda line: None))
    assert outcome.failures == []
    counts = outcome.counts
    assert counts["attacks"] == len(ATTACKS)
    assert counts["honest answers meanwhile"] > 100
    assert counts["controls caught"] == 2
    assert counts["fsck clean"] == 1
