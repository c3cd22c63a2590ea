"""Servers that need a configuration or a second program; each is run as a cluster of one."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from bench.servers.place import ACCESS_KEY, SECRET_KEY, Place, Running, ServerFailed
from conformance.cases import program
from tests.server.process import free_port

_GARAGE = """\
metadata_dir = "{directory}/meta"
data_dir = "{directory}/data"
db_engine = "lmdb"
metadata_fsync = true
data_fsync = true
replication_factor = 1
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secret}"

[s3_api]
s3_region = "us-east-1"
api_bind_addr = "127.0.0.1:{port}"
"""
_GARAGE_KEY = "GK" + "ab" * 12
_GARAGE_SECRET = "cd" * 32
_GARAGE_PATIENCE = 20.0

_NATS = """\
listen: "127.0.0.1:{port}"
http: "127.0.0.1:{monitor}"
jetstream {{ store_dir: "{directory}/jetstream", max_file_store: 50GB, sync_interval: {sync} }}
"""


def garage(place: Place) -> Running:
    """Start a Garage node with a layout of itself alone, and give it a key pair."""
    rpc = free_port()
    settings = place.directory / "garage.toml"
    settings.write_text(_GARAGE.format(directory=place.directory, rpc=rpc, secret="ef" * 32, port=place.port))
    command = ["garage", "-c", str(settings)]
    place.spawn([*command, "server"], rpc, {"RUST_LOG": "garage=error"})
    node = _ask(command, "node", "id", "-q").partition("@")[0].strip()
    _ask(command, "layout", "assign", "-z", "here", "-c", "50G", node)
    _ask(command, "layout", "apply", "--version", "1")
    _ask(command, "key", "import", "--yes", "-n", "benchmark", _GARAGE_KEY, _GARAGE_SECRET)
    _ask(command, "key", "allow", "--create-bucket", _GARAGE_KEY)
    return place.running(_GARAGE_KEY, _GARAGE_SECRET)


def _ask(command: list[str], *arguments: str) -> str:
    """Run a command of Garage's; a node that is still coming up is asked again."""
    end = time.monotonic() + _GARAGE_PATIENCE
    while True:
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout
        if time.monotonic() > end:
            raise ServerFailed(f"garage {' '.join(arguments)}: {done.stderr[-600:]}")
        time.sleep(0.2)


class NatsServer(NamedTuple):
    """The ports of a nats-server: that of clients, and that of its monitor."""

    port: int
    monitor: int


def nats_s3(place: Place) -> Running:
    """Start nats-s3 on a nats-server of its own."""
    return nats_s3_on(place, nats_server(place).port)


def nats_server(place: Place, sync: str = "always") -> NatsServer:
    """Start a nats-server that syncs each message before it is acknowledged, or in another way."""
    made = NatsServer(free_port(), free_port())
    text = _NATS.format(port=made.port, monitor=made.monitor, directory=place.directory, sync=sync)
    settings = _write(place.directory / "nats.conf", text)
    place.spawn([program("nats-server"), "-c", str(settings)], made.port)
    return made


def nats_s3_on(place: Place, port: int) -> Running:
    """Start nats-s3 on the nats-server at ``port``."""
    keys = {"credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]}
    credentials = _write(place.directory / "credentials.json", json.dumps(keys))
    place.spawn(
        [
            "nats-s3",
            "--listen",
            f"127.0.0.1:{place.port}",
            "--natsServers",
            f"nats://127.0.0.1:{port}",
            "--s3.credentials",
            str(credentials),
            "--log.level",
            "error",
        ],
        place.port,
    )
    return place.running()


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
