"""Every call by which the store reads and writes fails, once and from then on."""

from crash.faults import CONTROLS, run_in_process
from crash.points import chosen
from crash.suite import Run

NAMES = (
    "put inline, over file",
    "put file, new",
    "put file, over inline",
    "put tags, file",
    "copy file, over inline",
    "delete many",
    "upload part file, again over file",
    "copy part file, over file",
    "complete, over file",
    "abort",
    "delete bucket, with an upload",
    "reclaim",
)


def test_a_call_that_fails_changes_nothing(tmp_path):
    outcome = run_in_process(Run(tmp_path, 1, 1, lambda line: None), chosen(*NAMES))
    assert outcome.failures == []
    assert outcome.counts["faults"] > 300
    assert outcome.counts["refused"] > 250
    assert outcome.counts["done all the same"] > 10
    assert outcome.counts["controls caught"] == len(CONTROLS)
