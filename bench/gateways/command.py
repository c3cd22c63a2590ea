"""The command of a comparison: its options, the run, the table, the JSON."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import document, machine, tree
from bench.client import LoadFailed
from bench.gateways.report import errors
from bench.gateways.rows import MEASURED, chosen
from bench.gateways.run import Comparison, Run
from bench.results import Results
from bench.rounds import Entrant
from bench.servers import RECIPES
from bench.servers.place import Place, ServerFailed
from bench.versions import version


@dataclass(frozen=True, slots=True)
class Contest:
    """A comparison: ``name`` is that of its package, its JSON and its part of docs/performance.md.

    ``start`` starts the storage in a place and returns the entrants over it; ``versions`` are the recipes
    whose versions are told, ``markdown`` makes the part of the page.
    """

    name: str
    versions: Sequence[str]
    start: Callable[[Place], Sequence[Entrant]]
    markdown: Callable[[Comparison], str]


def compare(contest: Contest, description: str) -> int:
    """Do what the command line says; return 0 where all was measured and every answer was right, else 1."""
    arguments = _arguments(contest.name, description)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    results = Results(time.strftime("%Y-%m-%d", time.gmtime()), machine.describe(), arguments.rounds)
    results.versions = {name: version(RECIPES[name]) for name in contest.versions}
    comparison = Comparison(results)
    try:
        with tree.workplace(arguments.work) as (program, directory), Place(directory / contest.name) as place:
            entrants = contest.start(place)
            run = Run(
                program, directory, comparison, chosen(arguments.only), arguments.giant, place.roots, _say
            )
            run.rounds(entrants)
    except (LoadFailed, ServerFailed, RuntimeError) as failed:
        print(f"bench: {failed}", file=sys.stderr)
        return 1
    results.machine["load"] = f"{os.getloadavg()[1]:.1f}"
    part = contest.markdown(comparison)
    print(part)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(asdict(comparison), indent=1) + "\n")
    if arguments.docs:
        document.write(contest.name, part, ())
    return 1 if errors(results) else 0


def _say(text: str) -> None:
    print(text, flush=True)


def _arguments(name: str, description: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=description)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[row.name for row in MEASURED], default=[])
    parser.add_argument("--giant", action="store_true", help="put and get 2 GiB through s3shim too")
    parser.add_argument("--work", type=Path, help="directory for the data (default: build)")
    parser.add_argument("--out", type=Path, default=tree.BUILD / f"{name}.json", help="where the JSON goes")
    parser.add_argument("--docs", action="store_true", help="write docs/performance.md")
    return parser.parse_args()
