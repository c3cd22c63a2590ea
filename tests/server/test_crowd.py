"""The crowd in short: ``make crowd`` is the long form."""

from __future__ import annotations

from pathlib import Path

from tests.server.crowd import FACTOR, measure, typical

MOMENT = 0.1  # seconds: below it a short measurement on a busy machine says nothing


def test_a_crowd_of_idle_and_slow_clients_costs_others_little(tmp_path: Path) -> None:
    figures = measure(tmp_path, idle=200, slow=80, seconds=1.5, say=print)
    print(*figures.lines(), sep="\n")
    assert typical(figures.among, 0.99) < max(FACTOR * typical(figures.alone, 0.99), MOMENT)
    assert figures.idle == 200
    assert set(figures.steps) == {"heads", "bodies", "signed bodies", "readers"}
    assert min(figures.steps.values()) >= 20
    assert figures.ended["signed bodies"] == figures.ended["readers"] == 0
    assert figures.ended["bodies"] > 0
