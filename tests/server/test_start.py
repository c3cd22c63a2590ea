"""The start and the stop of the server: what it says, what it refuses, how it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.server.process import GUNICORN, Server, ended, environment, refused, serve

SERVE = ["-m", "s3shim", "serve"]
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def lines_to_paste(server: Server, name: str) -> str:
    found = re.search(rf"^# {name}\n(.*?)\n\n", server.banner + "\n", re.MULTILINE | re.DOTALL)
    assert found, server.banner
    return found[1]


def test_the_banner_shows_endpoint_and_keys_on_stdout_only(tmp_path: Path) -> None:
    server = serve(tmp_path)
    assert server.ask(HEALTH).status == 200
    kept = json.loads((tmp_path / "data" / "credentials.json").read_text())["credentials"][0]
    assert server.shown("access key") == kept["accessKey"]
    assert server.shown("secret key") == kept["secretKey"]
    assert server.shown("endpoint") == f"http://127.0.0.1:{server.port}"
    assert server.stop() == 0
    assert kept["secretKey"] not in server.stderr
    assert stat.S_IMODE((tmp_path / "data" / "credentials.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_a_second_start_shows_the_same_keys(tmp_path: Path) -> None:
    pairs = []
    for _ in range(2):
        server = serve(tmp_path)
        pairs.append((server.shown("access key"), server.shown("secret key")))
        assert server.stop() == 0
    assert pairs[0] == pairs[1]


@pytest.mark.parametrize("name", ["boto3", "minio-py"])
def test_pasted_python_lines_work(s3: Server, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", lines_to_paste(s3, name)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


@pytest.mark.parametrize("name", ["aws", "rclone"])
def test_pasted_shell_lines_give_the_program_endpoint_and_keys(s3: Server, tmp_path: Path, name: str) -> None:
    program = tmp_path / name
    program.write_text('#!/bin/sh\necho "$@"\nenv\n')
    program.chmod(0o755)
    done = subprocess.run(
        ["sh", "-ec", lines_to_paste(s3, name)],
        env=environment() | {"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for shown in ("endpoint", "access key", "secret key"):
        assert s3.shown(shown) in done.stdout


def test_keys_from_the_environment_are_fixed_and_not_written(tmp_path: Path) -> None:
    keys = {"S3SHIM_ACCESS_KEY": "it's", "S3SHIM_SECRET_KEY": "a\"b'c$d e".replace(" ", "_")}
    server = serve(tmp_path, settings=keys)
    assert server.shown("access key") == keys["S3SHIM_ACCESS_KEY"]
    assert not (tmp_path / "data" / "credentials.json").exists()
    done = subprocess.run(
        [sys.executable, "-c", lines_to_paste(server, "boto3")],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "[]\n", done.stderr
    assert server.stop() == 0


@pytest.mark.parametrize("command", [SERVE, GUNICORN], ids=["serve", "gunicorn"])
def test_a_taken_port_is_one_line_and_1(tmp_path: Path, command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = {"S3SHIM_LISTEN": address, "S3SHIM_DATA": str(tmp_path / "data")}
        code, stderr = refused(command, settings)
    assert (code, stderr) == (1, f"s3shim: cannot listen on {address}: Address already in use\n")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("command", [SERVE, GUNICORN], ids=["serve", "gunicorn"])
def test_a_second_master_is_refused(tmp_path: Path, command: list[str]) -> None:
    first = serve(tmp_path)
    settings = {"S3SHIM_LISTEN": "127.0.0.1:0", "S3SHIM_DATA": str(tmp_path / "data")}
    code, stderr = refused(command, settings)
    assert code == 78
    assert re.fullmatch(rf"s3shim: .*in use.*\(pid {first.process.pid}\)\n", stderr)
    assert first.ask(HEALTH).status == 200
    assert first.stop() == 0


@pytest.mark.parametrize("command", [SERVE, GUNICORN], ids=["serve", "gunicorn"])
@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("S3SHIM_WORKER", "2", "S3SHIM_WORKER"),
        ("S3SHIM_WORKERS", "two", "S3SHIM_WORKERS"),
        ("S3SHIM_ACCESS_KEY", "alone", "S3SHIM_SECRET_KEY"),
    ],
)
def test_a_bad_setting_is_one_line_and_78(
    tmp_path: Path, command: list[str], name: str, value: str, said: str
) -> None:
    code, stderr = refused(command, {"S3SHIM_DATA": str(tmp_path / "data"), name: value})
    assert code == 78
    assert re.fullmatch(rf"s3shim: .*{said}.*\n", stderr)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments", [["serve", "--nonsense"], ["serve", "--workers"], ["nonsense"], []])
def test_a_bad_command_line_is_78(arguments: list[str]) -> None:
    code, stderr = refused(["-m", "s3shim", *arguments])
    assert code == 78
    assert stderr


def test_gunicorn_takes_the_address_from_the_settings_only(tmp_path: Path) -> None:
    settings = {"S3SHIM_LISTEN": "127.0.0.1:0", "S3SHIM_DATA": str(tmp_path / "data")}
    code, stderr = refused([*GUNICORN, "--bind", "0.0.0.0:0"], settings)
    assert code == 78
    assert "S3SHIM_LISTEN" in stderr


def test_gunicorn_takes_the_certificate_from_the_settings_only(tmp_path: Path) -> None:
    settings = {"S3SHIM_LISTEN": "127.0.0.1:0", "S3SHIM_DATA": str(tmp_path / "data")}
    code, stderr = refused([*GUNICORN, "--certfile", "x.pem", "--keyfile", "x.key"], settings)
    assert code == 78
    assert re.fullmatch("s3shim: .*S3SHIM_TLS_CERT.*\n", stderr)
    assert not (tmp_path / "data").exists()


def test_a_worker_that_cannot_start_ends_the_server_with_1(tmp_path: Path) -> None:
    settings = {"S3SHIM_LISTEN": "127.0.0.1:0", "S3SHIM_DATA": str(tmp_path / "data")}
    done = ended([*GUNICORN[:-1], "s3shim.wsgi:missing"], settings, patience=60)
    assert done.returncode == 1
    assert "App failed to load" in done.stderr


WELL_KNOWN = {"S3SHIM_ACCESS_KEY": "minioadmin", "S3SHIM_SECRET_KEY": "minioadmin"}


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_a_well_known_secret_is_refused_beyond_this_machine(tmp_path: Path, address: str) -> None:
    flags = ["--listen", address, "--data", str(tmp_path / "data")]
    code, stderr = refused([*SERVE, *flags], WELL_KNOWN)
    assert code == 78
    assert re.fullmatch(r"s3shim: .*well-known.*\n", stderr)
    path = tmp_path / "keys.json"
    path.write_text(
        '{"credentials": [{"accessKey": "one", "secretKey": "Zufall-4711"},'
        ' {"accessKey": "two", "secretKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}]}'
    )
    path.chmod(0o600)
    code, stderr = refused([*SERVE, *flags, "--credentials", str(path)])
    assert code == 78
    assert re.fullmatch(r"s3shim: .*access key two .*well-known.*\n", stderr)


def test_a_well_known_secret_serves_on_this_machine(tmp_path: Path) -> None:
    server = serve(tmp_path, "--listen", "[::1]:0", settings=WELL_KNOWN)
    assert server.host == "::1"
    assert server.ask(HEALTH).status == 200
    assert server.stop() == 0


def test_plain_http_beyond_this_machine_is_warned_of(tmp_path: Path) -> None:
    warned = serve(tmp_path, "--listen", "0.0.0.0:0")
    assert warned.shown("endpoint") == f"http://127.0.0.1:{warned.port}"
    assert warned.stop() == 0
    assert re.search(r"level=warning .*plain HTTP", warned.stderr)
    behind = serve(tmp_path, "--listen", "0.0.0.0:0", "--behind-proxy")
    assert behind.stop() == 0
    assert "plain HTTP" not in behind.stderr


def test_open_access_is_warned_of(tmp_path: Path) -> None:
    server = serve(tmp_path, "--open-access")
    assert server.ask(b"PUT /a-bucket HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").status == 200
    assert server.stop() == 0
    assert re.search(r"level=warning .*without keys: --open-access", server.stderr)
    closed = serve(tmp_path)
    assert closed.ask(b"GET /a-bucket HTTP/1.1\r\nHost: x\r\n\r\n").status == 403
    assert closed.stop() == 0
    assert "open-access" not in closed.stderr


def test_credentials_that_others_can_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text('{"credentials": [{"accessKey": "one", "secretKey": "Zufall-4711"}]}')
    path.chmod(0o640)
    flags = ["--listen", "127.0.0.1:0", "--data", str(tmp_path / "data"), "--credentials", str(path)]
    code, stderr = refused([*SERVE, *flags])
    assert code == 78
    assert stderr.count("\n") == 1
    assert str(path) in stderr
    assert "Zufall" not in stderr


def test_a_data_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o770)
    code, stderr = refused([*SERVE, "--listen", "127.0.0.1:0", "--data", str(data)])
    assert code == 78
    assert re.fullmatch(r"s3shim: .*written by others.*\n", stderr)


def test_a_store_of_another_format_is_refused(tmp_path: Path) -> None:
    server = serve(tmp_path)
    assert server.stop() == 0
    path = tmp_path / "data" / "VERSION"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 999}))
    code, stderr = refused([*SERVE, "--listen", "127.0.0.1:0", "--data", str(tmp_path / "data")])
    assert code == 78
    assert re.fullmatch(r"s3shim: .*VERSION.*999.*\n", stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_gunicorn_serves_the_same(tmp_path: Path, number: int) -> None:
    settings = {"S3SHIM_LISTEN": "127.0.0.1:0", "S3SHIM_DATA": str(tmp_path / "data"), "S3SHIM_WORKERS": "1"}
    server = Server(GUNICORN, tmp_path / "stderr", settings)
    assert server.ask(HEALTH).status == 200
    assert server.ask(b"GET / HTTP/1.1\r\n\r\n").status == 400
    assert server.stop(number) == 0
    assert all(line.startswith("ts=") for line in server.stderr.splitlines())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_the_workers_are_being_made_is_not_lost(tmp_path: Path, number: int) -> None:
    for _ in range(3):
        # The banner comes before the first fork, so the signal meets workers that have just begun.
        server = serve(tmp_path, "--workers", "4")
        assert server.stop(number) == 0


def test_a_reload_keeps_the_address_and_the_store(tmp_path: Path) -> None:
    server = serve(tmp_path, "--workers", "1")
    assert server.ask(HEALTH).status == 200
    server.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 30
    while len(set(re.findall(r"pid=([0-9]+)", server.stderr))) < 2:
        assert time.monotonic() < deadline, server.stderr
        assert server.ask(HEALTH).status == 200
        time.sleep(0.05)
    assert server.stop() == 0
    assert "Traceback" not in server.stderr
