"""A start on a directory that is not as it was left: refused with one line, or made good."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from s3shim.backends.local.layout import lock, prepare
from tests.server.process import ROOT, environment, refused, serve
from tests.server.test_fsck import DAMAGE
from tests.unit.damaging import fill

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A new store."""
    root = tmp_path / "data"
    prepare(root)
    return root


def refusal(data: Path) -> str:
    """Return the one line with which a start is refused with the code for it."""
    code, stderr = refused(
        ["-m", "s3shim", "serve", "--allow-root", "--listen", "127.0.0.1:0", "--data", str(data)]
    )
    assert code == 78, stderr
    assert stderr.count("\n") == 1, stderr
    return stderr


def starts(tmp_path: Path, *flags: str) -> str:
    """Start and stop the server; return what it logged."""
    server = serve(tmp_path, *flags)
    assert server.ask(HEALTH).status == 200
    assert server.stop() == 0
    return server.stderr


def test_a_symbolic_link_within_the_store_is_refused(data: Path) -> None:
    path = data / "blobs" / "7f"
    path.rename(data / "elsewhere")
    path.symlink_to(data / "elsewhere")
    assert refusal(data) == f"s3shim: {path} is a symbolic link\n"


def test_the_data_directory_may_be_named_by_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(0o700)
    (tmp_path / "data").symlink_to(tmp_path / "real")
    starts(tmp_path)
    assert (tmp_path / "real" / "VERSION").exists()
    (tmp_path / "real").chmod(0o777)
    assert "can be written by others" in refusal(tmp_path / "data")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_refused(tmp_path: Path, damage: str) -> None:
    fill(tmp_path / "data")
    path = tmp_path / "data" / "meta" / "data.mdb"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert f"; see s3shim fsck {tmp_path / 'data'}\n" in refusal(tmp_path / "data")


def test_a_lock_file_of_lmdb_that_is_gone_is_made_anew(tmp_path: Path, data: Path) -> None:
    (data / "meta" / "lock.mdb").unlink()
    starts(tmp_path)


def test_a_lock_whose_holder_died_is_taken(tmp_path: Path, data: Path) -> None:
    (data / "LOCK").write_text("1\n")
    starts(tmp_path)


def test_a_lock_that_is_held_is_refused(data: Path) -> None:
    held = lock(data)
    try:
        assert re.search(rf"is in use by another server \(pid {os.getpid()}\)", refusal(data))
    finally:
        os.close(held)


def test_leftovers_are_removed(tmp_path: Path, data: Path) -> None:
    for number in range(3000):
        name = f"{number % 256:02x}" + f"{number:030x}"
        (data / "blobs" / name[:2] / (name if number % 2 else f".new-{name}")).write_bytes(b"")
    assert "removed_files=3000" in starts(tmp_path)


def run_changed(change: str, data: Path, *flags: str) -> tuple[int | None, str]:
    """Run ``s3shim serve`` after the statement ``change`` until it ends or serves; return how it ended."""
    code = f"import os\nfrom s3shim.cli import storages\n{change}\nfrom s3shim.cli.main import main\nmain()"
    arguments = ["serve", "--allow-root", "--listen", "127.0.0.1:0", "--data", str(data), *flags]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        serving = "is listening" in process.stdout.readline()
        if serving:
            process.terminate()
        stderr = process.stderr.read()
    return None if serving else process.returncode, stderr


@pytest.mark.parametrize("step", ["layout.prepare", "sweep"])
def test_an_index_that_kills_who_reads_it_is_refused(data: Path, step: str) -> None:
    code, stderr = run_changed(f"storages.{step} = lambda root: os.kill(os.getpid(), 7)", data)
    assert code == 78
    assert (
        stderr
        == f"s3shim: {data}: the index is damaged, reading it ended by SIGBUS; see s3shim fsck {data}\n"
    )


def mounted(kind: str) -> str:
    return f"storages.mounts_of_now = lambda: '1 1 1:1 / / rw - {kind} none rw'"


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs"])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    data = tmp_path / "data"
    code, stderr = run_changed(mounted(kind), data)
    assert code == 78
    assert re.fullmatch(rf"s3shim: {data} is on a file system of type {kind}, .*\n", stderr)
    assert not data.exists()
    code, stderr = run_changed(mounted(kind), data, "--allow-unsafe-filesystem")
    assert code is None
    assert f"it is on {kind}, where what was acknowledged may be lost" in stderr


@pytest.mark.parametrize(("kind", "warned"), [("tmpfs", True), ("overlay", False), ("ext4", False)])
def test_other_file_systems_serve(tmp_path: Path, kind: str, warned: bool) -> None:
    code, stderr = run_changed(mounted(kind), tmp_path / "data")
    assert code is None
    assert ("nothing survives" in stderr) is warned
    assert ("level=warning" in stderr) is warned
