"""The contract of a storage over Garage, then what is for Garage alone: ``python -m conformance.garage``.

What follows are arguments of pytest.
Garage is found on PATH. A ``-k`` chooses among the tests that are over Garage.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from conformance.garage.node import HOW, garage, program
from tests.contract.upstreams import GARAGE

_OWN = Path(__file__).parent


def main(arguments: list[str]) -> int:
    """Run the tests; return pytest's exit code."""
    if program() is None:
        print(HOW, file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-k", default="")
    chosen, rest = parser.parse_known_args(arguments)
    wanted = f"garage and ({chosen.k})" if chosen.k else "garage"
    command = [sys.executable, "-m", "pytest", "-q", "tests/contract", str(_OWN), "-k", wanted, *rest]
    with tempfile.TemporaryDirectory(prefix="s3shim-garage-") as work, garage(Path(work)) as node:
        named = f"{node.endpoint} {node.access_key} {node.secret_key}"
        return subprocess.call(command, env={**os.environ, GARAGE: named})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
