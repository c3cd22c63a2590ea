"""A Garage, and s3shim in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from conformance.garage.node import Garage, garage
from conformance.garage.scene import client_of, direct, ended_well, in_front_of
from tests.server.process import Server

FIGURES = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print what was measured."""
    lines = config.stash.get(FIGURES, [])
    if lines:
        terminalreporter.section("over Garage")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Any:
    """Have a line said at the end of the run."""
    return request.config.stash.setdefault(FIGURES, []).append


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Garage]:
    """A Garage that runs all the time."""
    with garage(tmp_path_factory.mktemp("garage")) as made:
        yield made


@pytest.fixture(scope="module")
def server(node: Garage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """s3shim in front of it."""
    made = in_front_of(node, tmp_path_factory.mktemp("s3shim"))
    yield made
    ended_well(made)


@pytest.fixture
def through(server: Server) -> Iterator[Any]:
    """A boto3 client of s3shim."""
    made = client_of(server)
    yield made
    made.close()


@pytest.fixture
def behind(node: Garage) -> Iterator[Any]:
    """A boto3 client of Garage itself."""
    made = direct(node)
    yield made
    made.close()
