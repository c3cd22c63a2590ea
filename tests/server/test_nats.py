"""The whole server with its objects in NATS: started without it, with its own, and as nats-s3 was."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3
from minio import Minio
from minio.error import S3Error

from tests.server.process import GUNICORN, Server, free_port, serve, workers

PROGRAM = Path(sys.executable).parent / "nats-server"
READY = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
DATA = bytes(range(256)) * 2000


class Nats:
    """A NATS server that others run, at ``port``; started by ``start``."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str) -> None:
        command = [str(PROGRAM), "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.directory)]
        self.process = subprocess.Popen([*command, *flags], stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Nats]:
    server = Nats(tmp_path / "nats")
    yield server
    server.stop()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers by flags; they must end as they should."""
    made: list[Server] = []

    def start(*flags: str) -> Server:
        made.append(serve(tmp_path, "--workers", "1", *flags))
        return made[-1]

    yield start
    for server in made:
        assert server.stop() == 0
        assert "Traceback" not in server.stderr


def client(server: Server, access_key: str = "", secret_key: str = "") -> Minio:
    return Minio(
        f"127.0.0.1:{server.port}",
        access_key=access_key or server.shown("access key"),
        secret_key=secret_key or server.shown("secret key"),
        secure=False,
        region="us-east-1",
        http_client=urllib3.PoolManager(retries=False),
    )


def put(s3: Minio, key: str) -> None:
    s3.put_object("a-bucket", key, io.BytesIO(DATA), len(DATA))


def get(s3: Minio, key: str) -> bytes:
    answer = s3.get_object("a-bucket", key)
    try:
        return answer.data
    finally:
        answer.close()


def until_ready(server: Server, status: int = 200) -> float:
    """Wait until it would serve, or would not, and return how many seconds that took."""
    began = time.monotonic()
    while server.ask(READY).status != status:
        assert time.monotonic() - began < 20, server.stderr
        time.sleep(0.05)
    return time.monotonic() - began


def test_the_server_lives_without_nats_and_serves_when_it_is_there(
    run: Callable[..., Server], nats: Nats
) -> None:
    server = run("--backend", "nats", "--nats-servers", f"nats://127.0.0.1:{nats.port}")
    s3 = client(server)
    assert server.ask(LIVE).status == 200
    for path in (b"/readyz", b"/healthz"):
        answer = server.ask(READY.replace(b"/readyz", path))
        assert answer.status == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 5
    with pytest.raises(S3Error) as refused:
        s3.list_buckets()
    assert refused.value.code == "ServiceUnavailable"
    (worker,) = workers(server)
    nats.start()
    assert until_ready(server) < 5
    s3.make_bucket("a-bucket")
    put(s3, "one")
    nats.stop()
    assert until_ready(server, 503) < 5
    nats.start()
    until_ready(server)
    assert get(s3, "one") == DATA
    assert workers(server) == [worker]


def test_objects_in_a_server_of_our_own_outlive_it_and_us(run: Callable[..., Server], tmp_path: Path) -> None:
    flags = ["--backend", "nats", "--embedded-nats", str(tmp_path / "own")]
    server = run(*flags)
    until_ready(server)
    s3 = client(server)
    s3.make_bucket("a-bucket")
    put(s3, "one")
    (watcher,) = (pid for pid in workers(server) if own_children(pid))
    (program,) = own_children(watcher)
    os.kill(program, signal.SIGKILL)
    while own_children(watcher) in ([], [program]):
        time.sleep(0.02)
    until_ready(server)
    assert get(s3, "one") == DATA
    put(s3, "two")
    assert server.stop() == 0
    again = run(*flags)
    until_ready(again)
    assert [get(client(again), key) for key in ("one", "two")] == [DATA, DATA]
    assert (tmp_path / "own" / "jetstream").is_dir()


def own_children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_gunicorn_serves_the_same_by_the_environment(tmp_path: Path) -> None:
    settings = {
        "S3SHIM_BACKEND": "nats",
        "S3SHIM_EMBEDDED_NATS": str(tmp_path / "own"),
        "S3SHIM_DATA": str(tmp_path / "data"),
        "S3SHIM_LISTEN": "127.0.0.1:0",
        "S3SHIM_WORKERS": "1",
    }
    server = Server(GUNICORN, tmp_path / "stderr", settings)
    until_ready(server)
    s3 = client(server)
    s3.make_bucket("a-bucket")
    put(s3, "one")
    server.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    until_ready(server)
    assert get(s3, "one") == DATA
    assert server.stop() == 0
    assert "Traceback" not in server.stderr


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_an_old_command_line_of_nats_s3(run: Callable[..., Server], nats: Nats, dashes: str) -> None:
    """The login at NATS is the only key pair, and is not to be seen among the arguments."""
    nats.start("--user", "my-access-key", "--pass", "my-secret-key")
    flags = {
        "listen": "127.0.0.1:0",
        "natsServers": f"nats://127.0.0.1:{nats.port}",
        "natsUser": "my-access-key",
        "natsPassword": "my-secret-key",
    }
    server = run(*(f"{dashes}{name}={value}" for name, value in flags.items()))
    until_ready(server)
    s3 = client(server, "my-access-key", "my-secret-key")
    s3.make_bucket("a-bucket")
    put(s3, "one")
    assert get(s3, "one") == DATA
    with pytest.raises(S3Error) as refused:
        client(server, "my-access-key", "another-secret").list_buckets()
    assert refused.value.code == "SignatureDoesNotMatch"
    for pid in (server.process.pid, *workers(server)):
        shown = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert b"natsPassword=xxxxxxxxxxxxx\0" in shown
        assert b"my-secret-key" not in shown
    assert "my-secret-key" not in server.stderr


def test_a_current_command_line_of_nats_s3(run: Callable[..., Server], nats: Nats, tmp_path: Path) -> None:
    keys = tmp_path / "credentials.json"
    keys.touch(0o600)
    pairs = [{"accessKey": f"access-{name}", "secretKey": f"secret-of-{name}"} for name in "ab"]
    keys.write_text(json.dumps({"credentials": pairs}))
    nats.start("--auth", "a-token")
    server = run(
        "--listen", "127.0.0.1:0", "-natsServers", f"127.0.0.1:{nats.port}", "-natsToken", "a-token",
        "-replicas", "1", "-s3.credentials", str(keys), "-log.format", "json", "-http.read-timeout", "15m",
    )  # fmt: skip
    until_ready(server)
    client(server, "access-a", "secret-of-a").make_bucket("a-bucket")
    put(client(server, "access-b", "secret-of-b"), "one")
    assert get(client(server, "access-a", "secret-of-a"), "one") == DATA
    assert all(json.loads(line)["ts"] for line in server.stderr.splitlines())
