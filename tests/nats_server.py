"""A real nats-server for the tests: in a directory of its own, on a port that the kernel chooses."""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from nats.aio.client import Client

from s3shim.backends.nats.backend import NatsBackend
from s3shim.backends.nats.settings import NatsSettings

BINARY = Path(sys.executable).parent / "nats-server"

_CONFIG = """\
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor}"
server_name: "{name}"
jetstream {{
  store_dir: "{store}"
  sync_interval: {sync}
  {limits}
}}
{more}
"""


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def stop_process(pid: int) -> None:
    """Send SIGSTOP, and wait until no thread of the process runs any more."""
    os.kill(pid, signal.SIGSTOP)
    tasks = Path(f"/proc/{pid}/task")
    while any(task.read_text().rpartition(") ")[2][0] != "T" for task in tasks.glob("*/stat")):
        time.sleep(0.001)


class NatsServer:
    """``limits`` are lines of the jetstream block, ``more`` lines of the configuration."""

    def __init__(self, path: Path, *, name="one", sync='"2m"', limits="", more="") -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.port = free_port()
        self.monitor_port = free_port()
        self.settings = {"sync": sync, "limits": limits, "more": more}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def monitor(self) -> str:
        """The URL of the monitoring endpoints."""
        return f"http://127.0.0.1:{self.monitor_port}"

    def start(self, *, wait: bool = True) -> NatsServer:
        """Start it, and wait until it listens."""
        config = self._configure()
        with open(self.path / "log", "ab") as log:
            self.process = subprocess.Popen([BINARY, "-c", config], stdout=log, stderr=log)
        if wait:
            self.wait()
        return self

    def reload(self, *, more: str) -> None:
        """Let it go on with other lines of configuration."""
        assert self.process is not None
        self.settings["more"] = more
        self._configure()
        os.kill(self.process.pid, signal.SIGHUP)

    def pause(self) -> None:
        """Stop the process, which keeps its connections."""
        assert self.process is not None
        stop_process(self.process.pid)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def _configure(self) -> Path:
        config = self.path / "nats.conf"
        config.write_text(
            _CONFIG.format(
                port=self.port,
                monitor=self.monitor_port,
                name=self.name,
                store=self.path / "store",
                **self.settings,
            )
        )
        return config

    def wait(self, seconds: float = 20) -> None:
        """Wait until it answers."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as sock:
                    if sock.recv(4096).startswith(b"INFO"):
                        return
            except OSError:
                time.sleep(0.02)
        raise TimeoutError((self.path / "log").read_text())

    def leads(self) -> bool:
        """Whether it knows who leads JetStream in its cluster."""
        try:
            with urllib.request.urlopen(f"{self.monitor}/jsz", timeout=1) as answer:
                return bool((json.load(answer).get("meta_cluster") or {}).get("leader"))
        except OSError:
            return False

    def kill(self) -> None:
        """End it as a power switch does, without its writing anything down."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """End it in good order."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            os.kill(self.process.pid, number)
            self.process.wait(20)
        self.process = None


@functools.cache
def shared_server() -> NatsServer:
    """Return a server for all tests of this process that need none of their own; it ends with the process."""
    directory = tempfile.mkdtemp(prefix="s3shim-nats-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    server = NatsServer(Path(directory)).start()
    atexit.register(server.kill)
    return server


def nats_backend(path: Path, **settings) -> NatsBackend:
    """Return a storage over the shared server, which holds nothing; its index is in ``path``."""
    server = shared_server()
    asyncio.run(_wipe(server.url))
    known = {"servers": (server.url,), "index": path / "index", "grace": 1}
    return NatsBackend(NatsSettings(**known | settings))


async def _wipe(url: str) -> None:
    client = Client()
    await client.connect(url)
    manager = client.jetstream()
    for stream in await manager.streams_info():
        await manager.delete_stream(stream.config.name)
    await client.close()


class NatsCluster:
    """Three servers that know each other; ``limits`` are lines of the jetstream block of each."""

    def __init__(self, path: Path, *, sync='"2m"', limits="") -> None:
        names = ("a", "b", "c")
        self._routes = {name: free_port() for name in names}
        known = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in self._routes.values())
        self.servers = {
            name: NatsServer(
                path / name,
                name=name,
                sync=sync,
                limits=limits,
                more=f'cluster {{ name: "three", listen: "127.0.0.1:{self._routes[name]}", '
                f"routes: [{known}] }}",
            )
            for name in names
        }

    @property
    def urls(self) -> list[str]:
        """Where clients connect."""
        return [server.url for server in self.servers.values()]

    def start(self) -> NatsCluster:
        """Start all, and wait until they have chosen who leads JetStream."""
        for server in self.servers.values():
            server.start(wait=False)
        for server in self.servers.values():
            server.wait()
        end = time.monotonic() + 30
        while not all(server.leads() for server in self.servers.values()):
            if time.monotonic() > end:
                raise TimeoutError("the cluster has no leader")
            time.sleep(0.05)
        return self

    def kill(self) -> None:
        """End all."""
        for server in self.servers.values():
            server.kill()
