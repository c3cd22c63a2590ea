"""The server killed at random moments under load, in its short form: every kind of end comes up twice."""

from __future__ import annotations

import random

from crash.kills import run
from crash.oracle import KINDS
from crash.suite import Run

ROUNDS = 20


def test_kills(tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    outcome = run(Run(tmp_path, ROUNDS, seed, print))
    assert outcome.failures == [], f"seed {seed}"
    counts = outcome.counts
    assert {kind: counts[kind] for kind in KINDS} == dict.fromkeys(KINDS, 0)
    assert counts["rounds"] == counts["fsck clean"] == ROUNDS
    assert counts["kills"] >= ROUNDS
    assert counts["acknowledged writes"] >= ROUNDS
    assert counts["unanswered"] > 0
    assert counts["controls caught"] == 2
