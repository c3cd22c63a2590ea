"""One S3 server and one plain server for all tests that do not need their own."""

from __future__ import annotations

from collections.abc import Iterator

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
