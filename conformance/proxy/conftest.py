"""s3shim with nginx in front of it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.process import Server, free_port, serve

_CONFIGURATION = Path(__file__).with_name("nginx.conf")
_PATIENCE = 10.0


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """``s3shim serve --behind-proxy``."""
    made = serve(tmp_path_factory.mktemp("s3"), "--behind-proxy")
    yield made
    assert made.stop() == 0
    assert "Traceback" not in made.stderr


@pytest.fixture(scope="session")
def proxy(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an nginx in front of the server."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    assert program, "there is no nginx"
    prefix = tmp_path_factory.mktemp("nginx")
    port = free_port()
    text = _CONFIGURATION.read_text().format(prefix=prefix, port=port, upstream=server.port)
    (prefix / "nginx.conf").write_text(text)
    process = subprocess.Popen([program, "-p", str(prefix), "-c", str(prefix / "nginx.conf"), "-e", "stderr"])
    try:
        deadline = time.monotonic() + _PATIENCE
        while not _listens(port) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert _listens(port), (prefix / "error.log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(_PATIENCE)
