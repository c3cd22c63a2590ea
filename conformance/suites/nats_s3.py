"""The two conformance scripts of nats-s3, unchanged, against s3shim with its settings and with our own.

They speak to a fixed address through the program ``aws``; a program of that name before it on PATH gives it
the server's address instead.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from conformance.cases import Options, Outcome, Refused, clean_environment, log_verdict, output_of, program
from conformance.server import MAIN, Server

_ADDRESS = "http://localhost:5222"
_AS_NATS_S3 = ("--min-part-size", "1", "--meta-header-case", "title")
_RUNS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("subset", "ci-conformance.sh", _AS_NATS_S3),
    ("full", "ci-conformance-full.sh", _AS_NATS_S3),
    ("strict", "ci-conformance-full.sh", ()),
)
_SECONDS = 300


class NatsS3:
    """The suite: each check of a script is a case."""

    name = "nats-s3"

    def run(self, work: Path, options: Options, wanted: str) -> Iterator[tuple[Outcome, list[str]]]:
        """Yield the outcome of each check in the runs whose name contains ``wanted``. Raises Refused."""
        if options.nats_s3 is None:
            raise Refused("no checkout of wpnpeiris/nats-s3 is named (--nats-s3, make: NATS_S3=)")
        for needed in ("aws", "bash", "curl"):
            program(needed)
        for name, script, flags in _RUNS:
            path = options.nats_s3.resolve() / "scripts" / script
            if not path.is_file():
                raise Refused(f"{path} is not there")
            if wanted not in name:
                continue
            directory = work / name
            directory.mkdir()
            with Server(directory, (*flags, *options.storage)) as server:
                for check, passed, said in _checks(path, directory, server):
                    outcome = Outcome(f"{name}/{check}", "pass" if passed else "fail", "" if passed else said)
                    yield outcome, []
                yield Outcome(f"{name}/no_internal_error", *log_verdict(server)), []


def _checks(script: Path, work: Path, server: Server) -> Iterator[tuple[str, bool, str]]:
    """Run a script; yield its checks: the name with "_" for blanks, whether it passed, what was said."""
    programs = work / "bin"
    programs.mkdir()
    _write_aws(programs / "aws", server.endpoint)
    (work / ".aws").mkdir()
    # The scripts mean version 2, which signs URLs by Signature Version 4 unasked.
    (work / ".aws" / "config").write_text("[default]\ns3 =\n    signature_version = s3v4\n")
    environment = clean_environment(work, MAIN)
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    command = ["bash", str(script)]
    done = output_of(command, work, environment, _SECONDS)
    # The longer script throws some of its lines away and keeps all in a file.
    results = work / "conformance-full.txt"
    text = results.read_text() if results.exists() else done.stdout
    found = re.findall(r"^(PASS|FAIL): (.*)$", text, re.MULTILINE)
    said = " ".join(done.stderr.split())[-300:] or "the script says no more"
    for verdict, check in found:
        yield re.sub(r"[ ()]+", "_", check).strip("_"), verdict == "PASS", said
    failed = any(verdict == "FAIL" for verdict, _ in found)
    yield "exit_code", done.returncode == (1 if failed else 0), f"{done.returncode}: {said}"


def _write_aws(path: Path, endpoint: str) -> None:
    lines: Sequence[str] = (
        "#!/usr/bin/env bash",
        'for argument in "$@"; do',
        f'    [ "$argument" != "--endpoint-url={_ADDRESS}" ] || argument=--endpoint-url={endpoint}',
        '    set -- "${@:2}" "$argument"',
        "done",
        f'exec {shlex.quote(program("aws"))} "$@"',
    )
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o755)


SUITE = NatsS3()
