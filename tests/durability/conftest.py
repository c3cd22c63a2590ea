"""What the suites have counted, said at the end of the run."""

from __future__ import annotations

import os
import random

import pytest

from crash.suite import Run

for _name in ("base", "objects", "lists", "uploads"):
    # A step that fails shall say what differs.
    pytest.register_assert_rewrite(f"crash.machine_{_name}")

LINES = pytest.StashKey[list[str]]()
SEED = "CRASH_SEED"


def pytest_terminal_summary(terminalreporter, config):
    """Print the lines."""
    lines = config.stash.get(LINES, [])
    if lines:
        terminalreporter.section("durability")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def crash_seed():
    """What random choices follow from: new in each run, or the one in the environment as CRASH_SEED."""
    return int(os.environ.get(SEED, "0")) or random.SystemRandom().randrange(1, 1 << 32)


@pytest.fixture
def short(request, tmp_path, crash_seed):
    """Run a suite: ``short(name, run, rounds)`` returns its Outcome, and says at the end what it counted."""

    def play(name, run, rounds):
        outcome = run(Run(tmp_path, rounds, crash_seed, lambda line: None))
        lines = request.config.stash.setdefault(LINES, [])
        lines.append(f"{name}: {outcome.line()}, seed {crash_seed}")
        assert outcome.failures == [], f"seed {crash_seed}"
        return outcome

    return play
