"""s3shim migrate as it is called: exit codes, what it prints, settings of both sides, signals."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from s3shim.backends.local import LocalBackend, StoreRefused, layout
from s3shim.cli.migrate import migrate
from s3shim.cli.sides import Side, add_flags, sides_of
from s3shim.config import ConfigError
from s3shim.model import ObjectRef
from tests.contract.bodies import pattern, put
from tests.migrate.scene import MAIN, fill, state
from tests.server.process import ROOT, environment


def start(*arguments: object, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "s3shim", "migrate", *map(str, arguments)],
        cwd=ROOT,
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: object, **settings: str) -> tuple[int, list[str], str]:
    """Return exit code, lines and standard error."""
    process = start(*arguments, **settings)
    stdout, stderr = process.communicate(timeout=60)
    return process.returncode, stdout.splitlines(), stderr


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("migrate") / "source"
    backend = LocalBackend(root)
    backend.start()
    backend.create_bucket(MAIN)
    fill(backend)
    backend.close()
    return root


@pytest.fixture
def source(filled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filled, tmp_path / "source"))


def contents(root: Path) -> dict[object, object]:
    backend = LocalBackend(root)
    backend.start()
    try:
        return state(backend)
    finally:
        backend.close()


def test_a_run_a_second_one_and_a_verification(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "target"
    assert run(f"local:{source}", f"local:{target}") == (0, ["objects 33, copied 33, bytes read 282,505"], "")
    assert contents(target) == contents(source)
    assert run(f"local:{source}", f"local:{target}", "--concurrency", "1") == (
        0,
        ["objects 33, equal 33, bytes read 0"],
        "",
    )
    assert run("--verify", f"local:{source}", f"local:{target}") == (
        0,
        ["objects 33, equal 33, bytes read 565,010"],
        "",
    )
    backend = LocalBackend(target)
    backend.start()
    backend.put_object_tags(ObjectRef("bucket", "file"), {"planted": "1"})
    put(backend, "mine", b"only here")
    backend.close()
    code, lines, _ = run("--verify", f"local:{source}", f"local:{target}")
    assert (code, lines) == (
        1,
        [
            "bucket/file: differs in tags",
            "objects 33, equal 32, different 1, only at the destination 1, bytes read 565,010",
        ],
    )


def test_a_dry_run_makes_no_store(source: Path, tmp_path: Path) -> None:
    code, lines, stderr = run("--dry-run", f"local:{source}", f"local:{tmp_path / 'target'}")
    assert (code, stderr, lines[-1]) == (0, "", "objects 33, to copy 33, bytes read 0")
    assert "bucket bucket: is missing" in lines
    assert len(lines) == 33 + 3 + 1
    assert not (tmp_path / "target").exists()
    code, lines, stderr = run("--verify", f"local:{source}", f"local:{tmp_path / 'target'}")
    assert (code, lines) == (78, [])
    assert stderr == f"s3shim: {tmp_path / 'target'}/VERSION: No such file or directory\n"


def test_damage_at_the_source_is_1_and_a_line(source: Path, tmp_path: Path) -> None:
    backend = LocalBackend(source)
    backend.start()
    put(backend, "large", pattern(300_000))
    backend.close()
    newest = max((source / "blobs").rglob("*"), key=lambda path: (path.is_file(), path.stat().st_mtime_ns))
    newest.chmod(0o600)
    data = bytearray(newest.read_bytes())
    data[100_000] ^= 1
    newest.write_bytes(data)
    code, lines, stderr = run(f"local:{source}", f"local:{tmp_path / 'target'}")
    assert code == 1
    assert lines[0] == "bucket/large: the source is damaged: its bytes cannot be read"
    assert lines[1].startswith("objects 34, copied 33, failed 1, bytes read ")
    assert newest.name in stderr
    assert ("bucket", "large") not in contents(tmp_path / "target")


def test_the_destination_is_locked_and_the_source_may_be_in_use(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    serving = layout.lock(source)
    try:
        assert run(f"local:{source}", f"local:{target}")[0] == 0
    finally:
        os.close(serving)
    serving = layout.lock(target)
    try:
        code, lines, stderr = run(f"local:{source}", f"local:{target}")
        assert (code, lines) == (78, [])
        assert stderr == f"s3shim: {target} is in use by another server (pid {os.getpid()})\n"
        assert run("--verify", f"local:{source}", f"local:{target}")[0] == 0
        assert run("--dry-run", f"local:{source}", f"local:{target}")[0] == 0
    finally:
        os.close(serving)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_in_good_order_and_a_run_goes_on(
    source: Path, tmp_path: Path, number: signal.Signals
) -> None:
    backend = LocalBackend(source)
    backend.start()
    for name in range(800):
        put(backend, f"many/{name}", pattern(2000, name))
    backend.close()
    target = tmp_path / "target"
    process = start(f"local:{source}", f"local:{target}", "--concurrency", "2")
    deadline = time.monotonic() + 30
    while not (target / "VERSION").exists() or sum(1 for _ in contents(target)) < 40:
        assert process.poll() is None
        assert time.monotonic() < deadline
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (1, "")
    first, last = stdout.splitlines()
    assert first == "stopped before the end; another run goes on from here"
    copied = int(last.partition(" copied ")[2].partition(",")[0].replace(",", ""))
    assert 30 < copied < 833
    code, (line,), _ = run(f"local:{source}", f"local:{target}")
    assert code == 0
    assert line.startswith("objects 833, equal ")
    assert contents(target) == contents(source)


REFUSALS = [
    ([], "the following arguments are required: SRC, DST"),
    (["local:a"], "the following arguments are required: DST"),
    (
        ["local:a", "local:b", "--dry-run", "--verify"],
        "argument --verify: not allowed with argument --dry-run",
    ),
    (
        ["local:a", "local:b", "--concurrency", "0"],
        "argument --concurrency: must be a whole number from 1 to 256",
    ),
    (["local:a", "local:b", "--nonsense"], "unrecognized arguments: --nonsense"),
    (["local:a", "local:./a/../a"], "SRC and DST are the same directory"),
    (["local:a", "nats://h", "--upstream-ca", "x"], "--upstream-ca means nothing to local and nats"),
    (["local:a", "nats://h", "--from-nats-user", "x"], "--from-nats-user means nothing to local"),
    (["local:a", "s3+http://h", "--nats-user", "x"], "--nats-user means nothing to local and s3"),
    (["local:a", "s3+http://h", "--to-nats-user", "x"], "--to-nats-user means nothing to s3"),
    (
        ["local:a", "s3+http://h", "--upstream-leases", "--upstream-profile", "p"],
        "--upstream-leases needs --nats-servers",
    ),
    (["local:a", "local:b", "--data", "x"], "--data means nothing to local and local"),
    (["local:a", "nats://h", "--nats-user", "x"], "--nats-user and --nats-password must be given together"),
    (
        ["nats://h", "nats://g"],
        "SRC and DST are of one kind: give each its own --from-data and --to-data",
    ),
    (["local:a", "s3+http://h:1/path", "--upstream-profile", "x"], "must be a URL without a path"),
    (["local:a", "s3:", "--upstream-profile", "x"], "--upstream-endpoint is needed with --backend s3"),
    *[
        ([url, "local:b"], "SRC must be local:DIR, nats://HOST:PORT, s3+http://HOST:PORT,")
        for url in (
            "local:",
            "a",
            "./a",
            "http://h",
            "s3://bucket",
            "nats+tls:",
            "memory:",
            "nats+ws://user:secret@h",
        )
    ],
]


@pytest.mark.parametrize(("arguments", "sentence"), REFUSALS)
def test_bad_settings_are_78_and_one_line(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("S3SHIM_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("os.umask", lambda mask: mask)
    try:
        code = migrate(arguments)
    except SystemExit as refused:
        code = refused.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (78, "", 1)
    assert err.startswith("s3shim: ")
    assert sentence in err
    assert "secret" not in err


def test_secrets_are_hidden_from_others_before_anything_is_done(tmp_path: Path) -> None:
    """They are in the way of a NATS server that is not there, so there is time to look."""
    process = start(
        "nats+tls://user:l0gin@127.0.0.1:1",
        "s3+http://127.0.0.1:1",
        *("--data", tmp_path / "far", "--upstream-access-key", "GKaccess"),
        "--upstream-secret-key=s3cretkey",
    )
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "far").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
        shown = Path(f"/proc/{process.pid}/cmdline").read_text()
        assert "--upstream-secret-key=xxxxxxxxx" in shown
        assert not [secret for secret in ("l0gin", "GKaccess", "s3cretkey") if secret in shown]
    finally:
        process.kill()
        process.communicate()


def sides(*arguments: str) -> tuple[Side, Side]:
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("destination")
    add_flags(parser)
    return sides_of(parser.parse_args(arguments))


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("S3SHIM_")]:
        monkeypatch.delenv(name)


def test_urls_and_flags_are_the_settings_of_each_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3SHIM_UPSTREAM_SECRET_KEY", "from the environment")
    source, target = sides(
        "nats+tls://nats.example.com",
        "s3+https://s3.example.com:3900",
        f"--data={tmp_path}",
        "--to-data=elsewhere",
        "--nats-token=t0ken",
        "--upstream-access-key=GK1",
        "--from-upload-expiry=7",
    )
    assert source.config.nats is not None
    assert source.config.nats.servers == ("tls://nats.example.com:4222",)
    assert (source.config.nats.token, source.config.nats.index) == ("t0ken", tmp_path / "nats-index")
    assert (source.config.upload_expiry, target.config.upload_expiry) == (7, 604_800)
    assert target.config.upstream is not None
    assert target.config.upstream.endpoint == "https://s3.example.com:3900"
    assert target.config.upstream.secret_key == "from the environment"
    assert target.config.upstream.state == Path("elsewhere/upstream")


def test_two_of_a_kind_have_flags_of_their_own() -> None:
    source, target = sides(
        "s3+http://one:1",
        "s3+http://two:2",
        *("--from-upstream-profile=one", "--to-upstream-profile=two", "--to-data=two"),
        *("--upstream-region=eu", "--to-upstream-region=us"),
    )
    both = source.config.upstream, target.config.upstream
    assert [one and (one.endpoint, one.profile, one.region) for one in both] == [
        ("http://one:1", "one", "eu"),
        ("http://two:2", "two", "us"),
    ]


def test_local_sides_have_the_settings_of_stores(tmp_path: Path) -> None:
    source, target = sides(f"local:{tmp_path}/a", f"local:{tmp_path}/b:c", "--to-inline-max=0", "--grace=5")
    assert (source.config.data, target.config.data) == (tmp_path / "a", tmp_path / "b:c")
    assert (source.config.inline_max, target.config.inline_max) == (65536, 0)
    assert (source.config.grace, target.config.grace) == (5, 5)
    assert target.is_new
    with pytest.raises(StoreRefused, match="No such file"):
        source.storage.inspect()
    assert list(tmp_path.iterdir()) == []


def test_addresses_may_come_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3SHIM_NATS_SERVERS", "nats://user:pass@one:1,nats://user:pass@two:2")
    monkeypatch.setenv("S3SHIM_NATS_USER", "nobody")
    with pytest.raises(ConfigError, match="must be given together"):
        sides("nats:", "local:b")
    monkeypatch.delenv("S3SHIM_NATS_USER")
    source, _ = sides("nats:", "local:b")
    assert source.config.nats is not None
    assert source.config.nats.servers == ("nats://one:1", "nats://two:2")
    assert source.config.nats.password == "pass"


def test_how_nats_is_reached_is_said_of_the_storage_there_and_of_leases() -> None:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    login = ["--nats-user", "me", "--nats-password", "Geheim"]
    keys = ["--upstream-profile", "p"]
    asked = parser.parse_args(
        [*login, *keys], argparse.Namespace(source="nats://h", destination="s3+http://g")
    )
    source, target = (side.config for side in sides_of(asked))
    assert source.nats is not None
    assert (source.nats.user, target.leases) == ("me", None)
    leases = ["--to-upstream-leases", "--to-nats-servers", "k"]
    asked = parser.parse_args(
        [*login, *keys, *leases], argparse.Namespace(source="nats://h", destination="s3+http://g")
    )
    source, target = (side.config for side in sides_of(asked))
    assert source.nats is not None
    assert target.leases is not None
    assert (source.nats.servers, target.leases.servers) == (("nats://h:4222",), ("nats://k:4222",))
    assert target.leases.user == "me"
