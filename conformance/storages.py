"""The storages that suites run over: this machine's files, or a server that is started beside."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from conformance.cases import program
from conformance.garage.node import garage
from conformance.upstream import Found, upstream
from tests.server.process import free_port

_PATIENCE = 20.0
_NATS = """\
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor}"
jetstream {{ store_dir: "{store}", max_file_store: 100GB }}
"""


@contextmanager
def local(_work: Path) -> Iterator[tuple[str, ...]]:
    """Give the flags of the local storage: none."""
    yield ()


@contextmanager
def nats(work: Path) -> Iterator[tuple[str, ...]]:
    """Start a nats-server with its data in ``work``; give the flags by which s3shim uses it.

    Raises Refused, RuntimeError.
    """
    port, monitor = free_port(), free_port()
    settings = work / "nats.conf"
    settings.write_text(_NATS.format(port=port, monitor=monitor, store=work / "jetstream"))
    with open(work / "nats.log", "ab") as log:
        process = subprocess.Popen([program("nats-server"), "-c", str(settings)], stdout=log, stderr=log)
    try:
        _wait(process, port)
        yield (
            "--backend",
            "nats",
            "--nats-servers",
            f"nats://127.0.0.1:{port}",
            "--nats-monitor",
            f"http://127.0.0.1:{monitor}",
        )
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def s3(work: Path) -> Iterator[tuple[str, ...]]:
    """Start a Garage with its data in ``work``; give the flags by which s3shim uses it. Raises Refused."""
    directory = work / "garage"
    directory.mkdir()
    program("garage")
    with garage(directory) as node:
        yield _flags(Found(node.endpoint, "garage", node.access_key, node.secret_key))


@contextmanager
def minio(work: Path) -> Iterator[tuple[str, ...]]:
    """Start a MinIO with its data in ``work``; give the flags by which s3shim uses it. Raises Refused."""
    directory = work / "minio"
    directory.mkdir()
    with upstream(program("minio"), directory) as found:
        yield _flags(found)


def _flags(found: Found) -> tuple[str, ...]:
    endpoint = "--backend", "s3", "--upstream-endpoint", found.endpoint, "--upstream-region", found.region
    keys = "--upstream-access-key", found.access_key, "--upstream-secret-key", found.secret_key
    return *endpoint, *keys


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("nats-server does not listen") from None
            time.sleep(0.05)
        else:
            return


STORAGES: dict[str, Callable[[Path], AbstractContextManager[tuple[str, ...]]]] = {
    "local": local,
    "nats": nats,
    "s3": s3,
    "minio": minio,
}
