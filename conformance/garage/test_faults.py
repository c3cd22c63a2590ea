"""Garage killed, stopped and started again while s3shim is at work: the right error, nothing by halves.

After each: what was there is there, nothing is left at Garage but what is needed, no connection is left
open, and the first request after Garage's return is served.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from conformance.garage.gauges import answers, seconds_until
from conformance.garage.node import Garage, garage
from conformance.garage.scene import (
    client_of,
    direct,
    ended_well,
    in_front_of,
    left_after_sweep,
    raw_client_of,
)
from tests.server.process import Server, connections, workers
from tests.wire.client import LiveClient

MIB = 1024**2
BUCKET = "faults"
OLD = b"old " * 100_000
HALF = bytes(range(256)) * (8 * MIB // 256)
IMPATIENT = [
    *("--upstream-connect-timeout", "1"),
    *("--upstream-first-byte-timeout", "2"),
    *("--upstream-idle-timeout", "2"),
    *("--upstream-deadline", "4"),
    *("--upstream-attempts", "2"),
]
LONGEST = 12.0
"""Seconds for an answer while Garage says nothing: two tries, then what tidies up after them."""
RECOVERY = 5.0
AWAY = {(500, "InternalError"), (503, "ServiceUnavailable"), (503, "SlowDown")}


@dataclass
class Place:
    """A Garage, s3shim in front of it, and clients of both; ``key`` holds OLD."""

    node: Garage
    server: Server
    path: Path
    say: Callable[[str], None]
    through: Any = field(init=False)
    raw: LiveClient = field(init=False)
    held: int = 0

    def __post_init__(self) -> None:
        self.through, self.raw = client_of(self.server), raw_client_of(self.server)

    def prepare(self) -> None:
        """Put everything in order, and see how many connections that takes."""
        if not any(bucket["Name"] == BUCKET for bucket in self.through.list_buckets()["Buckets"]):
            self.through.create_bucket(Bucket=BUCKET)
        self.through.put_object(Bucket=BUCKET, Key="key", Body=OLD)
        upload = {"Bucket": BUCKET, "Key": "key"}
        upload["UploadId"] = self.through.create_multipart_upload(**upload)["UploadId"]
        self.through.upload_part(**upload, PartNumber=1, Body=HALF)
        self.through.abort_multipart_upload(**upload)
        self.through.put_object(Bucket=BUCKET, Key="large", Body=HALF)
        self.held = sum(self.connections().values())

    def close(self) -> None:
        """Close the clients."""
        self.through.close()
        self.raw.close()

    def serves(self) -> bool:
        """Whether s3shim answers as if Garage were there."""
        try:
            self.through.list_buckets()
        except ClientError:
            return False
        return True

    def connections(self) -> dict[str, int]:
        """Return the worker's connections to Garage by state."""
        (worker,) = workers(self.server)
        return connections(worker, self.node.port)

    def returned(self, what: str) -> None:
        """Garage has just been started or may go on: demand that s3shim serves soon after Garage does."""
        behind = direct(self.node)
        at = {"Bucket": BUCKET, "Key": "key"}
        began = time.monotonic()
        seconds_until(lambda: answers(behind, **at))
        garage_serves = time.monotonic() - began
        seconds_until(lambda: answers(self.through, **at))
        behind.close()
        seconds = time.monotonic() - began
        self.say(f"{what}: Garage serves after {garage_serves:.2f} s, s3shim after {seconds:.2f} s")
        assert seconds - garage_serves < RECOVERY

    def sound(self, key: str = "key", data: bytes = OLD) -> None:
        """Demand that all is as it was, with nothing beside it, and no more connections than before."""
        behind = direct(self.node)
        for s3 in (self.through, behind):
            assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == data
            names = {entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
            assert names == {"key", "large"}
        behind.close()
        assert sum(self.connections().values()) <= self.held
        assert left_after_sweep(self.node, self.path / "sweep") == []


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Garage]:
    """A Garage to be killed."""
    with garage(tmp_path_factory.mktemp("garage")) as made:
        yield made


@pytest.fixture(scope="module")
def servers(own: Garage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Server]]:
    """s3shim in front of it: as it finds it, and taking it for an S3 that wants to know all lengths."""
    made = {
        name: in_front_of(own, tmp_path_factory.mktemp(name), *IMPATIENT, "--upstream-dialect", name)
        for name in ("auto", "generic")
    }
    yield made
    for server in made.values():
        ended_well(server)


@pytest.fixture
def place(
    own: Garage, servers: dict[str, Server], tmp_path: Path, say: Any, request: pytest.FixtureRequest
) -> Iterator[Place]:
    """All of them; Garage runs, and holds what it should."""
    made = Place(own, servers[getattr(request, "param", "auto")], tmp_path, say)
    if not own.runs:
        own.start()
    seconds_until(made.serves)
    made.prepare()
    yield made
    made.close()
    own.go_on()


def status_of(call: Callable[..., Any], **given: Any) -> tuple[int, str]:
    """Return status and code of a call that must fail."""
    with pytest.raises(ClientError) as refused:
        call(**given)
    answer = refused.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


