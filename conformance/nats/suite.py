"""The suite: the same objects written through S3 and read by another client, and the other way round."""

from __future__ import annotations

import random
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest
from pathlib import Path

import requests

from conformance import trees
from conformance.cases import Context, Options, Outcome, Refused, Suite, refused
from conformance.nats.clients import CommandLine, Go, monitor_of, nats_s3
from conformance.server import MAIN
from conformance.trees import MIB

OBJECTS = 50
PART = 5 * MIB
_SIZES = (0, 1, 1000, 131_071, 131_072, 131_073, 262_144, 262_145, MIB, 3 * MIB + 17)
_SLASHES = "//two//slashes//"
_NAMES = (
    "plain.txt",
    "blank in name",
    "emoji-😀-日本-ü",
    "plus+and%20percent&amp;=",
    "deep/er/than/this",
    "dots.in.a.name.",
    _SLASHES,
    "$O.bucket.M.name",
    "*",
    ">",
    "x" * 1024,
)
# Names that nats-s3 and the lines of a listing cannot take.
_ODDER = ("new\nline", "a/../b", "..")


class OverNats(Suite):
    """A suite that makes sense over NATS alone."""

    def run(self, work: Path, options: Options, wanted: str) -> Iterator[tuple[Outcome, list[str]]]:
        """See Suite."""
        if "--nats-servers" not in options.storage:
            raise Refused("it runs over NATS alone (--storage nats, make: STORAGE=nats)")
        return super().run(work, options, wanted)


SUITE = OverNats(
    "nats",
    programs=("nats", "nats-s3", "go", "nats-server"),
    # Whose the buckets are that another client makes.
    flags=("--account", MAIN.name),
    seconds=1800,
)


def files(context: Context, odder: tuple[str, ...] = ()) -> dict[str, Path]:
    """Make 50 files of 0 bytes to the size of the run; return them by the names of their objects."""
    names = [*_NAMES, *odder]
    names += [f"object/{number:03d}" for number in range(OBJECTS - len(names))]
    found = {}
    for number, name in enumerate(names):
        size = context.options.size if number == OBJECTS - 1 else _SIZES[number % len(_SIZES)]
        found[name] = trees.write(context.work / "files" / str(number), size, number)
    return found


def digest(path: Path) -> str:
    """Return the digest of a file as NATS writes it."""
    with open(path, "rb") as file:
        return f"SHA-256={urlsafe_b64encode(file_digest(file, 'sha256').digest()).decode()}"


def put_all(context: Context, found: dict[str, Path]) -> None:
    """Make the bucket, and put the files through s3shim in one request each."""
    client = context.client()
    client.create_bucket(Bucket=context.bucket)
    for name, path in found.items():
        with open(path, "rb") as body:
            client.put_object(Bucket=context.bucket, Key=name, Body=body)


def compare_all(context: Context, found: dict[str, Path], client: object = None) -> None:
    """Demand that s3shim, or another S3, gives the bytes of the files and lists their names."""
    client = client or context.client()
    back = context.work / "back"
    for name, path in found.items():
        with open(back, "wb") as file:
            for piece in client.get_object(Bucket=context.bucket, Key=name)["Body"].iter_chunks(MIB):
                file.write(piece)
        trees.same(path, back)
    keys = {entry["Key"] for entry in client.list_objects_v2(Bucket=context.bucket)["Contents"]}
    assert keys == found.keys(), keys ^ found.keys()


@SUITE.case
def the_command_line_reads(context: Context) -> None:
    found = files(context)
    put_all(context, found)
    nats = CommandLine(context)
    for name, path in found.items():
        nats.get(context.bucket, name, context.work / "back")
        trees.same(path, context.work / "back")
    assert nats.names(context.bucket) == found.keys()


@SUITE.case
def the_command_line_writes(context: Context) -> None:
    found = files(context)
    # The program takes names for paths, and makes one slash of two.
    found["two slashes"] = found.pop(_SLASHES)
    context.client().create_bucket(Bucket=context.bucket)
    for name, path in found.items():
        CommandLine(context).put(context.bucket, name, path)
    compare_all(context, found)


