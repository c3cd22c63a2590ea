"""The machine: random requests of every operation, held against the model, on memory and on a local store.

Steps are counted: a run goes on with new examples until it has made as many as it was asked for.
"""

from __future__ import annotations

import logging
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from crash.machine_uploads import Machine
from crash.services import SERVICES, Service
from crash.suite import Outcome, Run, Suite
from crash.wrong_services import WRONG_SERVICES

STEPS_OF_EXAMPLE = 100
EXAMPLES = 25  # at most between two looks at the count; Hypothesis runs up to twice as many
BUDGET = 10_000  # steps within which a wrong service is found

# An answer that lacks what it must have is an answer that is wrong.
# What happens by chance too is a disagreement that Hypothesis could not repeat.
DISAGREES = (AssertionError, LookupError, Flaky)


def play(
    service: type[Service], steps: int, first_seed: int, work: Path, *, shrink: bool = True
) -> Counter[str]:
    """Make at least ``steps`` steps; return how many of each kind. Raises what the model disagrees with."""
    tally: Counter[str] = Counter()
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS_OF_EXAMPLE,
        deadline=None,
        database=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    number = first_seed
    with tempfile.TemporaryDirectory(dir=work) as directory:
        while tally.total() < steps:
            attributes = {"service_type": service, "work": Path(directory), "tally": tally}
            machine = seed(number)(type("Machine", (Machine,), attributes))
            run_state_machine_as_test(machine, settings=chosen)
            number += 1
    return tally


def found(service: type[Service], steps: int, first_seed: int, work: Path) -> bool:
    """Whether the machine finds something wrong within ``steps``."""
    logging.disable()  # of the damage that is done here on purpose
    try:
        play(service, steps, first_seed, work, shrink=False)
    except DISAGREES:
        return True
    finally:
        logging.disable(logging.NOTSET)
    return False


def answers(job: Run) -> Outcome:
    """Make ``rounds`` thousand steps, half of them on each storage."""
    outcome = Outcome()
    tally: Counter[str] = Counter()
    for name, service in SERVICES.items():
        try:
            tally += play(service, job.rounds * 1000 // len(SERVICES), job.seed, job.work)
        except DISAGREES as error:
            notes = " ".join(getattr(error, "__notes__", []))
            outcome.failures.append(f"{name}, seed {job.seed}: {error!r}: {notes}")
        job.say(f"{name}: {tally.total():,} steps so far")
    outcome.counts["steps"] = tally.total()
    outcome.counts["kinds of steps"] = len(tally)
    outcome.counts["disagreements"] = len(outcome.failures)
    return outcome


def run(job: Run) -> Outcome:
    """Make the steps, then try every wrong service."""
    outcome = answers(job)
    missed = [name for name, wrong in WRONG_SERVICES.items() if not found(wrong, BUDGET, job.seed, job.work)]
    outcome.failures += [f"not caught: a service that {name}" for name in missed]
    outcome.counts["wrong services caught"] = len(WRONG_SERVICES) - len(missed)
    return outcome


SUITE = Suite("machine", 20, run)
