"""s3-tests as a suite: what is in scope runs, every test has its line.

scope.toml says by name and marker which tests need a later capability; those are "out" and do not run.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from conformance.cases import Options, Outcome, Refused
from conformance.s3tests import runner
from conformance.server import Server

_SCOPE = Path(__file__).with_name("scope.toml")


class S3Tests:
    """The suite; it is run like the suites of our own cases."""

    name = "s3tests"

    def run(self, work: Path, options: Options, wanted: str) -> Iterator[tuple[Outcome, list[str]]]:
        """Yield the outcome of each test whose name contains ``wanted``. Raises Refused."""
        if options.checkout is None:
            raise Refused("no checkout of ceph/s3-tests is named (--s3-tests, make: S3TESTS=)")
        checkout = options.checkout.resolve()
        try:
            runner.check(checkout)
            with Server(work, options.storage) as server:
                collected = runner.collect(checkout, work, server).collected
                beyond = {name: out_of_scope(name, markers) for name, markers in collected.items()}
                inside = [name for name in collected if not beyond[name] and wanted in name]
                results = runner.run(checkout, work, server, inside).results
        except runner.CheckoutRefused as error:
            raise Refused(str(error)) from None
        for name in collected:
            if wanted not in name:
                continue
            if reason := beyond[name]:
                yield Outcome(name, "out", reason), []
            else:
                outcome, reason = results[name]
                yield Outcome(name, "pass" if outcome == "passed" else "fail", reason), []


def out_of_scope(name: str, markers: list[str]) -> str:
    """Return the capability that the test needs and the server does not have; "" where it has all."""
    test = name.partition("::test_")[2]
    if _fits(test, _KEEP):
        return ""
    for capability, rule in _RULES.items():
        if set(rule.get("markers", [])) & set(markers) or _fits(test, rule.get("tests", [])):
            return capability
    return ""


def _fits(test: str, patterns: list[str]) -> bool:
    return any(re.fullmatch(pattern, test) for pattern in patterns)


_RULES = tomllib.loads(_SCOPE.read_text())
_KEEP = _RULES.pop("keep")
SUITE = S3Tests()
