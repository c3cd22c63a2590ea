"""``python -m bench.nats``: s3shim and, where it is on PATH, nats-s3 over the same nats-server."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from bench import document, machine, tree
from bench.client import LoadFailed
from bench.nats.report import errors, markdown
from bench.nats.rows import MEASURED, chosen
from bench.nats.run import PEER, Comparison, Run
from bench.results import Results
from bench.servers import OURS, RECIPES
from bench.servers.place import ServerFailed
from bench.versions import version


def main() -> int:
    """Return 0 where all was measured and every answer was right, else 1."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    results = Results(time.strftime("%Y-%m-%d", time.gmtime()), machine.describe(), arguments.rounds)
    comparison = Comparison(results)
    gateways = [OURS, PEER] if shutil.which(PEER) else [OURS]
    results.versions = {name: version(RECIPES[name]) for name in gateways}
    if PEER not in gateways:
        _say(f"{PEER} is not on PATH: {OURS} alone")
    try:
        with tree.workplace(arguments.work) as (program, directory):
            run = Run(program, directory, comparison, chosen(arguments.only), arguments.giant, _say)
            run.rounds(gateways)
    except (LoadFailed, ServerFailed, RuntimeError) as failed:
        print(f"bench: {failed}", file=sys.stderr)
        return 1
    results.machine["load"] = f"{os.getloadavg()[1]:.1f}"
    part = markdown(comparison)
    print(part)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(asdict(comparison), indent=1) + "\n")
    if arguments.docs:
        document.write("nats", part, ())
    return 1 if errors(results) else 0


def _say(text: str) -> None:
    print(text, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.nats", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=[row.name for row in MEASURED], default=[])
    parser.add_argument("--giant", action="store_true", help="put and get 2 GiB through s3shim too")
    parser.add_argument("--work", type=Path, help="directory for the data (default: build)")
    parser.add_argument("--out", type=Path, default=tree.BUILD / "nats.json", help="where the JSON goes")
    parser.add_argument("--docs", action="store_true", help="write docs/performance.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