@SUITE.case
def nats_go_reads(context: Context) -> None:
    found = files(context, _ODDER)
    put_all(context, found)
    client = Go(context)
    for name, path in found.items():
        [said] = client.do(
            [{"op": "get", "store": context.bucket, "name": name, "file": str(context.work / "back")}]
        )
        trees.same(path, context.work / "back")
        assert (said["name"], said["size"], said["digest"]) == (name, path.stat().st_size, digest(path))
    [listed] = client.do([{"op": "list", "store": context.bucket}])
    assert set(listed["names"]) == found.keys()


@SUITE.case
def nats_go_writes(context: Context) -> None:
    found = files(context, _ODDER)
    context.client().create_bucket(Bucket=context.bucket)
    Go(context).do(
        {"op": "put", "store": context.bucket, "name": name, "file": str(path)}
        for name, path in found.items()
    )
    compare_all(context, found)


@SUITE.case
def nats_go_and_metadata(context: Context) -> None:
    client = context.client()
    client.create_bucket(Bucket=context.bucket)
    client.put_object(
        Bucket=context.bucket,
        Key="ours",
        Body=b"data",
        ContentType="text/x",
        Metadata={"colour": "blue"},
        Tagging="project=alpha%20beta",
    )
    file = trees.write(context.work / "file", 1000)
    headers, metadata = (
        {"Content-Type": ["image/png"]},
        {"x-amz-meta-colour": "red", "x-amz-tag-t": "1", "own": "kept"},
    )
    tasks = [
        {"op": "get", "store": context.bucket, "name": "ours", "file": str(context.work / "back")},
        {
            "op": "put",
            "store": context.bucket,
            "name": "theirs",
            "file": str(file),
            "headers": headers,
            "metadata": metadata,
        },
    ]
    [ours, _] = Go(context).do(tasks)
    assert ours["headers"] == {"Content-Type": ["text/x"]}
    assert {name: value for name, value in ours["metadata"].items() if name != "s3shim"} == {
        "x-amz-meta-colour": "blue",
        "x-amz-tag-project": "alpha beta",
    }
    theirs = client.head_object(Bucket=context.bucket, Key="theirs")
    assert (theirs["ContentType"], theirs["Metadata"]) == ("image/png", {"colour": "red"})
    assert theirs["ETag"] == f'"{digest(file)}"'
    client.put_object_tagging(
        Bucket=context.bucket, Key="theirs", Tagging={"TagSet": [{"Key": "new", "Value": "2"}]}
    )
    [said] = Go(context).do([tasks[0] | {"name": "theirs"}])
    del said["metadata"]["s3shim"]
    assert said["metadata"] == {"x-amz-meta-colour": "red", "x-amz-tag-new": "2", "own": "kept"}
    assert said["headers"] == headers


@SUITE.case
def nats_go_and_links(context: Context) -> None:
    client, other = context.client(), f"{context.bucket}-other"
    for bucket in (context.bucket, other):
        client.create_bucket(Bucket=bucket)
    client.put_object(Bucket=other, Key="target", Body=b"linked")
    Go(context).do(
        [
            {
                "op": "link",
                "store": context.bucket,
                "name": "object",
                "target_store": other,
                "target": "target",
            },
            {"op": "store_link", "store": context.bucket, "name": "store", "target_store": other},
        ]
    )
    assert client.get_object(Bucket=context.bucket, Key="object")["Body"].read() == b"linked"
    with refused("NoSuchKey"):
        client.get_object(Bucket=context.bucket, Key="store")
    listed = client.list_objects_v2(Bucket=context.bucket)["Contents"]
    assert [entry["Key"] for entry in listed] == ["object", "store"]
    client.delete_object(Bucket=context.bucket, Key="object")
    assert client.get_object(Bucket=other, Key="target")["Body"].read() == b"linked"


