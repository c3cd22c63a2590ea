"""What the load cases share: the suite and the measures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

from conformance.cases import Context, Suite
from conformance.server import Server, disk_usage, wait_until

GRACE = 2

SUITE = Suite("load", flags=("--min-part-size", "1", "--grace", str(GRACE)), seconds=3600)


def made(context: Context) -> tuple[Any, str]:
    """Make the bucket of the case; return a client for many threads, and the bucket's name."""
    client = context.client(max_pool_connections=50)
    client.create_bucket(Bucket=context.bucket)
    return client, context.bucket


def body_of(client: Any, bucket: str, key: str) -> bytes:
    """Return the bytes of an object."""
    return bytes(client.get_object(Bucket=bucket, Key=key)["Body"].read())


def start_upload(client: Any, bucket: str, key: str) -> dict[str, str]:
    """Start a multipart upload; return the parameters that name it."""
    upload_id = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    return {"Bucket": bucket, "Key": key, "UploadId": upload_id}


def part(number: int, etag: str) -> dict[str, Any]:
    """Return an entry of the part list of Complete."""
    return {"PartNumber": number, "ETag": etag}


def blob_bytes(server: Server) -> int:
    """Return the bytes on disk of the files of the store; the index is not among them."""
    return disk_usage(server.data / "blobs")


def settle(context: Context, most: int) -> None:
    """Demand that the files of the store shrink to ``most`` bytes soon after the grace time."""
    began = time.monotonic()
    shrunk = wait_until(lambda: blob_bytes(context.server) <= most, 10 * GRACE + 20)
    found = blob_bytes(context.server)
    context.say(f"bytes on disk after {time.monotonic() - began:.1f} s: {found:,} (at most {most:,})")
    assert shrunk, f"{found} bytes on disk, more than {most}"


def written(server: Server) -> int:
    """Return the bytes that the workers have caused to be written to disk."""
    total = 0
    for pid in server.workers():
        for line in Path(f"/proc/{pid}/io").read_text().splitlines():
            name, _, number = line.partition(": ")
            total += int(number) if name == "write_bytes" else 0
    return total


class Measured:
    """What a block took: seconds, and bytes written by the workers."""

    seconds = 0.0
    written = 0


@contextmanager
def measured(server: Server) -> Iterator[Measured]:
    """Measure the block."""
    found = Measured()
    bytes_before, began = written(server), time.monotonic()
    yield found
    found.seconds = time.monotonic() - began
    found.written = written(server) - bytes_before


def anonymous_memory(pid: int) -> int:
    """Return RssAnon + RssShmem of a process in bytes; the mapped pages of the index are neither."""
    total = 0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(("RssAnon:", "RssShmem:")):
            total += int(line.split()[1]) * 1024
    return total


@contextmanager
def sampled(server: Server) -> Iterator[dict[int, int]]:
    """Sample the memory of each worker every 100 ms; yield the largest value by process id."""
    largest = dict.fromkeys(server.workers(), 0)
    stop = Event()

    def sample() -> None:
        while not stop.wait(0.1):
            for pid in largest:
                largest[pid] = max(largest[pid], anonymous_memory(pid))

    thread = Thread(target=sample)
    thread.start()
    try:
        yield largest
    finally:
        stop.set()
        thread.join()


def outcome(call: Callable[..., Any], **parameters: Any) -> str:
    """Return "done", or the S3 error code that the call ended with."""
    try:
        call(**parameters)
    except call.__self__.exceptions.ClientError as error:
        return str(error.response["Error"]["Code"])
    return "done"
