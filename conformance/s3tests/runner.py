"""Run pytest in an s3-tests checkout and read what the plugin reports."""

from __future__ import annotations

import configparser
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from conformance.server import ALT, MAIN, ROOT, Account, Server

COMMIT = "8f0ae7b4"
FILES = ("test_s3.py", "test_headers.py")
MARKERS = "not fails_on_aws"

_SECONDS_PER_TEST = 60
_MAX_DEATHS = 5


class CheckoutRefused(Exception):
    """The checkout is not what the expected list was made with."""


@dataclass(slots=True)
class Outcomes:
    """What a run found: markers of every test by name; outcome and reason of those that ran."""

    collected: dict[str, list[str]] = field(default_factory=dict)
    results: dict[str, tuple[str, str]] = field(default_factory=dict)
    started: str | None = None


def check(checkout: Path) -> None:
    """Raise CheckoutRefused unless ``checkout`` holds s3-tests at COMMIT."""
    asked = subprocess.run(
        ["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    )
    if not asked.stdout.startswith(COMMIT):
        found = asked.stdout.strip() or asked.stderr.strip()
        raise CheckoutRefused(f"{checkout} is not ceph/s3-tests at commit {COMMIT}: {found}")


def collect(checkout: Path, work: Path, server: Server) -> Outcomes:
    """Return every test of the set with its markers; none runs."""
    log = work / "collected.jsonl"
    status = _pytest(checkout, work, server, log, [], "--collect-only")
    if status != 0:
        raise CheckoutRefused(
            f"pytest cannot collect {checkout}: {(work / 'pytest.out').read_text()[-2000:]}"
        )
    return _read(log)


def run(checkout: Path, work: Path, server: Server, names: Iterable[str]) -> Outcomes:
    """Run the tests ``names``; one that kills or hangs pytest is an error and the rest runs anew."""
    log = work / "results.jsonl"
    todo = list(names)
    died: dict[str, tuple[str, str]] = {}
    while todo and len(died) <= _MAX_DEATHS:
        status = _pytest(checkout, work, server, log, todo)
        outcomes = _read(log)
        todo = [name for name in todo if name not in outcomes.results]
        if status in (0, 1) or outcomes.started not in todo:
            break
        died[outcomes.started] = ("error", f"pytest ended in this test with status {status}")
        todo.remove(outcomes.started)
    outcomes = _read(log)
    outcomes.results |= died
    outcomes.results |= {name: ("error", "did not run") for name in todo if name not in outcomes.results}
    return outcomes


def _pytest(
    checkout: Path, work: Path, server: Server, log: Path, names: list[str], *flags: str
) -> int | None:
    """Run pytest once; return its exit status, None where it stood still and was killed."""
    configuration = work / "s3tests.conf"
    _write_configuration(configuration, server.port)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "BOTO", "S3TEST"))
    }
    environment |= {
        "S3TEST_CONF": str(configuration),
        "CONFORMANCE_LOG": str(log),
        "HOME": str(work),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "*",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(checkout)]),
    }
    if names:
        chosen = work / "names"
        chosen.write_text("\n".join(names))
        environment["CONFORMANCE_IDS"] = str(chosen)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "conformance.s3tests.plugin"]
    command += ["-q", "--tb=short", "--no-header", "--show-capture=no", "-m", MARKERS, *flags]
    command += ["--timeout", str(_SECONDS_PER_TEST), "--timeout-method", "signal"]
    command += [f"s3tests/functional/{name}" for name in FILES]
    with open(work / "pytest.out", "ab") as sink:
        child = subprocess.Popen(
            command,
            cwd=checkout,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return _wait(child, log)


def _wait(child: subprocess.Popen[bytes], log: Path) -> int | None:
    size, moved = -1, time.monotonic()
    while child.poll() is None:
        time.sleep(0.2)
        now = log.stat().st_size if log.exists() else 0
        if now != size:
            size, moved = now, time.monotonic()
        elif time.monotonic() - moved > 3 * _SECONDS_PER_TEST:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            return None
    return child.returncode


def _read(log: Path) -> Outcomes:
    outcomes = Outcomes()
    for line in log.read_text().splitlines() if log.exists() else ():
        record = json.loads(line)
        if "collected" in record:
            outcomes.collected = record["collected"]
        elif "started" in record:
            outcomes.started = record["started"]
        else:
            outcomes.results[record["ended"]] = (record["outcome"], record["reason"])
    return outcomes


def _write_configuration(path: Path, port: int) -> None:
    made = configparser.RawConfigParser()
    made["DEFAULT"] = {"host": "127.0.0.1", "port": str(port), "is_secure": "False", "ssl_verify": "False"}
    made["fixtures"] = {"bucket prefix": "s3t-{random}-"}
    made["s3 main"] = _section(MAIN) | {"api_name": "us-east-1", "lc_debug_interval": "1"}
    made["s3 alt"] = _section(ALT)
    # The suite demands these too; what needs them is beyond the tests that run.
    made["s3 tenant"] = _section(MAIN) | {"tenant": ""}
    for name in ("iam", "iam root", "iam alt root"):
        made[name] = _section(MAIN)
    with open(path, "w", encoding="utf-8") as file:
        made.write(file)


def _section(account: Account) -> dict[str, str]:
    return {
        "access_key": account.access_key,
        "secret_key": account.secret_key,
        "user_id": account.name,
        "display_name": account.display_name,
        "email": f"{account.name}@example.com",
    }
