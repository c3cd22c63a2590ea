"""How the other clients of NATS are told to put, get and list; each by what it is made of."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from conformance.building import built
from conformance.cases import Context, program
from conformance.server import MAIN, wait_until
from tests.server.process import free_port

_PATIENCE = 20.0


def url_of(context: Context) -> str:
    """Return where the nats-server of this run listens."""
    flags = context.options.storage
    return flags[flags.index("--nats-servers") + 1]


def monitor_of(context: Context) -> str:
    """Return the URL of its monitor."""
    flags = context.options.storage
    return flags[flags.index("--nats-monitor") + 1]


class CommandLine:
    """The ``nats`` program."""

    name = "nats"

    def __init__(self, context: Context) -> None:
        self._context = context

    def put(self, store: str, name: str, file: Path) -> None:
        """Put a file."""
        self._run("put", store, str(file), f"--name={name}", "--force")

    def get(self, store: str, name: str, file: Path) -> None:
        """Write an object into a file; the program compares the digest."""
        self._run("get", store, f"--output={file}", "--force", "--", name)

    def names(self, store: str) -> set[str]:
        """Return the names of all objects."""
        listed = self._run("ls", store, "--names")
        return set(listed.decode().splitlines())

    def _run(self, *arguments: str) -> bytes:
        progress = [] if arguments[0] == "ls" else ["--no-progress"]
        return self._context.run(
            "nats", f"--server={url_of(self._context)}", "object", arguments[0], *progress, *arguments[1:]
        )


class Go:
    """Our program for nats.go."""

    name = "nats.go"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._program = built("nats", [program("go"), "build", "-o", "client", "."]) / "client"

    def do(self, tasks: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Do the tasks, as conformance/clients/nats/main.go knows them; return what it says of each."""
        lines = "".join(json.dumps(task) + "\n" for task in tasks)
        said = self._context.run(str(self._program), url_of(self._context), data=lines.encode())
        return [json.loads(line) for line in said.splitlines()]


@contextmanager
def nats_s3(context: Context) -> Iterator[Any]:
    """Start nats-s3 on the same nats-server; give a boto3 client of it."""
    port = free_port()
    credentials = context.work / "nats-s3.json"
    pair = {"accessKey": MAIN.access_key, "secretKey": MAIN.secret_key}
    credentials.write_text(json.dumps({"credentials": [pair]}))
    command = [program("nats-s3"), "--listen", f"127.0.0.1:{port}", "--natsServers", url_of(context)]
    command += ["--s3.credentials", str(credentials), "--log.level", "error"]
    with open(context.work / "nats-s3.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=context.environment())
    settings = Config(
        read_timeout=300,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": "path"},
        # It takes aws-chunked only in the form that is signed chunk by chunk.
        request_checksum_calculation="when_required",
    )
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id=MAIN.access_key,
        aws_secret_access_key=MAIN.secret_key,
        config=settings,
    )
    try:
        assert wait_until(lambda: _answers(client), _PATIENCE), "nats-s3 does not answer"
        yield client
    finally:
        process.terminate()
        process.wait(_PATIENCE)


def _answers(client: Any) -> bool:
    try:
        client.list_buckets()
    except OSError:
        return False
    except Exception as error:
        if "Could not connect" in str(error):
            return False
        raise
    return True
