"""Ten thousand random requests against the model, and services that are wrong."""

import pytest

from crash import machine
from crash.wrong_services import WRONG_SERVICES

# These are found soonest; the full run tries all.
QUICK = ("forgets tags on copy", "loses an overwrite", "ignores If-None-Match", "loses a write at a restart")


def test_the_service_answers_as_the_model(short):
    outcome = short("model", machine.answers, 10)
    assert outcome.counts["steps"] >= 10_000
    assert outcome.counts["kinds of steps"] == 31


@pytest.mark.parametrize("name", QUICK)
def test_a_wrong_service_is_found(name, crash_seed, tmp_path):
    assert machine.found(WRONG_SERVICES[name], machine.BUDGET, crash_seed, tmp_path), f"seed {crash_seed}"
