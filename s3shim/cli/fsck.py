"""``s3shim fsck``: whether a store is sound."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from s3shim.backends.local.fsck import Report, check
from s3shim.backends.local.isolation import Killed, in_child
from s3shim.backends.local.layout import StoreRefused

CLEAN = 0
PROBLEMS = 1
REFUSED = 78
"""EX_CONFIG of sysexits.h: there is nothing here that could be judged."""

_EPILOG = """\
Prints a line for each problem, then notes on what a server clears away by itself, then a summary.
Changes nothing, and may run while a server uses the store.
Exit code: 0 the store is sound, 1 it has problems, 78 there is no store, or none of this version.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SystemExit(_refuse(message))


def fsck(arguments: Sequence[str]) -> int:
    """Check the store that the arguments name; return the exit code."""
    parser = _Parser(
        prog="s3shim fsck",
        allow_abbrev=False,
        description="Check a store: its index, its files, and what each says of the other.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("dir", metavar="DIR", type=Path, help="the data directory of the store")
    parser.add_argument("--deep", action="store_true", help="read every byte and compute every digest anew")
    asked = parser.parse_args(arguments)
    logging.disable()  # what is damaged is told in the report
    try:
        report = in_child(partial(check, asked.dir, deep=asked.deep))
    except StoreRefused as refused:
        return _refuse(str(refused))
    except Killed as killed:
        report = Report()
        report.problem(f"index: it is damaged, reading it ended by {killed}")
    print(*report.problems, *(f"note: {note}" for note in report.notes), summary(report), sep="\n")
    return PROBLEMS if report.problems else CLEAN


def summary(report: Report) -> str:
    """Return the last line: how much there is of what, and the verdict."""
    problems = report.counts["problems"]
    verdict = f"{problems} problem{'s' * (problems != 1)}" if problems else "clean"
    counted = [f"{name} {count:,}" for name, count in report.counts.items() if name != "problems"]
    return ", ".join([*counted, verdict])


def _refuse(message: str) -> int:
    print(f"s3shim: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return REFUSED
