"""The tests of ncps for its own storages over S3, unchanged.

They take endpoint, bucket and key pair from the environment, and skip themselves where those are missing.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from conformance.cases import Context, Options, Outcome, Refused, log_verdict, output_of, program, verdict
from conformance.server import MAIN, Server

_PACKAGES = ("s3", "chunk")
_SECONDS = 600
_VERDICTS = {"pass": "pass", "fail": "fail", "skip": "out"}


class Ncps:
    """The suite: each test of a package and each test within it is a case; one that is skipped is out."""

    name = "ncps"

    def run(self, work: Path, options: Options, wanted: str) -> Iterator[tuple[Outcome, list[str]]]:
        """Yield the outcomes of the packages whose name contains ``wanted``. Raises Refused."""
        if options.ncps is None:
            raise Refused("no checkout of kalbasit/ncps is named (--ncps, make: NCPS=)")
        checkout = options.ncps.resolve()
        if not (checkout / "pkg" / "storage" / "chunk").is_dir():
            raise Refused(f"{checkout} is no checkout of kalbasit/ncps")
        go = program("go")
        with Server(work, options.storage) as server:
            context = Context("ncps", work, server, options, _SECONDS)
            create = partial(context.client().create_bucket, Bucket=context.bucket)
            yield Outcome("bucket", *verdict(create, _SECONDS)), []
            for package in _PACKAGES:
                if wanted in package:
                    # They run at once, so the order in which they end is another one each time.
                    for outcome in sorted(_outcomes(go, checkout, package, _environment(context))):
                        yield outcome, []
            yield Outcome("no_internal_error", *log_verdict(server)), []


def _environment(context: Context) -> dict[str, str]:
    """Return the caller's environment, in which Go finds its modules, with nothing of AWS, and the server."""
    left = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "NCPS_"))}
    return left | {
        "NCPS_TEST_S3_ENDPOINT": context.server.endpoint,
        "NCPS_TEST_S3_BUCKET": context.bucket,
        "NCPS_TEST_S3_REGION": "us-east-1",
        "NCPS_TEST_S3_ACCESS_KEY_ID": MAIN.access_key,
        "NCPS_TEST_S3_SECRET_ACCESS_KEY": MAIN.secret_key,
    }


def _outcomes(go: str, checkout: Path, package: str, environment: dict[str, str]) -> Iterator[Outcome]:
    """Run the tests of a package; yield their outcomes, then whether the whole ended as they did."""
    command = [go, "test", "-json", "-count=1", f"./pkg/storage/{package}"]
    done = output_of(command, checkout, environment, _SECONDS)
    said: defaultdict[str, list[str]] = defaultdict(list)
    failed = False
    for line in done.stdout.splitlines():
        event = json.loads(line)
        name = event.get("Test", "")
        if event["Action"] == "output":
            said[name].append(event["Output"].strip())
        elif name and event["Action"] in _VERDICTS:
            became = _VERDICTS[event["Action"]]
            failed = failed or became == "fail"
            reason = "" if became == "pass" else " ".join(said[name])[-500:]
            yield Outcome(f"{package}/{name}", became, reason)
    right = done.returncode == (1 if failed else 0)
    last = " ".join([*said[""], *done.stderr.split()])[-300:]
    yield Outcome(f"{package}/exit_code", "pass" if right else "fail", "" if right else last)


SUITE = Ncps()
