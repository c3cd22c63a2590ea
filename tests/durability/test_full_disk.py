"""A server whose files may not grow, or that may open no more of them; reads go on and it recovers."""

from crash.full_disk import without_root
from crash.suite import Run


def test_limits_of_the_process(tmp_path):
    outcome = without_root(Run(tmp_path, 1, 1, lambda line: None))
    assert outcome.failures == []
    assert outcome.counts["cases"] > 30
    assert outcome.counts["fsck clean"] == 2
