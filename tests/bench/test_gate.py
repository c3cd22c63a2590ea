"""The gate against slow changes: it holds, and it can fail. See bench/gate."""

import json
import subprocess
import sys

import pytest

from bench.gate import measure

ROWS = set(json.loads(measure.BOUNDS.read_text())["quotients"])


def gate(*arguments):
    """Run the gate in a process of its own, where no test runner listens to the log."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "bench.gate", *arguments],
        cwd=measure.BOUNDS.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def slower(done):
    return {line.split()[1].rstrip(":") for line in done.stdout.splitlines() if line.startswith("SLOWER ")}


def test_no_request_costs_more_than_its_bound():
    done = gate()
    assert done.returncode == 0, done.stdout + done.stderr
    assert slower(done) == set()


def test_requests_of_twice_the_cost_are_all_found(tmp_path):
    # Against bounds of this minute, so that a server that has become faster than its bounds hides nothing.
    bounds = tmp_path / "bounds.json"
    bounds.write_text(measure.BOUNDS.read_text())
    assert gate("--bounds", str(bounds), "--update").returncode == 0
    done = gate("--bounds", str(bounds), "--times", "2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert slower(done) == ROWS


@pytest.fixture
def bounds(tmp_path):
    path = tmp_path / "bounds.json"
    path.write_text(json.dumps({"limit": 1.4, "quotients": {"get": 10.0, "put": 20.0}}))
    return path


def test_a_row_is_allowed_its_limit_and_no_more(bounds):
    assert measure.complaints({"get": 13.9, "put": 1.0}, bounds) == []
    assert measure.complaints({"get": 14.1, "put": 28.1}, bounds) == [
        "get: 14.10 units, 1.41 times its bound; 1.40 times is allowed",
        "put: 28.10 units, 1.41 times its bound; 1.40 times is allowed",
    ]


def test_rows_and_bounds_are_the_same_rows(bounds):
    assert measure.complaints({"get": 1.0, "head": 1.0}, bounds) == [
        "head: has no bound",
        "put: was not measured",
    ]


def test_update_keeps_the_limit(bounds):
    measure.update({"get": 1.23456}, bounds)
    assert json.loads(bounds.read_text()) == {"limit": 1.4, "quotients": {"get": 1.235}}
