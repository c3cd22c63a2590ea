"""Eight clients send and fetch large files at once: the workers' memory stays small, the bytes are right."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import boto3
from botocore.config import Config

from conformance import trees
from conformance.cases import Context
from conformance.load.base import SUITE, made, sampled
from conformance.server import MAIN
from conformance.trees import MIB

CLIENTS = 8
LIMIT = 200 * MIB


@SUITE.case
def memory_stays_bounded(context: Context) -> None:
    client, bucket = made(context)
    size = context.options.size
    free = shutil.disk_usage(context.work).free
    assert free > 3.2 * CLIENTS * size, f"{free:,} bytes free are too few for {CLIENTS} times {size:,}"
    began = time.monotonic()
    places = [context.work / f"client-{number}" for number in range(CLIENTS)]
    with (
        sampled(context.server) as largest,
        ProcessPoolExecutor(CLIENTS, multiprocessing.get_context("spawn")) as pool,
    ):
        jobs = [pool.submit(_client, context.server.endpoint, bucket, place, size) for place in places]
        seconds = [job.result() for job in jobs]
    context.say(f"{CLIENTS} clients, {size / MIB:,.0f} MiB each: {time.monotonic() - began:.0f} s in all")
    for name, times in zip(("upload_file", "download_file"), zip(*seconds, strict=True), strict=True):
        context.say(f"{name}: the slowest {max(times):.1f} s, {CLIENTS * size / MIB / max(times):.0f} MiB/s")
    context.say("RssAnon + RssShmem of the workers at most: " + _list(largest.values()))
    for number in range(CLIENTS):
        client.delete_object(Bucket=bucket, Key=f"client-{number}")
    assert max(largest.values()) < LIMIT, f"more than {LIMIT / MIB:.0f} MiB"


def _list(sizes: object) -> str:
    assert hasattr(sizes, "__iter__")
    return ", ".join(f"{size / MIB:.1f} MiB" for size in sizes)


def _client(endpoint: str, bucket: str, place: Path, size: int) -> tuple[float, float]:
    """Send a file, fetch it, compare; return the seconds of both. Runs in a process of its own."""
    place.mkdir()
    source, back = place / "source", place / "back"
    block = random.Random(place.name).randbytes(MIB)
    with open(source, "wb") as file:
        for number in range(0, size, MIB):
            # No two blocks of all clients are equal.
            file.write((number.to_bytes(8, "big") + block[8:])[: size - number])
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=MAIN.access_key,
        aws_secret_access_key=MAIN.secret_key,
        config=Config(read_timeout=300, retries={"total_max_attempts": 1}),
    )
    began = time.monotonic()
    client.upload_file(str(source), bucket, place.name)
    sent = time.monotonic()
    client.download_file(bucket, place.name, str(back))
    fetched = time.monotonic()
    trees.same(source, back)
    shutil.rmtree(place)
    return sent - began, fetched - sent
