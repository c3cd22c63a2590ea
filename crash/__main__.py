"""``python -m crash [--only NAME]... [--rounds N] [--seed N] [--work DIR]``: run the suites, print counts."""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from crash.suite import Run, Suite
from crash.suites import ON_REQUEST, SUITES


def main() -> int:
    """Return 0 where every promise held, 1 where one did not, 78 where the machine lacks something."""
    options = _options()
    logging.getLogger().addHandler(logging.NullHandler())  # what is broken on purpose is not news
    chosen = [suite for suite in (*SUITES, *ON_REQUEST) if suite.name in options.only] or list(SUITES)
    missing = sorted({need for suite in chosen for need in suite.needs if not _there(need)})
    if missing:
        print(f"these suites need {', '.join(missing)}", file=sys.stderr)
        return 78
    failed = 0
    for suite in chosen:
        failed += _run(suite, options)
    print(f"{len(chosen)} suites, {failed} failures", flush=True)
    return 1 if failed else 0


def _run(suite: Suite, options: argparse.Namespace) -> int:
    seed = options.seed or random.SystemRandom().randrange(1, 1 << 32)
    rounds = options.rounds or suite.rounds
    work = Path(tempfile.mkdtemp(prefix=f"s3shim-{suite.name}-", dir=options.work))
    print(f"{suite.name}: {rounds} rounds, seed {seed}", flush=True)
    began = time.monotonic()
    outcome = suite.run(Run(work, rounds, seed, lambda line: print(f"  {line}", flush=True)))
    for failure in outcome.failures:
        print(f"  FAILED {failure}", flush=True)
    print(f"{suite.name}: {outcome.line()} · {time.monotonic() - began:.0f} s", flush=True)
    if outcome.failures:
        print(f"  what was left: {work}", flush=True)
    else:
        shutil.rmtree(work)
    return len(outcome.failures)


def _there(need: str) -> bool:
    return os.geteuid() == 0 if need == "root" else shutil.which(need) is not None


def _options() -> argparse.Namespace:
    names = [suite.name for suite in (*SUITES, *ON_REQUEST)]
    parser = argparse.ArgumentParser(prog="python -m crash", description=__doc__)
    parser.add_argument("--only", action="append", choices=names, default=[], help="run this suite only")
    parser.add_argument(
        "--rounds", type=int, default=0, help="rounds of each suite instead of its own number"
    )
    parser.add_argument("--seed", type=int, default=0, help="what random choices follow from; else a new one")
    parser.add_argument("--work", type=Path, default=None, help="where the stores are made")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
