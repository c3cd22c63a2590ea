"""``python -m conformance``: run suites against a server of our own and compare with the lists."""

from __future__ import annotations

import argparse
import re
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from conformance import expected
from conformance.cases import Options, Outcome, Refused
from conformance.load import suite as load
from conformance.matrix import suite as matrix
from conformance.nats import suite as nats
from conformance.nginx import suite as nginx
from conformance.s3tests import suite as s3tests
from conformance.storages import STORAGES
from conformance.suites import aws, large, minio_py, multipart, nats_s3, ncps, rclone, s3cmd

_MODULES = (aws, multipart, minio_py, s3cmd, rclone, s3tests, matrix, large, load, nginx, nats, nats_s3, ncps)
SUITES = {suite.name: suite for suite in (*(module.SUITE for module in _MODULES), matrix.BEHIND_NGINX)}
ON_REQUEST = ("matrix", "matrix-nginx", "large", "load", "nginx", "nats", "nats-s3", "ncps")
_UNITS = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_LABELS = {"pass": "PASS", "fail": "FAIL", "out": "SKIP", "n/a": "N/A"}


def main() -> int:
    """Return 0 where every suite did what its list says, else 1."""
    arguments = _arguments()
    # A terminated run stops its server too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options = Options(arguments.s3_tests, arguments.size, arguments.nats_s3, arguments.ncps)
    wrong: list[str] = []
    total: Counter[str] = Counter()
    for name in arguments.only or [name for name in SUITES if name not in ON_REQUEST]:
        found, failure = _run(name, options, arguments.storage, arguments.case)
        total.update(outcome.verdict for outcome in found)
        if failure:
            wrong.append(failure)
        elif arguments.update and not arguments.case:
            expected.update(arguments.storage, name, found)
        else:
            wrong += expected.differences(arguments.storage, name, found, complete=not arguments.case)
    left = f"{total['out']} out of scope, {total['n/a']} that no client can do"
    print(f"{total['pass']} passed, {total['fail']} failed, {left}")
    for line in wrong:
        print(f"DIFFERENT {line}")
    return 1 if wrong else 0


def _run(name: str, options: Options, storage: str, wanted: str) -> tuple[list[Outcome], str]:
    """Run one suite and print a line per case; return the outcomes, and what kept it from running."""
    found = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"conformance-{name}-") as work:
        try:
            with STORAGES[storage](Path(work)) as options.storage:
                for outcome, notes in SUITES[name].run(Path(work), options, wanted):
                    found.append(outcome)
                    _tell(name, outcome, notes)
        except (Refused, RuntimeError) as error:
            print(f"{name} CANNOT RUN: {error}", flush=True)
            return found, f"{name}: {error}"
    print(f"{name}: {len(found)} cases in {time.monotonic() - began:.1f} s", flush=True)
    return found, ""


def _tell(name: str, outcome: Outcome, notes: list[str]) -> None:
    reason = f" ({outcome.reason})" if outcome.reason else ""
    print(f"{name}/{outcome.name} {_LABELS[outcome.verdict]}{reason}", flush=True)
    for note in notes:
        print(f"    {note}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=SUITES,
        help=f"suites to run (default: all but {', '.join(ON_REQUEST)})",
    )
    parser.add_argument("--case", default="", help="run only cases whose name contains this")
    parser.add_argument("--s3-tests", type=Path, help="a checkout of ceph/s3-tests")
    parser.add_argument("--nats-s3", type=Path, help="a checkout of wpnpeiris/nats-s3")
    parser.add_argument("--ncps", type=Path, help="a checkout of kalbasit/ncps")
    parser.add_argument("--storage", choices=STORAGES, default="local", help="what s3shim runs over")
    parser.add_argument("--size", type=_size, default="64MiB", help="object size of large and load")
    parser.add_argument("--update", action="store_true", help="rewrite the expected lists")
    return parser.parse_args()


def _size(text: str) -> int:
    match = re.fullmatch(r"([0-9]+)(|KiB|MiB|GiB)", text)
    if not match:
        raise argparse.ArgumentTypeError("a size such as 64MiB or 2GiB")
    return int(match[1]) * _UNITS[match[2]]


if __name__ == "__main__":
    sys.exit(main())
