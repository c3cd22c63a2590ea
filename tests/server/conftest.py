"""One S3 server and one plain server for all tests that do not need their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.server.process import Server, serve

PLAIN = ["-m", "tests.server.plain"]


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``s3shim serve`` with short time-outs."""
    server = serve(tmp_path_factory.mktemp("s3"), "--header-timeout", "1", "--idle-timeout", "1")
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Our worker without S3: 1 second idle, 1 second for a head, 2 threads."""
    server = Server([*PLAIN, "1", "1", "2"], tmp_path_factory.mktemp("plain") / "stderr", last="http://")
    yield server
    assert server.stop() == 0


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start our worker without S3: ``start(*settings, threads=2)``, with settings of gunicorn as NAME=VALUE.

    It must stop as it should.
    """
    started = []

    def start(*settings: str, threads: int = 2) -> Server:
        server = Server([*PLAIN, "10", "10", str(threads), *settings], tmp_path / "stderr", last="http://")
        started.append(server)
        return server

    yield start
    for server in started:
        assert server.stop() == 0
        assert "Traceback" not in server.stderr
