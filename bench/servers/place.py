"""Where a server runs: its directory, its ports, its processes, and their end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.server.process import free_port

ACCESS_KEY = "benchmark"
SECRET_KEY = "secret-of-the-benchmark-32-bytes"

_PATIENCE = 30.0


class ServerFailed(Exception):
    """A server did not come up."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens. ``roots`` are the process ids that it was started with, none if it is remote."""

    endpoint: str
    access_key: str
    secret_key: str
    roots: tuple[int, ...]
    data: Path


class Place:
    """A directory, made if need be, and the processes started in it; a context manager that ends them."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.data = directory / "data"
        self.port = free_port()
        self.stack = ExitStack()
        self.roots: list[int] = []

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stack.__exit__(kind, error, trace)

    def spawn(self, command: Sequence[str], port: int, environment: Mapping[str, str] | None = None) -> None:
        """Start a process that will listen at ``port``, and wait until it does. Raises ServerFailed."""
        log = self.directory / f"{Path(command[0]).name}.log"
        with open(log, "ab") as file:
            process = subprocess.Popen(
                command,
                cwd=self.directory,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.stack.callback(_end, process)
        self.roots.append(process.pid)
        end = time.monotonic() + _PATIENCE
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > end:
                raise ServerFailed(f"{command[0]} does not listen: {log.read_text(errors='replace')[-600:]}")
            time.sleep(0.05)

    def running(self, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> Running:
        """Return what was started here as a server at the place's port."""
        endpoint = f"http://127.0.0.1:{self.port}"
        return Running(endpoint, access_key, secret_key, tuple(self.roots), self.directory)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop a process; one that does not obey is killed with its session."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    except ProcessLookupError:
        process.wait()
