"""The command line: our flags, and those of nats-s3."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, NoReturn

from s3shim import __version__
from s3shim.config import nats_s3
from s3shim.config.record import ConfigError
from s3shim.config.table import SECTIONS, SETTINGS, Setting

_ALSO_WITH_ONE_DASH = frozenset({"listen", "help", "version"})


class Given(NamedTuple):
    """The text of a setting, and where it stood."""

    source: str
    text: str


@dataclass(slots=True)
class CommandLine:
    """The settings of a command line by name; ``nats_s3`` is a flag of nats-s3 in it, None for none."""

    given: dict[str, Given] = field(default_factory=dict)
    nats_s3: str | None = None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def read(argv: Sequence[str], prog: str) -> CommandLine:
    """Return what ``argv`` says. Raises ConfigError; exits with 0 where help or the version is asked for."""
    own, others = _split(argv)
    found, unknown = _parser(prog).parse_known_args(own)
    if unknown:
        # A value may be a secret that belongs to a misspelt flag.
        flags = [name.partition("=")[0] for name in unknown if name.startswith("-")]
        raise ConfigError(f"unknown argument {(flags or unknown)[0]}")
    line = CommandLine()
    for setting in SETTINGS:
        text = getattr(found, setting.name, None)
        if text is not None:
            line.given[setting.name] = Given(setting.option, text)
    for flag, name, text in nats_s3.settings(others):
        if name in line.given:
            raise ConfigError(f"{flag} and {line.given[name].source} are the same setting")
        line.given[name] = Given(flag, text)
    line.nats_s3 = next(iter(others), None)
    return line


def _split(argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the arguments that are ours, and those of nats-s3 by the flag as it was written."""
    with_value = {setting.option for setting in SETTINGS if setting.flag and not setting.is_switch}
    own: list[str] = []
    others: dict[str, str] = {}
    arguments = iter(argv)
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        name = flag.removeprefix("-").removeprefix("-") if flag.startswith("-") else ""
        if name in nats_s3.FLAGS:
            others[flag] = value if equals else _next(arguments, flag)
            continue
        if name in _ALSO_WITH_ONE_DASH:
            flag = f"--{name}"
            argument = flag + equals + value
        own.append(argument)
        if flag in with_value and not equals:
            own += islice(arguments, 1)
    return own, others


def _next(arguments: Iterator[str], flag: str) -> str:
    value = next(arguments, None)
    if value is None:
        raise ConfigError(f"{flag}: a value is missing")
    return value


def _parser(prog: str) -> argparse.ArgumentParser:
    made = _Parser(
        prog=prog,
        usage="%(prog)s [flags]",
        allow_abbrev=False,
        description="Serve S3 from a directory of this machine, from NATS JetStream, or from another S3.",
        epilog=nats_s3.HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("-v", "--version", action="version", version=f"s3shim {__version__}")
    for title, rows in SECTIONS.items():
        group = made.add_argument_group(title) if title else made
        for setting in rows:
            if setting.flag:
                _add(group, setting)
    return made


def _add(group: argparse._ActionsContainer, setting: Setting) -> None:
    default = "" if setting.default is None else f", default {setting.default}"
    described = f"{setting.help} ({setting.variable}{default})".replace("%", "%%")
    if setting.is_switch:
        group.add_argument(
            setting.option, dest=setting.name, action="store_const", const="true", help=described
        )
    else:
        group.add_argument(setting.option, dest=setting.name, metavar="X", help=described)