@SUITE.case
def nats_s3_reads(context: Context) -> None:
    found = files(context)
    put_all(context, found)
    client = context.client()
    client.put_object(
        Bucket=context.bucket,
        Key="plain.txt",
        Body=found["plain.txt"].read_bytes(),
        ContentType="text/x",
        Metadata={"colour": "blue"},
        Tagging="project=alpha",
    )
    with nats_s3(context) as peer:
        compare_all(context, found, peer)
        head = peer.head_object(Bucket=context.bucket, Key="plain.txt")
        tags = peer.get_object_tagging(Bucket=context.bucket, Key="plain.txt")["TagSet"]
    assert head["ContentType"] == "text/x"
    assert {name.lower(): value for name, value in head["Metadata"].items()}["colour"] == "blue"
    assert tags == [{"Key": "project", "Value": "alpha"}]


@SUITE.case
def nats_s3_writes(context: Context) -> None:
    found = files(context)
    with nats_s3(context) as peer:
        peer.create_bucket(Bucket=context.bucket)
        for name, path in found.items():
            with open(path, "rb") as body:
                peer.put_object(
                    Bucket=context.bucket,
                    Key=name,
                    Body=body,
                    ContentType="text/x",
                    Metadata={"colour": "blue"},
                    Tagging="project=alpha",
                )
    compare_all(context, found)
    client = context.client()
    for name in found:
        head = client.head_object(Bucket=context.bucket, Key=name)
        assert (head["ContentType"], head["Metadata"]) == ("text/x", {"colour": "blue"})
        tags = client.get_object_tagging(Bucket=context.bucket, Key=name)["TagSet"]
        assert tags == [{"Key": "project", "Value": "alpha"}]


@SUITE.case
def parts_in_any_order(context: Context) -> None:
    """Ten objects in 8 parts at a time in random order, one of the size of the run."""
    client = context.client(max_pool_connections=8)
    client.create_bucket(Bucket=context.bucket)
    for number in range(10):
        size = max(context.options.size, 8 * PART) if number == 9 else 8 * PART + number * 100_001
        path = trees.write(context.work / "file", size, number)
        key = f"object-{number}"
        with Watch(monitor_of(context)) as watch:
            began = time.monotonic()
            _upload(client, context.bucket, key, path, number)
            seconds = time.monotonic() - began
        sent, peak = watch.sent / size, watch.peak / size
        context.say(f"{size / MIB:,.1f} MiB in 8 parts: {seconds:.1f} s")
        context.say(f"    {sent:.2f} times its bytes sent to NATS, at most {peak:.2f} times in storage")
        CommandLine(context).get(context.bucket, key, context.work / "back")
        trees.same(path, context.work / "back")


def _upload(client: object, bucket: str, key: str, path: Path, seed: int) -> None:
    size = path.stat().st_size
    length = -(-size // 8)
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    numbers = list(range(1, 9))
    random.Random(seed).shuffle(numbers)
    place = {"Bucket": bucket, "Key": key, "UploadId": upload}

    def send(number: int) -> dict[str, object]:
        with open(path, "rb") as file:
            file.seek((number - 1) * length)
            body = file.read(length)
        etag = client.upload_part(**place, PartNumber=number, Body=body)["ETag"]
        return {"PartNumber": number, "ETag": etag}

    with ThreadPoolExecutor(8) as pool:
        parts = sorted(pool.map(send, numbers), key=lambda part: part["PartNumber"])
    client.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})


class Watch:
    """What nats-server received and had in storage while the block ran, beyond what was there before."""

    def __init__(self, monitor: str) -> None:
        self._monitor = monitor
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.sent = 0
        self.peak = 0

    def __enter__(self) -> Watch:
        self._received, self._stored = self._figures()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            last = self._ended.wait(0.1)
            received, stored = self._figures()
            self.sent = received - self._received
            self.peak = max(self.peak, stored - self._stored)
            if last:
                return

    def _figures(self) -> tuple[int, int]:
        received = requests.get(f"{self._monitor}/varz", timeout=10).json()["in_bytes"]
        stored = requests.get(f"{self._monitor}/jsz", timeout=10).json()["storage"]
        return received, stored
