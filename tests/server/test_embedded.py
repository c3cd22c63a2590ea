"""The NATS server that we run ourselves: it starts, comes back when it dies, ends after the last worker."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.process import GUNICORN, ROOT, Server, ended, environment, refused

MODULE = ["-m", "tests.server.beside"]
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SLOW = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE = 20.0


def flags(path: Path, *more: str) -> list[str]:
    return [
        "--allow-root", "--backend", "nats", "--embedded-nats", str(path / "own nats"),
        "--data", str(path / "data"), "--listen", "127.0.0.1:0", "--workers", "1", *more,
    ]  # fmt: skip


class Beside(Server):
    """The server, and what it says of its NATS server."""

    def __init__(self, path: Path, *more: str) -> None:
        super().__init__([*MODULE, *flags(path, *more)], path / f"stderr-{time.monotonic_ns()}")
        self.nats = path / "own nats"
        self.told = self.tell()

    def tell(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.ask(GET).body)
        return told

    @property
    def programs(self) -> list[int]:
        """The process ids of its NATS servers, by their command line."""
        return processes_with(str(self.nats / "nats-server.conf"))


def processes_with(argument: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if argument.encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return sorted(found)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def eventually(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


class Refused(Exception):
    """What the NATS server says where it does not let us in."""


def speak(told: dict[str, Any], *, password: str | None = None) -> dict[str, Any]:
    """Log in as a worker would, and return what the account has of JetStream. Raises Refused, OSError."""
    host, port = told["servers"][0].removeprefix("nats://").split(":")
    login = {"verbose": False, "user": told["user"], "pass": password or told["password"]}
    with socket.create_connection((host, int(port)), timeout=5) as sock, sock.makefile("rwb") as stream:
        greeting = json.loads(stream.readline().removeprefix(b"INFO "))
        assert greeting["auth_required"]
        stream.write(b"CONNECT " + json.dumps(login).encode() + b"\r\nSUB answer 1\r\n")
        stream.write(b"PUB $JS.API.INFO answer 0\r\n\r\n")
        stream.flush()
        line = stream.readline()
        if not line.startswith(b"MSG answer 1 "):
            raise Refused(line)
        found: dict[str, Any] = json.loads(stream.read(int(line.split()[-1])))
        return found


def answers(told: dict[str, Any]) -> bool:
    try:
        return "error" not in speak(told)
    except (Refused, ValueError, OSError):
        return False


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Beside]]:
    """Start servers; whatever the test does to them, nothing of them is left at its end."""
    made: list[Beside] = []

    def start(*more: str) -> Beside:
        made.append(Beside(tmp_path, *more))
        return made[-1]

    yield start
    for server in made:
        server.stop()
    eventually(lambda: not processes_with(str(tmp_path / "own nats" / "nats-server.conf")))


def test_it_listens_before_the_workers_do_and_writes_durably(run: Callable[..., Beside]) -> None:
    server = run()
    assert "error" not in speak(server.told)
    (url,) = server.told["servers"]
    assert re.fullmatch(r"nats://127\.0\.0\.1:[0-9]+", url)
    with urllib.request.urlopen(f"{server.told['monitor']}/jsz") as page:
        found = json.load(page)["config"]
    assert found["sync_always"] is True
    assert found["store_dir"] == str(server.nats / "jetstream")
    assert server.stop() == 0
    assert server.programs == []


def test_nobody_else_gets_in(run: Callable[..., Beside]) -> None:
    server = run()
    with pytest.raises(Refused, match="Authorization Violation"):
        speak(server.told, password="another")
    secret = server.told["password"]
    assert re.fullmatch("[0-9a-f]{32}", secret)
    (pid,) = server.programs
    for process in (pid, parent(pid), server.process.pid):
        assert secret.encode() not in Path(f"/proc/{process}/cmdline").read_bytes()
        assert secret.encode() not in Path(f"/proc/{process}/environ").read_bytes()
    for path in (server.nats, *server.nats.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert secret not in server.stderr
    assert secret not in (server.nats / "nats-server.log").read_text()


def test_a_server_that_dies_is_started_again_where_it_was(run: Callable[..., Beside]) -> None:
    server = run()
    for _ in range(2):
        (pid,) = server.programs
        os.kill(pid, signal.SIGKILL)
        eventually(lambda pid=pid: server.programs not in ([pid], []))
        eventually(lambda: answers(server.told))
    assert server.tell() == server.told
    assert server.stderr.count("has ended: signal 9") == 2
    assert server.stop() == 0
    assert server.programs == []


def test_who_watches_it_is_replaced(run: Callable[..., Beside]) -> None:
    server = run()
    for _ in range(2):
        (pid,) = server.programs
        watcher = parent(pid)
        assert parent(watcher) == server.process.pid
        os.kill(watcher, signal.SIGKILL)
        eventually(lambda pid=pid: server.programs not in ([pid], []))
        eventually(lambda: answers(server.told))
    assert server.tell() == server.told
    assert server.stop() == 0
    assert server.programs == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_it_ends_after_the_workers(run: Callable[..., Beside], number: int) -> None:
    """Where a stop waits for a request, the NATS server is there for that request."""
    server = run()
    with server.connect() as client:
        client.send(SLOW)
        time.sleep(0.3)
        server.process.send_signal(number)
        if number == signal.SIGTERM:
            time.sleep(0.7)
            assert answers(server.told)
            assert json.loads(client.answer().body) == server.told
    assert server.stop(number) == 0
    assert server.programs == []
    assert "Server Exiting" in (server.nats / "nats-server.log").read_text()


def test_no_orphan_is_left_where_the_master_is_killed(run: Callable[..., Beside]) -> None:
    server = run()
    (pid,) = server.programs
    with server.connect() as client:
        client.send(SLOW)
        time.sleep(0.3)
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
        time.sleep(0.7)
        assert answers(server.told)
        assert json.loads(client.answer().body) == server.told
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    assert server.programs == []
    assert "Server Exiting" in (server.nats / "nats-server.log").read_text()


def test_a_start_just_after_the_master_was_killed(run: Callable[..., Beside]) -> None:
    first = run()
    first.stop(signal.SIGKILL)
    second = run()
    assert "error" not in speak(second.told)
    assert second.told["password"] != first.told["password"]
    assert len(second.programs) == 1


def test_signals_to_the_whole_group_of_the_terminal_reach_it_in_the_right_order(
    run: Callable[..., Beside],
) -> None:
    server = run()
    os.killpg(server.process.pid, signal.SIGINT)
    assert server.stop() == 0
    assert server.programs == []
    assert "has ended" not in server.stderr


def test_a_reload_leaves_it_alone(run: Callable[..., Beside]) -> None:
    server = run()
    programs = server.programs
    server.process.send_signal(signal.SIGHUP)
    eventually(lambda: server.tell()["pid"] != server.told["pid"])
    assert {**server.tell(), "pid": 0} == {**server.told, "pid": 0}
    assert server.programs == programs
    assert server.stop() == 0
    assert server.programs == []


def test_a_second_server_for_the_same_directory_is_refused(
    run: Callable[..., Beside], tmp_path: Path
) -> None:
    first = run()
    code, stderr = refused([*MODULE, *flags(tmp_path, "--data", str(tmp_path / "other"))])
    assert code == 78
    assert re.fullmatch(
        rf"s3shim: .*own nats is in use by another server \(pid {first.process.pid}\)\n", stderr
    )
    assert "error" not in speak(first.told)


def test_without_the_program_the_extra_is_named(tmp_path: Path) -> None:
    elsewhere = "import sys; sys.executable = '/nowhere/python'; from s3shim.cli.main import main; main(%r)"
    done = subprocess.run(
        [sys.executable, "-c", elsewhere % ["serve", *flags(tmp_path)]],
        cwd=ROOT,
        env=environment() | {"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == (
        "s3shim: --embedded-nats needs the program nats-server, which is neither beside /nowhere/python nor "
        "on PATH: install s3shim[embedded-nats]\n"
    )
    assert not (tmp_path / "own nats").exists()


def test_a_directory_of_any_name(run: Callable[..., Beside], tmp_path: Path) -> None:
    strange = tmp_path / 'a "b" \\ {c} $HOME #é 5m'
    server = run("--embedded-nats", str(strange))
    with urllib.request.urlopen(f"{server.told['monitor']}/jsz") as page:
        assert json.load(page)["config"]["store_dir"] == str(strange / "jetstream")
    assert "error" not in speak(server.told)
    assert server.stop() == 0
    assert "Server Exiting" in (strange / "nats-server.log").read_text()


def test_a_program_that_does_not_run_is_tried_again_and_again(
    run: Callable[..., Beside], tmp_path: Path
) -> None:
    """The service lives meanwhile, and stops when it is told to."""
    (tmp_path / "own nats").mkdir(0o700)
    (tmp_path / "own nats" / "jetstream").write_text("where the store should be")
    server = run()
    assert not answers(server.told)
    eventually(lambda: server.stderr.count("has ended: exit code 1") >= 3)
    pauses = [float(found) for found in re.findall("again_in=([0-9.]+)", server.stderr)]
    assert pauses[:3] == [0.2, 0.4, 0.8]
    assert "the embedded NATS server does not listen yet" in server.stderr
    (tmp_path / "own nats" / "jetstream").unlink()
    eventually(lambda: answers(server.told))
    assert server.stop() == 0


def test_a_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own nats").mkdir(0o770)
    (tmp_path / "own nats").chmod(0o770)
    code, stderr = refused([*MODULE, *flags(tmp_path)])
    assert code == 78
    assert re.fullmatch(r"s3shim: .*own nats.*written by others.*\n", stderr)
    assert not (tmp_path / "own nats" / "nats-server.conf").exists()


def test_it_ends_where_no_worker_can_start(tmp_path: Path) -> None:
    settings = {
        "S3SHIM_BACKEND": "nats",
        "S3SHIM_EMBEDDED_NATS": str(tmp_path / "own nats"),
        "S3SHIM_DATA": str(tmp_path / "data"),
        "S3SHIM_LISTEN": "127.0.0.1:0",
    }
    done = ended([*GUNICORN[:-1], "s3shim.wsgi:missing"], settings, patience=60)
    assert done.returncode == 1
    assert "App failed to load" in done.stderr
    assert "Server Exiting" in (tmp_path / "own nats" / "nats-server.log").read_text()
    assert processes_with(str(tmp_path / "own nats" / "nats-server.conf")) == []


def test_where_the_start_is_refused_later_it_does_not_run(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text("{}")
    keys.chmod(0o600)
    code, stderr = refused([*MODULE, *flags(tmp_path, "--credentials", str(keys))])
    assert code == 78
    assert "keys.json" in stderr
    assert processes_with(str(tmp_path / "own nats" / "nats-server.conf")) == []
