"""rclone."""

from __future__ import annotations

import json

from conformance import trees
from conformance.cases import Context, Suite
from conformance.server import MAIN
from conformance.trees import MIB

SUITE = Suite("rclone", programs=("rclone",))

_SMALL_PARTS = ("--s3-chunk-size", "5M", "--s3-upload-cutoff", "5M")


def rclone(context: Context, *arguments: str, data: bytes | None = None) -> bytes:
    """Run rclone with the remote ``r:``; return what it says."""
    settings = {
        "TYPE": "s3",
        "PROVIDER": "Other",
        "ENDPOINT": context.server.endpoint,
        "REGION": "us-east-1",
        "ACCESS_KEY_ID": MAIN.access_key,
        "SECRET_ACCESS_KEY": MAIN.secret_key,
    }
    environment = context.environment() | {
        f"RCLONE_CONFIG_R_{name}": value for name, value in settings.items()
    }
    environment |= {"RCLONE_CONFIG": str(context.work / "none"), "RCLONE_RETRIES": "1"}
    return context.run("rclone", *arguments, environment=environment, data=data)


def made(context: Context) -> str:
    """Make a bucket; return its path."""
    rclone(context, "mkdir", f"r:{context.bucket}")
    return f"r:{context.bucket}"


@SUITE.case
def sync_and_check(context: Context) -> None:
    path = made(context)
    tree = trees.make(context.work / "tree", 60)
    rclone(context, "sync", str(tree), path)
    rclone(context, "check", str(tree), path)
    rclone(context, "check", "--download", str(tree), path)
    rclone(context, "sync", path, str(context.work / "back"))
    trees.same(tree, context.work / "back")


@SUITE.case
def sync_and_check_in_parts(context: Context) -> None:
    path = made(context)
    tree = trees.make(context.work / "tree", 5, 17 * MIB)
    rclone(context, "sync", *_SMALL_PARTS, str(tree), path)
    rclone(context, "check", str(tree), path)
    rclone(context, "check", "--download", str(tree), path)
    rclone(context, "sync", path, str(context.work / "back"))
    trees.same(tree, context.work / "back")


@SUITE.case
def times_are_kept(context: Context) -> None:
    path = made(context)
    tree = trees.make(context.work / "tree", 3, 6 * MIB)
    for file in tree.rglob("*"):
        if file.is_file():
            context.run("touch", "-d", "2001-02-03T04:05:06.789Z", str(file))
    rclone(context, "sync", *_SMALL_PARTS, str(tree), path)
    found = json.loads(rclone(context, "lsjson", "-R", "--files-only", path))
    assert {entry["ModTime"][:23] for entry in found} == {"2001-02-03T04:05:06.789"}
    rclone(context, "sync", path, str(context.work / "back"))
    times = {file.stat().st_mtime for file in (context.work / "back").rglob("*") if file.is_file()}
    assert times == {981173106.789}


@SUITE.case
def touched_files_are_not_sent_again(context: Context) -> None:
    """rclone sets the new time by a copy of the object onto itself."""
    path = made(context)
    file = trees.write(context.work / "tree" / "file", 1000)
    rclone(context, "sync", str(file.parent), path)
    context.run("touch", "-d", "2002-02-03T04:05:06Z", str(file))
    rclone(context, "sync", str(file.parent), path)
    [entry] = json.loads(rclone(context, "lsjson", path))
    assert entry["ModTime"].startswith("2002-02-03T04:05:06")


@SUITE.case
def copy_to_another_key(context: Context) -> None:
    path = made(context)
    for size in (1000, 11 * MIB):
        file = trees.write(context.work / "file", size)
        rclone(context, "copyto", str(file), f"{path}/one")
        rclone(context, "copyto", f"{path}/one", f"{path}/two")
        rclone(context, "copyto", f"{path}/two", str(context.work / "back"))
        trees.same(file, context.work / "back")


@SUITE.case
def copy_to_another_key_in_parts(context: Context) -> None:
    path = made(context)
    file = trees.write(context.work / "file", 17 * MIB)
    rclone(context, "copyto", *_SMALL_PARTS, str(file), f"{path}/one")
    rclone(context, "copyto", "--s3-copy-cutoff", "5M", *_SMALL_PARTS, f"{path}/one", f"{path}/two")
    rclone(context, "copyto", f"{path}/two", str(context.work / "back"))
    trees.same(file, context.work / "back")


@SUITE.case
def move(context: Context) -> None:
    path = made(context)
    tree = trees.make(context.work / "tree", 12)
    before = trees.digests(tree)
    rclone(context, "move", str(tree), f"{path}/one")
    rclone(context, "move", f"{path}/one", f"{path}/two")
    assert rclone(context, "lsf", path) == b"two/\n"
    rclone(context, "move", f"{path}/two", str(context.work / "back"))
    assert trees.digests(context.work / "back") == before
    assert rclone(context, "lsf", path) == b""


@SUITE.case
def a_stream_of_unknown_length(context: Context) -> None:
    path = made(context)
    body = trees.write(context.work / "body", 11 * MIB).read_bytes()
    rclone(context, "rcat", *_SMALL_PARTS, f"{path}/stream", data=body)
    assert rclone(context, "cat", f"{path}/stream") == body
    border = rclone(context, "cat", "--offset", "5242870", "--count", "20", f"{path}/stream")
    assert border == body[5242870:5242890]


@SUITE.case
def delete_and_purge(context: Context) -> None:
    path = made(context)
    rclone(context, "sync", str(trees.make(context.work / "tree", 12)), path)
    rclone(context, "delete", f"{path}/d1")
    assert "d1/" not in rclone(context, "lsf", path).decode().split()
    rclone(context, "purge", path)
    assert context.bucket not in rclone(context, "lsd", "r:").decode()
