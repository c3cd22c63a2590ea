"""Stops, reloads and deaths of single processes under load, in few rounds."""

from crash.stops import SUITE
from crash.suite import Run


def test_stops(tmp_path):
    outcome = SUITE.run(Run(tmp_path, 6, 1, lambda line: None))
    assert outcome.failures == []
    counts = outcome.counts
    assert (counts["lost"], counts["wrong bytes"], counts["half states"]) == (0, 0, 0)
    assert counts["stops"] == 8
    assert counts["finished in the grace"] == 6
    assert counts["cut after it"] == 1
    assert counts["reloads"] == 1
    assert counts["masters killed"] == 1
    assert counts["workers killed"] == 5
    assert counts["acknowledged writes"] > 100
    assert counts["controls caught"] == 2
