"""The server that is killed: its own process group, started again and again on one store."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crash.load import BUCKET, MIN_PART, Caller
from tests.server.process import ROOT, Server, environment

FLAGS = (
    *("--workers", "2", "--threads", "4", "--grace", "1", "--min-part-size", str(MIN_PART)),
    *("--inline-max", "16KiB", "--block-size", "16KiB", "--listen", "127.0.0.1:0", "--allow-root"),
)
PATIENCE = 30.0  # seconds


class DidNotStart(Exception):
    """The server did not start, or not as what it was."""


class Target:
    """``s3shim serve`` on ``data``, what it says in files in ``logs``, by default run as ``module``."""

    def __init__(self, data: Path, logs: Path, module: tuple[str, ...] = ("s3shim",)) -> None:
        self.data = data
        self._logs = logs
        self._arguments = ["-m", *module, "serve", *FLAGS, "--data", str(data)]
        self._server: Server | None = None
        self._keys: tuple[str, str] | None = None
        self._starts = 0

    def start(self) -> None:
        """Start it and wait until it listens. Raises DidNotStart, also where its key pair is another."""
        try:
            self._server = Server(self._arguments, self._log())
        except AssertionError as error:
            raise DidNotStart(f"the server does not start: {error}") from error
        keys = self._server.shown("access key"), self._server.shown("secret key")
        if self._keys not in (None, keys):
            raise DidNotStart("the key pair is another after the restart")
        self._keys = keys

    @contextmanager
    def starting(self, dice: random.Random) -> Iterator[None]:
        """Start it and go on at any moment of the start, most times while it works on the store.

        It is killed in the end, with all its children.
        """
        with open(self._log(), "wb") as log:
            process = subprocess.Popen(
                [sys.executable, *self._arguments],
                cwd=ROOT,
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
        try:
            if dice.random() < 0.7:
                new = not (self.data / "VERSION").exists()
                wait_until(lambda: self._at_work(process.pid, new=new) or process.poll() is not None, 5)
                wait(dice, 0, 0.02)
            else:
                wait(dice, 0, 0.5)
            yield
        finally:
            _signal(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)
            wait_for_end(process.pid)

    def _at_work(self, pid: int, *, new: bool) -> bool:
        # The sweep comes soon after the lock; a new store is made before that.
        with suppress(FileNotFoundError):
            return (self.data / "blobs").exists() if new else (self.data / "LOCK").read_text() == f"{pid}\n"
        return False

    def client(self) -> Caller:
        """Return a client with connections of its own."""
        assert self._server is not None
        assert self._keys is not None
        return Caller(self._server.host, self._server.port, *self._keys)

    def make_bucket(self) -> None:
        """Make the bucket of the load and wait until it can be seen."""
        client = self.client()
        assert client.request("PUT", f"/{BUCKET}").status in (200, 409)
        wait_until(lambda: client.request("HEAD", f"/{BUCKET}").status == 200, PATIENCE)
        client.close()

    @property
    def pid(self) -> int:
        """The master, and its process group."""
        assert self._server is not None
        return self._server.process.pid

    def workers(self) -> list[int]:
        """Return the workers, by number."""
        return sorted(set(group(self.pid)) - {self.pid})

    def signal(self, number: int) -> None:
        """Send a signal to every process of the server at once."""
        _signal(self.pid, number)

    def wait(self) -> int:
        """Wait until every process of the server is gone; return the exit code of the master."""
        assert self._server is not None
        code = self._server.process.wait(PATIENCE)
        wait_for_end(self.pid)
        assert self._server.process.stdout is not None
        self._server.process.stdout.close()
        self._server = None
        return code

    def kill(self) -> None:
        """Kill the whole server, if there is one, and wait for its end."""
        if self._server is not None:
            self.signal(signal.SIGKILL)
            self.wait()

    def _log(self) -> Path:
        self._starts += 1
        return self._logs / f"stderr-{self._starts}"


def wait(dice: random.Random, low: float, high: float) -> None:
    """Wait some random time between these, seconds."""
    time.sleep(dice.uniform(low, high))


def wait_until(come: Callable[[], bool], seconds: float) -> bool:
    """Wait until ``come()``, at most so long; return whether it came."""
    deadline = time.monotonic() + seconds
    while not come():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


def group(leader: int) -> list[int]:
    """Return the living processes of a process group."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                status = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
                if int(status[2]) == leader and status[0] not in "ZX":
                    found.append(int(name))
    return found


def wait_for_end(leader: int) -> None:
    """Wait until a process group has no living process."""
    if not wait_until(lambda: not group(leader), PATIENCE):
        _signal(leader, signal.SIGKILL)
        raise TimeoutError("a worker outlives its master")


def _signal(leader: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, number)
