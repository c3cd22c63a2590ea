"""``s3shim migrate``: everything of one storage into another."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from s3shim import logs
from s3shim.backends.local.layout import StoreRefused
from s3shim.cli.hiding import hide
from s3shim.cli.screen import Screen
from s3shim.cli.sides import Side, add_flags, sides_of
from s3shim.cli.start import REFUSED, UMASK
from s3shim.config import ConfigError
from s3shim.migrate import Migration, Mode, Progress

EQUAL = 0
PROBLEMS = 1

_EPILOG = """\
SRC and DST are local:DIR, nats://HOST:PORT, nats+tls://HOST:PORT, s3+http://HOST:PORT or s3+https://HOST;
nats: and s3: take the address from the settings. Each setting is --from-X for the source alone and --to-X for
the destination alone. The environment of s3shim serve counts too; it is the place for secrets.
A second run copies what has changed since, and nothing else. What only the destination has stays there.
Exit code: 0 all is equal, in a dry run all can be copied; 1 something is not; 78 bad settings.
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SystemExit(_refuse(message))


def migrate(arguments: Sequence[str]) -> int:
    """Migrate as the arguments say; return the exit code."""
    asked = _parser().parse_args(arguments)
    mode = Mode.PLAN if asked.dry_run else Mode.VERIFY if asked.verify else Mode.MIGRATE
    os.umask(UMASK)
    logs.setup("logfmt", "warning")
    try:
        source, destination = sides_of(asked)
        secrets = source.config.secret_arguments + destination.config.secret_arguments
        hide([*secrets, *_urls_with_login(asked)])
        source.storage.inspect()
        if mode is Mode.MIGRATE:
            destination.storage.prepare()
            destination.storage.sweep()
        elif mode is Mode.VERIFY or not destination.is_new:
            destination.storage.inspect()
        return _run(source, destination, mode, asked.concurrency)
    except (ConfigError, StoreRefused) as refused:
        return _refuse(str(refused))


def _parser() -> _Parser:
    parser = _Parser(
        prog="s3shim migrate",
        allow_abbrev=False,
        usage="s3shim migrate [flags] SRC DST",
        description="Copy all buckets and objects of a storage into another, exactly.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("source", metavar="SRC", help="the storage that is read")
    parser.add_argument("destination", metavar="DST", help="the storage that is written")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--dry-run", action="store_true", help="write nothing; print what would be done")
    kind.add_argument("--verify", action="store_true", help="write nothing; read and compare every byte")
    parser.add_argument(
        "--concurrency", metavar="N", type=_concurrency, default=8, help="objects at once, 1 to 256 (8)"
    )
    add_flags(parser)
    return parser


def _concurrency(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 256):
        raise argparse.ArgumentTypeError("must be a whole number from 1 to 256")
    return int(text)


def _urls_with_login(asked: argparse.Namespace) -> list[str]:
    return [url for url in (asked.source, asked.destination) if "@" in url]


def _run(source: Side, destination: Side, mode: Mode, concurrency: int) -> int:
    screen = Screen()
    with source.opened() as reading, destination.opened() as writing:
        migration = Migration(reading, writing, screen.tell, mode=mode, concurrency=concurrency)
        _stop_at_signals(migration.progress)
        with screen.showing(migration.progress):
            progress = migration.run()
    if progress.stopped:
        screen.tell("stopped before the end; another run goes on from here")
    screen.tell(progress.line())
    return PROBLEMS if progress.problems or progress.stopped else EQUAL


def _stop_at_signals(progress: Progress) -> None:
    """Stop in good order at the first signal, at once at the second."""

    def stop(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        progress.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _refuse(message: str) -> int:
    print(f"s3shim: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return REFUSED
