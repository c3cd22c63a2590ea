"""Processes and what they share, in small numbers."""

from crash.resources import SUITE
from crash.suite import Run


def test_resources(tmp_path):
    outcome = SUITE.run(Run(tmp_path, 5, 1, lambda line: None))
    assert outcome.failures == []
    counts = outcome.counts
    assert counts["masters started at once"] == 12
    assert counts["of them serving"] == 1
    assert counts["boots of 8 workers"] == 2
    assert counts["holders stopped"] == 1
    assert counts["puts acknowledged behind them"] >= 6
    assert counts["doublings of the map"] >= 2
    assert counts["reads refused for want of a slot"] == 2
    assert counts["dead readers"] > 126
    assert counts["overwrites of small objects"] >= 1600
    assert counts["controls caught"] == 1
    assert counts["fsck clean"] == 8
