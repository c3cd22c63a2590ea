"""s3shim fsck as it is called: its exit codes, what it prints, and beside a server that writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest

from s3shim.backends.local import prepare
from s3shim.backends.local.fsck import check
from tests.server.process import ROOT, Server, environment, serve
from tests.unit.damaging import editing, fill
from tests.wire.client import LiveClient


def fsck(*arguments: object) -> tuple[int, list[str], str]:
    """Return exit code, lines and standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "s3shim", "fsck", *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("fsck") / "sound"
    fill(root)
    return root


@pytest.fixture
def root(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "store"))


@pytest.mark.parametrize("flags", [[], ["--deep"]])
def test_a_sound_store_is_0_and_one_line(sound: Path, flags: list[str]) -> None:
    code, lines, stderr = fsck(sound, *flags)
    assert (code, stderr) == (0, "")
    (line,) = lines
    assert line.startswith("buckets 1, documents 1, objects 9, inline 7, files 10, bytes ")
    assert line.endswith(", uploads 1, parts 3, completed uploads 5, waiting files 1, orphans 0, clean")


def test_problems_are_1_and_a_line_each_then_notes(root: Path) -> None:
    with editing(root) as edit:
        edit.put(b"new\n", b"", edit.tables.state)
    (root / "blobs" / "00" / ("00" * 16)).write_bytes(b"")
    code, lines, stderr = fsck(root)
    assert (code, stderr) == (1, "")
    assert lines[:2] == [
        r"state new\n: unknown",
        "note: 1 files that nothing uses: in flight, or left over and removed by the next start",
    ]
    assert lines[2].endswith("orphans 1, 1 problem")


def test_damaged_rows_are_told_once(root: Path) -> None:
    with editing(root) as edit:
        for key, value in list(edit.rows(edit.tables.objects, b"")):
            edit.put(key, value[:-1], edit.tables.objects)
    code, lines, stderr = fsck(root)
    assert (code, stderr) == (1, "")
    assert lines[-1].endswith("9 problems")


@pytest.mark.parametrize("arguments", [[], ["--nonsense", "."], ["one", "two"]])
def test_wrong_arguments_are_78(arguments: list[str]) -> None:
    code, lines, stderr = fsck(*arguments)
    assert (code, lines, stderr.count("\n")) == (78, [], 1)


def test_what_is_no_store_is_78(tmp_path: Path) -> None:
    for path, said in ((tmp_path, "VERSION: No such file"), (tmp_path / "none", "No such file")):
        code, lines, stderr = fsck(path)
        assert (code, lines, stderr.count("\n")) == (78, [], 1)
        assert said in stderr
    assert list(tmp_path.iterdir()) == []


def test_a_newer_format_is_78(root: Path) -> None:
    path = root / "VERSION"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 999}))
    code, _, stderr = fsck(root)
    assert (code, stderr.count("\n")) == (78, 1)
    assert "written by a newer s3shim" in stderr


def test_help_is_0() -> None:
    code, lines, _ = fsck("--help")
    assert code == 0
    assert "--deep" in "\n".join(lines)


DAMAGE = {
    "zeroed": lambda content: bytes(len(content)),
    "empty": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "cut to its metas": lambda content: content[:8192],
    "zeroed but for its metas": lambda content: content[:8192] + bytes(len(content) - 8192),
    "random but for its metas": lambda content: (
        content[:8192] + bytes(range(256)) * (len(content) // 256 - 32)
    ),
    "other version": lambda content: content[:28] + b"\x07" + content[29:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_1_and_no_crash(root: Path, damage: str) -> None:
    path = root / "meta" / "data.mdb"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    code, lines, stderr = fsck(root, "--deep")
    assert (code, stderr) == (1, "")
    assert all(line.startswith("index: ") for line in lines[:-1])
    assert lines[:-1]


def test_a_damaged_index_that_another_process_has_open_is_1_and_no_crash(root: Path) -> None:
    holder = (
        "import sys; from pathlib import Path; from s3shim.backends.local.index import open_environment;"
        "env = open_environment(Path(sys.argv[1]), 1 << 20); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(root / "meta")],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        os.truncate(root / "meta" / "data.mdb", 8192)
        code, lines, stderr = fsck(root)
        process.kill()
    assert (code, stderr) == (1, "")
    assert lines[0].startswith("index: ")


def test_a_directory_of_the_store_that_is_a_symbolic_link_is_a_problem(root: Path) -> None:
    shard = root / "blobs" / "7f"
    shard.rename(root / "elsewhere")
    shard.symlink_to(root / "elsewhere")
    code, lines, _ = fsck(root)
    assert (code, lines[0]) == (1, f"{shard} is a symbolic link")


def test_a_new_store_is_clean_and_fsck_changes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "store"
    prepare(root)
    before = (root / "meta" / "data.mdb").read_bytes()
    assert fsck(root)[0] == 0
    assert (root / "meta" / "data.mdb").read_bytes() == before


def client_of(server: Server) -> LiveClient:
    return LiveClient(server.host, server.port, server.shown("access key"), server.shown("secret key"))


def write(server: Server, stop: Event, seed: int) -> int:
    """Put, copy and delete until told to stop; return how often."""
    count = 0
    with closing(client_of(server)) as client:
        while not stop.is_set():
            key = f"/bucket/{seed}-{count % 7}"
            body = bytes([count % 256]) * (200_000 if count % 2 else 100)
            assert client.request("PUT", key, body=body).status == 200
            source = {"x-amz-copy-source": key}
            assert client.request("PUT", f"/bucket/copy-{count % 3}", source).status == 200
            if count % 3 == 0:
                assert client.request("DELETE", key).status == 204
            count += 1
    return count


def test_a_store_under_writes_is_clean(tmp_path: Path) -> None:
    server = serve(tmp_path, "--grace", "0")
    with closing(client_of(server)) as client:
        assert client.request("PUT", "/bucket").status == 200
    stop = Event()
    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, server, stop, seed) for seed in range(4)]
        try:
            reports = [check(tmp_path / "data", deep=number % 2 == 1) for number in range(20)]
            code, lines, stderr = fsck(tmp_path / "data", "--deep")
        finally:
            stop.set()
        assert min(writer.result() for writer in writers) > 5
    assert [report.problems for report in reports] == [[]] * 20
    assert (code, stderr) == (0, ""), lines
    # The store was changing while it was looked at.
    assert len({report.counts["bytes"] for report in reports}) > 1
    assert server.stop() == 0
    assert check(tmp_path / "data", deep=True).problems == []
