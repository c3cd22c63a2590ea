"""A server of our own in its own process, with two accounts."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]

_PATIENCE = 30.0
_LAST_LINE = "rclone lsd"


class Account(NamedTuple):
    """An account and its key pair."""

    name: str
    display_name: str
    access_key: str
    secret_key: str


MAIN = Account("main", "Main", "conformancemain", "secret/of+the+main-account")
ALT = Account("alt", "Alt", "conformancealt", "secret/of+the+alt-account")


class Server:
    """``s3shim serve`` on a free port of this machine, its data in ``directory``/data.

    ``flags`` are added to the command; the standard error goes to ``directory``/server.log. ``authority``
    is the file by which a client trusts its certificate, where the flags give it one.
    """

    def __init__(self, directory: Path, flags: Sequence[str] = (), authority: str | None = None) -> None:
        self.directory = directory
        self.authority = authority
        self.data = directory / "data"
        self.log = directory / "server.log"
        credentials = directory / "credentials.json"
        credentials.write_text(json.dumps({"credentials": [_entry(MAIN), _entry(ALT)]}))
        credentials.chmod(0o600)
        command = [sys.executable, "-m", "s3shim", "serve", "--allow-root", "--listen", "127.0.0.1:0"]
        command += ["--data", str(self.data), "--credentials", str(credentials), *flags]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("S3SHIM_")}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.endpoint = self._endpoint()
        self.port = int(self.endpoint.rpartition(":")[2])

    def _endpoint(self) -> str:
        assert self.process.stdout is not None
        endpoint = ""
        for line in self.process.stdout:
            if found := re.search(r"endpoint +(https?://127\.0\.0\.1:[0-9]+)", line):
                endpoint = found[1]
            if line.startswith(_LAST_LINE):
                return endpoint
        self.process.wait(_PATIENCE)
        raise RuntimeError(f"the server did not start: {self.log.read_text()}")

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in children.split()]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server; one that does not obey is killed with its workers, and that is an error."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended by itself with {self.process.returncode}: see {self.log}")
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise RuntimeError(f"the server did not stop within {_PATIENCE:g} s") from None
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()
        if code != 0:
            raise RuntimeError(f"the server stopped with exit code {code}")


def disk_usage(directory: Path) -> int:
    """Return the bytes on disk of all files below ``directory``."""
    total = 0
    for path in directory.rglob("*"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode):
            total += status.st_blocks * 512
    return total


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    """Call ``true`` until it answers true, for up to ``seconds``; whether it did."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def _entry(account: Account) -> dict[str, str]:
    return {
        "accessKey": account.access_key,
        "secretKey": account.secret_key,
        "account": account.name,
        "displayName": account.display_name,
    }
