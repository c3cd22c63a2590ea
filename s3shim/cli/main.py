"""The command ``s3shim``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from s3shim import __version__
from s3shim.cli.doctor import doctor
from s3shim.cli.fsck import fsck
from s3shim.cli.hiding import hide
from s3shim.cli.hooks import fail
from s3shim.cli.migrate import migrate
from s3shim.cli.serve import Server
from s3shim.cli.start import REFUSED
from s3shim.config import ConfigError, load

USAGE = """\
usage: s3shim serve [flags]    serve S3; s3shim serve --help lists the flags
       s3shim fsck DIR         check a store; s3shim fsck --help says more
       s3shim migrate SRC DST  copy everything into another storage; s3shim migrate --help says more
       s3shim doctor [FILE]    say why a signature does not match; s3shim doctor --help says more
       s3shim doctor --upstream [flags]    say what the S3 behind --backend s3 can do
       s3shim --version
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return or exit with 0 stopped, 1 failed, 78 refused configuration."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["serve"]:
        return serve(arguments[1:])
    if arguments[:1] == ["fsck"]:
        return fsck(arguments[1:])
    if arguments[:1] == ["migrate"]:
        return migrate(arguments[1:])
    if arguments[:1] == ["doctor"]:
        return doctor(arguments[1:])
    if arguments == ["--version"]:
        print(f"s3shim {__version__}")
        return 0
    if arguments in (["--help"], ["-h"]):
        print(USAGE, end="")
        return 0
    print(USAGE, end="", file=sys.stderr)
    return REFUSED


def serve(arguments: Sequence[str]) -> int:
    """Serve until a signal stops the server."""
    try:
        config = load(arguments)
    except ConfigError as error:
        fail(error)
    hide(config.secret_arguments)
    Server(config).run()
    return 0
