"""Gateways and servers of NATS killed at random moments under load, in its short form."""

from __future__ import annotations

from crash.nats_kills import run

ROUNDS = 4


def test_kills_over_nats(short):
    outcome = short("nats-kills", run, ROUNDS)
    counts = outcome.counts
    assert counts["rounds"] == counts["gateways killed"] == ROUNDS
    assert counts["servers killed"] == ROUNDS // 2
    assert counts["acknowledged changes"] >= ROUNDS
    assert counts["controls caught"] == 1
