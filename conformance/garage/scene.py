"""s3shim in front of a Garage, clients of both, and what is at Garage behind its back."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from conformance.garage.node import Garage
from s3shim.backends.upstream.backend import UpstreamBackend
from s3shim.backends.upstream.settings import UpstreamSettings
from tests.server.process import Server, serve
from tests.wire.client import LiveClient

RECORDS = "s3shim-records"
TWO_DAYS_MS = 2 * 86_400_000


def in_front_of(node: Garage, path: Path, *flags: str) -> Server:
    """Start s3shim over the node, with one worker, and its data directory in ``path``."""
    keys = {"S3SHIM_UPSTREAM_ACCESS_KEY": node.access_key, "S3SHIM_UPSTREAM_SECRET_KEY": node.secret_key}
    over = ["--backend", "s3", "--upstream-endpoint", node.endpoint, "--upstream-region", "garage"]
    return serve(path, *over, "--workers", "1", *flags, settings=keys)


_FORESEEN = re.compile(r"S3Error: (InternalError|ServiceUnavailable)\"$")
"""How the line of an answer ends that was broken off because Garage was away."""


def ended_well(server: Server) -> None:
    """Stop the server; demand that nothing unforeseen happened in it."""
    assert server.stop() == 0
    told = [line for line in server.stderr.splitlines() if "Traceback" in line]
    assert [line for line in told if not _FORESEEN.search(line)] == []


def client(endpoint: str, access_key: str, secret_key: str, region: str = "us-east-1") -> Any:
    """Return a boto3 client that tries once."""
    config = Config(
        retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, max_pool_connections=32
    )
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=config,
    )


def client_of(server: Server) -> Any:
    """Return a boto3 client of s3shim."""
    return client(f"http://127.0.0.1:{server.port}", server.shown("access key"), server.shown("secret key"))


def raw_client_of(server: Server) -> LiveClient:
    """Return a client of s3shim that sends what it is told to."""
    return LiveClient("127.0.0.1", server.port, server.shown("access key"), server.shown("secret key"))


def direct(node: Garage) -> Any:
    """Return a boto3 client of Garage itself."""
    return client(node.endpoint, node.access_key, node.secret_key, "garage")


def raw_direct(node: Garage) -> LiveClient:
    """Return a client of Garage itself that sends what it is told to."""
    return LiveClient("127.0.0.1", node.port, node.access_key, node.secret_key, "garage")


def listed(s3: Any, bucket: str, **query: Any) -> Iterator[dict[str, Any]]:
    """Yield the entries of a bucket, page by page."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, **query):
        yield from page.get("Contents", ())


def contents(s3: Any) -> dict[tuple[str, str], Any]:
    """Return all that is stored at Garage, by bucket and key: bytes, ETag, time, headers."""
    found = {}
    for bucket in s3.list_buckets()["Buckets"]:
        for entry in listed(s3, bucket["Name"]):
            answer = s3.get_object(Bucket=bucket["Name"], Key=entry["Key"])
            headers = answer.get("ContentType"), answer["LastModified"], sorted(answer["Metadata"].items())
            found[bucket["Name"], entry["Key"]] = answer["Body"].read(), answer["ETag"], headers
    return found


def uploads(s3: Any) -> list[tuple[str, str, str]]:
    """Return bucket, key and id of all uploads under way at Garage."""
    found = []
    for bucket in s3.list_buckets()["Buckets"]:
        pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket["Name"])
        for page in pages:
            found += [(bucket["Name"], one["Key"], one["UploadId"]) for one in page.get("Uploads", ())]
    return found


class _Later(UpstreamBackend):
    """The storage two days from now."""

    @staticmethod
    def now() -> int:
        return time.time_ns() // 1_000_000 + TWO_DAYS_MS


@contextmanager
def beside(node: Garage, path: Path) -> Iterator[UpstreamBackend]:
    """Give another process's storage over the node, two days from now."""
    path.mkdir(exist_ok=True)
    backend = _Later(
        UpstreamSettings(
            node.endpoint,
            path / "state",
            region="garage",
            access_key=node.access_key,
            secret_key=node.secret_key,
        )
    )
    backend.start()
    try:
        yield backend
    finally:
        backend.close()


def left_after_sweep(node: Garage, path: Path) -> list[str]:
    """Sweep as s3shim does, two days from now; return what is left of its own that no bucket needs.

    That is uploads under way in any bucket, and all in its own bucket but the records of buckets, and of
    the checksums of objects that are there.
    """
    with beside(node, path) as backend:
        backend.expire_multipart_uploads(backend.now() - TWO_DAYS_MS // 2)
    s3 = direct(node)
    left = ["upload " + " ".join(found) for found in uploads(s3)]
    kept = [entry["Key"] for entry in listed(s3, RECORDS)]
    left += [key for key in kept if not key.startswith(".s3shim/buckets/") and not _are_checksums(s3, key)]
    s3.close()
    return left


def _are_checksums(s3: Any, key: str) -> bool:
    """Whether it is the record of the checksums of an object as it is now."""
    kind, name = key.rsplit("/", 1)
    if kind != ".s3shim/checksums":
        return False
    record = json.load(s3.get_object(Bucket=RECORDS, Key=key)["Body"])
    try:
        found = s3.head_object(Bucket=record["bucket"], Key=record["key"])
    except ClientError:
        return False
    return name in found["Metadata"].get("s3shim", "")
