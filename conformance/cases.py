"""Suites of cases: a case is a function that raises where the server does not do as it should."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from conformance.server import MAIN, Account, Server

_WORTH_TELLING = 10.0
_INHERITED = ("PATH", "LANG", "LC_ALL", "TMPDIR")


class Refused(Exception):
    """A suite cannot run here; the text says what is missing."""


class Outcome(NamedTuple):
    """What became of a case: ``verdict`` is pass, fail, out or n/a; ``reason`` is one line, "" for a pass."""

    name: str
    verdict: str
    reason: str


@dataclass(slots=True)
class Options:
    """What the command line says to the suites.

    ``size`` is that of the objects of the load suite, ``storage`` the flags that choose the server's storage.
    """

    checkout: Path | None = None
    size: int = 64 * 2**20
    nats_s3: Path | None = None
    ncps: Path | None = None
    storage: tuple[str, ...] = ()


class Context:
    """What a case has: a server, a directory and a bucket name of its own, and ways to run clients."""

    def __init__(self, name: str, work: Path, server: Server, options: Options, seconds: int) -> None:
        self.seconds = seconds
        self.work = work
        self.server = server
        self.options = options
        self.bucket = name.replace("_", "-")
        self.notes: list[str] = []

    def say(self, note: str) -> None:
        """Print a figure below the line of the case."""
        self.notes.append(note)

    def environment(self, account: Account = MAIN) -> dict[str, str]:
        """See ``clean_environment``."""
        return clean_environment(self.work, account)

    def run(
        self,
        *command: str,
        environment: dict[str, str] | None = None,
        data: bytes | None = None,
        code: int = 0,
    ) -> bytes:
        """Run a program that must end with ``code``; return its standard output, and error where it fails."""
        done = subprocess.run(
            [program(command[0]), *command[1:]],
            cwd=self.work,
            env=environment or self.environment(),
            input=data,
            stdin=None if data is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=self.seconds,
            check=False,
        )
        if done.returncode != code:
            said = (done.stdout + done.stderr).decode(errors="replace").strip()
            raise AssertionError(f"{' '.join(command[:6])}: exit code {done.returncode}: {said[-600:]}")
        return done.stdout + (done.stderr if code else b"")

    def client(self, account: Account = MAIN, **settings: Any) -> Any:
        """Return a boto3 client of S3 that tries once."""
        return boto3.client(
            "s3",
            endpoint_url=self.server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=account.access_key,
            aws_secret_access_key=account.secret_key,
            config=Config(
                read_timeout=60,
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path"},
                **settings,
            ),
            verify=self.server.authority,
        )


@dataclass(slots=True)
class Suite:
    """Cases that share a server, started by ``server``. ``programs`` must be installed; ``flags`` are its."""

    name: str
    programs: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    seconds: int = 120
    cases: dict[str, Callable[[Context], None]] = field(default_factory=dict)
    server: Callable[[Path, Sequence[str]], Server] = Server

    def case(self, function: Callable[[Context], None]) -> Callable[[Context], None]:
        """Register ``function``: the decorator of a case."""
        self.cases[function.__name__] = function
        return function

    def run(self, work: Path, options: Options, wanted: str) -> Iterator[tuple[Outcome, list[str]]]:
        """Yield the outcome and the notes of each case whose name contains ``wanted``. Raises Refused."""
        for name in self.programs:
            program(name)
        with self.server(work, (*self.flags, *options.storage)) as server:
            for name, function in self.cases.items():
                if wanted not in name:
                    continue
                directory = work / name
                directory.mkdir()
                context = Context(f"{self.name}-{name}", directory, server, options, self.seconds)
                began = time.monotonic()
                outcome = Outcome(name, *verdict(partial(function, context), self.seconds))
                if (taken := time.monotonic() - began) > _WORTH_TELLING:
                    context.say(f"{taken:.1f} s")
                yield outcome, context.notes
                shutil.rmtree(directory)
            if not wanted:
                yield Outcome("no_internal_error", *log_verdict(server)), []


def clean_environment(home: Path, account: Account) -> dict[str, str]:
    """Return an environment that holds nothing of the caller's AWS or proxy settings."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | {
        "HOME": str(home),
        "AWS_ACCESS_KEY_ID": account.access_key,
        "AWS_SECRET_ACCESS_KEY": account.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
    }


def output_of(
    command: Sequence[str], directory: Path, environment: dict[str, str], seconds: int
) -> subprocess.CompletedProcess[str]:
    """Run a program that reads nothing; return how it ended and what it said. Raises TimeoutExpired."""
    return subprocess.run(
        command,
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def verdict(do: Callable[[], None], seconds: int) -> tuple[str, str]:
    """Return the verdict and the reason: fail where ``do`` raises or is not done after so many seconds."""
    try:
        with _alarm(seconds):
            do()
    except Exception as error:
        return "fail", _reason(error)
    return "pass", ""


def program(name: str) -> str:
    """Return the path of a program beside this Python, or in PATH. Raises Refused."""
    beside = Path(sys.executable).parent / name
    if beside.exists():
        return str(beside)
    found = shutil.which(name)
    if found is None:
        raise Refused(f"the program {name} is not installed")
    return found


@contextmanager
def refused(code: str) -> Iterator[None]:
    """Demand that the block is refused by the server with the S3 error ``code``."""
    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] != code:
            raise
    else:
        raise AssertionError(f"not refused with {code}")


@contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _reason(error: Exception) -> str:
    """Return one line: where in the case, and what."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    where = f"line {frames[0].lineno}: {frames[0].line}: " if frames else ""
    return " ".join(f"{where}{type(error).__name__}: {error}".split())[:700]


def log_verdict(server: Server) -> tuple[str, str]:
    """Return the verdict on the server's log, which must hold no internal error, and the reason."""
    lines = server.log.read_text(errors="replace").splitlines()
    bad = [line for line in lines if " status=500" in line or "Traceback" in line]
    return ("fail", f"{len(bad)} in the server's log, the first: {bad[0][:500]}") if bad else ("pass", "")
