"""A Garage of our own, of one node, that may be killed, stopped and started again.

Its metadata lie in SQLite, whose keys may have the 1,024 bytes of S3; in LMDB, its other engine, keys end
at 479.
"""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.server.process import free_port

HOW = """No garage on PATH. It is to be had by
    cargo install garage --version 2.3.0 --locked
or as a binary from https://garagehq.deuxfleurs.fr/download/"""

_CONFIGURATION = """
metadata_dir = "{work}/meta"
data_dir = "{work}/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secret}"
metadata_fsync = true
data_fsync = true

[s3_api]
s3_region = "garage"
api_bind_addr = "127.0.0.1:{s3}"

[admin]
api_bind_addr = "127.0.0.1:{admin}"
admin_token = "{token}"
"""
_PATIENCE = 30.0


def program() -> str | None:
    """Return the path of garage, None where there is none on PATH."""
    return shutil.which("garage")


class Garage:
    """The node; its files lie in ``work``. It syncs both data and metadata."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._ports = {name: free_port() for name in ("rpc", "s3", "admin")}
        self._token = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = self._ports["s3"]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.access_key = self.secret_key = ""
        text = _CONFIGURATION.format(
            work=work, secret=secrets.token_hex(32), token=self._token, **self._ports
        )
        (work / "garage.toml").write_text(text)

    def start(self) -> None:
        """Start the process; returns before it listens."""
        command = [program() or "garage", "-c", self._work / "garage.toml", "server"]
        with open(self._work / "log", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    def prepare(self) -> None:
        """Make a cluster of the node, and a key pair that may make buckets."""
        node = self._ask("GetClusterStatus")["nodes"][0]["id"]
        roles = {"roles": [{"id": node, "zone": "here", "capacity": 10**10, "tags": []}]}
        self._ask("UpdateClusterLayout", roles)
        self._ask("ApplyClusterLayout", {"version": 1})
        key = self._ask("CreateKey", {"name": "s3shim", "allow": {"createBucket": True}})
        self.access_key, self.secret_key = key["accessKeyId"], key["secretAccessKey"]

    def end(self, number: int = signal.SIGTERM) -> None:
        """End the process by a signal, and wait until it is gone; nothing where it does not run."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            if number != signal.SIGKILL:
                process.send_signal(signal.SIGCONT)
            process.wait(_PATIENCE)

    def kill(self) -> None:
        """End the process without warning."""
        self.end(signal.SIGKILL)

    def hold(self) -> None:
        """Stop the process in what it does: it takes connections, and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after ``hold``; nothing where it does not run."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    @property
    def runs(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def _ask(self, operation: str, body: object = None) -> Any:
        """Ask the admin API, which may not be up yet."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        request = Request(f"http://127.0.0.1:{self._ports['admin']}/v2/{operation}", data, headers)
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                with urlopen(request, timeout=10) as answer:
                    return json.load(answer)
            except HTTPError:
                raise
            except OSError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.1)


@contextmanager
def garage(work: Path) -> Iterator[Garage]:
    """Run a node with a key pair, its files in ``work``."""
    node = Garage(work)
    node.start()
    try:
        node.prepare()
        yield node
    finally:
        node.end()
