"""The whole server with its objects in another S3, which here is s3shim as well: without it, and with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from minio.error import S3Error

from tests.server.process import Server, free_port, serve, workers
from tests.server.test_nats import DATA, LIVE, client, get, put, until_ready

KEYS = {"S3SHIM_ACCESS_KEY": "GKbehind", "S3SHIM_SECRET_KEY": "secret-of-behind"}
OURS = {"S3SHIM_UPSTREAM_ACCESS_KEY": "GKbehind", "S3SHIM_UPSTREAM_SECRET_KEY": "secret-of-behind"}


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """Start the S3 behind, at the same address each time."""
    made: list[Server] = []
    address = f"127.0.0.1:{free_port()}"
    (tmp_path / "behind").mkdir()

    def start() -> Server:
        made.append(serve(tmp_path / "behind", "--listen", address, settings=KEYS))
        return made[-1]

    yield start
    for server in made:
        assert server.stop() == 0


def test_the_server_lives_without_the_s3_behind_and_serves_when_it_is_there(
    behind: Callable[[], Server], tmp_path: Path
) -> None:
    first = behind()
    endpoint = f"http://127.0.0.1:{first.port}"
    assert first.stop() == 0
    flags = ["--backend", "s3", "--upstream-endpoint", endpoint, "--upstream-attempts", "1", "--workers", "1"]
    server = serve(tmp_path, *flags, settings=OURS)
    try:
        s3 = client(server)
        assert server.ask(LIVE).status == 200
        until_ready(server, 503)
        with pytest.raises(S3Error) as refused:
            s3.list_buckets()
        assert refused.value.code == "ServiceUnavailable"
        (worker,) = workers(server)
        second = behind()
        until_ready(server)
        s3.make_bucket("a-bucket")
        put(s3, "one")
        assert second.stop() == 0
        until_ready(server, 503)
        third = behind()
        until_ready(server)
        assert get(s3, "one") == get(client(third, "GKbehind", "secret-of-behind"), "one") == DATA
        assert workers(server) == [worker]
        assert (tmp_path / "data" / "credentials.json").exists()
    finally:
        assert server.stop() == 0
    assert "secret-of-behind" not in server.stderr
    assert "Traceback" not in server.stderr
