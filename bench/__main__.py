"""``python -m bench``: the same work on s3shim and on the peers that are found on PATH."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import time
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from bench import counters, document, machine, report, tree
from bench.client import LoadFailed
from bench.plots.bars import bars
from bench.results import Results
from bench.rounds import Entrant, Run
from bench.servers import RECIPES, Recipe
from bench.servers.place import Running, ServerFailed
from bench.versions import version


def main() -> int:
    """Return 0 where every server did all its work without an error, else 1."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        with tree.workplace(arguments.work) as (program, work):
            results = _compare(arguments, program, work)
    except (ServerFailed, LoadFailed, RuntimeError) as failed:
        print(f"bench: {failed}", file=sys.stderr)
        return 1
    print(report.terminal(results))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    results.write(arguments.out)
    print(f"written to {arguments.out}")
    if arguments.docs:
        document.write("comparison", report.markdown(results), plots(results))
    return 1 if results.failures or any(sample.errors for sample in results.samples) else 0


def _compare(arguments: argparse.Namespace, program: Path, work: Path) -> Results:
    date = time.strftime("%Y-%m-%d", time.gmtime())
    results = Results(date, machine.describe(), arguments.rounds)
    bucket = f"bench-{secrets.token_hex(4)}"
    run = Run(program, work, results, bucket, arguments.scale, lambda text: print(text, flush=True))
    entrants = []
    for recipe in _recipes(arguments.only):
        results.versions[recipe.name] = version(recipe)
        results.notes[recipe.name] = recipe.note
        entrants.append(Entrant(recipe.name, recipe.start))
    if arguments.endpoint:
        entrants.append(_remote(arguments.endpoint))
    run.rounds(entrants)
    for entrant in entrants:
        if not entrant.lives_on and entrant.name not in results.failures:
            _look_closer(entrant, program, work, results)
    return results


def _look_closer(entrant: Entrant, program: Path, work: Path, results: Results) -> None:
    """Count system calls where strace is there, and read a damaged object."""
    print(f"a closer look at {entrant.name}", flush=True)
    try:
        results.damaged[entrant.name] = counters.damage(entrant, program, work / "damaged")
        if counters.can_count():
            results.calls[entrant.name] = counters.count_calls(entrant, program, work / "counted")
    except (ServerFailed, LoadFailed, RuntimeError, BotoCoreError, ClientError) as failed:
        print(f"{entrant.name} could not be looked at: {failed}", flush=True)


def plots(results: Results) -> list[tuple[str, str]]:
    """Return the plots of the page, by name and source."""
    return [(name, bars(results, figure, title)) for name, figure, title in report.PLOTS]


def _recipes(only: list[str] | None) -> list[Recipe]:
    if only is not None:
        missing = [name for name in only if not RECIPES[name].found]
        if missing:
            sys.exit(f"bench: not on PATH: {', '.join(missing)}")
        return [RECIPES[name] for name in only]
    return [recipe for recipe in RECIPES.values() if recipe.found]


def _remote(endpoint: str) -> Entrant:
    keys = [os.environ.get(name, "") for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
    if not all(keys):
        sys.exit("bench: the endpoint needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    running = Running(endpoint.rstrip("/"), keys[0], keys[1], (), Path())
    return Entrant("endpoint", lambda _: running, lives_on=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=RECIPES, help="servers (default: all on PATH)")
    parser.add_argument("--endpoint", default="", help="a further S3 server, by its URL")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="times the operations of the rows that read")
    parser.add_argument("--work", type=Path, help="directory for the servers' data (default: build)")
    parser.add_argument("--out", type=Path, default=tree.BUILD / "bench.json", help="where the JSON goes")
    parser.add_argument("--docs", action="store_true", help="write docs/performance.md and its plots")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