class Broken:
    """A body of 16 MiB, in the middle of which something happens."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self.happens = happens

    def __iter__(self) -> Iterator[bytes]:
        yield from (HALF[start : start + MIB] for start in range(0, len(HALF), MIB))
        time.sleep(0.3)
        self.happens()
        yield from (HALF[start : start + MIB] for start in range(0, len(HALF), MIB))


LENGTHS = {"length": {"Content-Length": str(2 * len(HALF))}, "chunked": {"Transfer-Encoding": "chunked"}}


@pytest.mark.parametrize("known", LENGTHS)
@pytest.mark.parametrize("place", ["auto", "generic"], indirect=True)
def test_killed_in_mid_put(place: Place, known: str) -> None:
    answer = place.raw.request(
        "PUT", f"/{BUCKET}/key", LENGTHS[known], Broken(place.node.kill), payload="unsigned"
    )
    assert (answer.status, answer.code) in AWAY
    assert status_of(place.through.get_object, Bucket=BUCKET, Key="key") == (503, "ServiceUnavailable")
    place.node.start()
    place.returned(f"killed in mid put, {known}")
    place.sound()


@pytest.mark.parametrize("known", LENGTHS)
@pytest.mark.parametrize("place", ["auto", "generic"], indirect=True)
def test_silent_in_mid_put(place: Place, known: str) -> None:
    began = time.monotonic()
    answer = place.raw.request(
        "PUT", f"/{BUCKET}/key", LENGTHS[known], Broken(place.node.hold), payload="unsigned"
    )
    seconds = time.monotonic() - began
    assert (answer.status, answer.code) in AWAY
    place.say(f"silent in mid put, {known}: {answer.status} {answer.code} after {seconds:.1f} s")
    assert seconds < LONGEST
    place.node.go_on()
    place.returned(f"silent in mid put, {known}")
    place.sound()


def test_killed_in_mid_part(place: Place) -> None:
    at = {"Bucket": BUCKET, "Key": "key"}
    upload_id = place.through.create_multipart_upload(**at)["UploadId"]
    target = f"/{BUCKET}/key?partNumber=1&uploadId={upload_id}"
    answer = place.raw.request("PUT", target, LENGTHS["length"], Broken(place.node.kill), payload="unsigned")
    assert (answer.status, answer.code) in AWAY
    place.node.start()
    place.returned("killed in mid part")
    assert "Parts" not in place.through.list_parts(**at, UploadId=upload_id)
    etag = place.through.upload_part(**at, UploadId=upload_id, PartNumber=1, Body=HALF)["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    place.through.complete_multipart_upload(**at, UploadId=upload_id, MultipartUpload=parts)
    place.sound(data=HALF)


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=1000-"}], ids=["whole", "range"])
@pytest.mark.parametrize("happens", ["kill", "hold"])
def test_away_in_mid_get(place: Place, happens: str, headers: dict[str, str]) -> None:
    """An answer that cannot be ended ends with the connection, short of its length."""
    place.through.put_object(Bucket=BUCKET, Key="large", Body=HALF * 8)
    draft = place.raw.draft("GET", f"/{BUCKET}/large", headers)
    connection = http.client.HTTPConnection("127.0.0.1", place.server.port, timeout=30)
    connection.request("GET", draft.target, headers=dict(draft.headers))
    answer = connection.getresponse()
    received = answer.read(MIB)
    began = time.monotonic()
    getattr(place.node, happens)()
    with pytest.raises(http.client.IncompleteRead) as short:
        answer.read()
    seconds = time.monotonic() - began
    connection.close()
    received += short.value.partial
    start = 1000 if headers else 0
    assert len(received) < 8 * len(HALF) - start
    assert received == (HALF * 8)[start : start + len(received)]
    place.say(f"{happens} in mid get: {len(received):,} bytes, broken off after {seconds:.1f} s")
    assert seconds < LONGEST
    place.node.start() if happens == "kill" else place.node.go_on()
    place.returned(f"{happens} in mid get")
    place.through.put_object(Bucket=BUCKET, Key="large", Body=HALF)
    place.sound()


AT = {"Bucket": BUCKET, "Key": "key"}
CALLS: dict[str, dict[str, Any]] = {
    "get_object": AT,
    "head_object": AT,
    "put_object": {**AT, "Body": b"new"},
    "delete_object": AT,
    "copy_object": {**AT, "CopySource": f"{BUCKET}/large"},
    "put_object_tagging": {**AT, "Tagging": {"TagSet": [{"Key": "a", "Value": "b"}]}},
    "get_object_attributes": {**AT, "ObjectAttributes": ["ETag"]},
    "create_multipart_upload": AT,
    "list_multipart_uploads": {"Bucket": BUCKET},
    "list_objects_v2": {"Bucket": BUCKET},
    "delete_objects": {"Bucket": BUCKET, "Delete": {"Objects": [{"Key": f"none-{n}"} for n in range(5)]}},
    "head_bucket": {"Bucket": BUCKET},
    "list_buckets": {},
    "get_bucket_cors": {"Bucket": BUCKET},
}


@pytest.mark.parametrize("happens", ["kill", "hold"])
def test_away(place: Place, happens: str) -> None:
    """No doubt becomes a 404; what was asked for meanwhile was done once or not at all."""
    time.sleep(1.1)  # what is remembered of the bucket is older than that
    getattr(place.node, happens)()
    began = time.monotonic()
    try:
        with ThreadPoolExecutor(len(CALLS)) as pool:
            calls = {
                name: pool.submit(status_of, getattr(place.through, name), **CALLS[name]) for name in CALLS
            }
        found = {name: call.result() for name, call in calls.items()}
        longest = time.monotonic() - began
    finally:
        place.node.start() if happens == "kill" else place.node.go_on()
    # One of those that change the key has its lock, and the others do not wait for ever.
    assert set(found.values()) <= {(503, "ServiceUnavailable"), (503, "SlowDown"), (503, "503")}
    assert {name for name, (_, code) in found.items() if code == "503"} == {"head_object", "head_bucket"}
    place.say(f"{happens}: the slowest of {len(CALLS)} answers after {longest:.1f} s")
    assert longest < LONGEST
    place.returned(happens)
    for upload in place.through.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()):
        place.through.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
    place.through.put_object(Bucket=BUCKET, Key="key", Body=OLD)
    place.sound()
