"""``python -m bench.growth``: how the costs of s3shim grow."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from bench import document, machine, tree
from bench.client import LoadFailed
from bench.growth import run
from bench.growth.points import Growth
from bench.growth.subjects import OBJECTS, Study


def main() -> int:
    """Return 0 where all was measured and every answer was right, else 1."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    growth = Growth(time.strftime("%Y-%m-%d", time.gmtime()), machine.describe(), tree.version())
    try:
        with tree.workplace(arguments.work) as (program, directory):
            study = Study(program, directory, growth, arguments.rounds, arguments.largest, _say)
            run.run(study, arguments.only)
    except (LoadFailed, RuntimeError) as failed:
        print(f"bench: {failed}", file=sys.stderr)
        return 1
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    growth.write(arguments.out)
    print(f"written to {arguments.out}")
    if arguments.docs:
        document.write(
            "growth", run.markdown(growth), [(plot.name, source) for plot, source in run.plots(growth)]
        )
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=run.SUBJECTS, default=[], help="subjects (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--largest", type=int, default=OBJECTS[-1], help="objects of the largest bucket")
    parser.add_argument("--work", type=Path, help="directory for the data (default: build)")
    parser.add_argument("--out", type=Path, default=tree.BUILD / "growth.json", help="where the JSON goes")
    parser.add_argument("--docs", action="store_true", help="write docs/performance.md and its plots")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
