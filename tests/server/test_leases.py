"""Servers with leases over one S3 that ignores conditions: exact winners, the stopped, the dead, no NATS."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

from tests.nats.rig import until
from tests.nats_server import NatsServer, stop_process
from tests.server.process import GUNICORN, Server, workers
from tests.server.test_nats import until_ready
from tests.unit.fake_objects import Objects
from tests.unit.fake_upstream import FakeUpstream

TIME = 4.0
"""Seconds for which a lease is in the way of others."""

PAIR = {"S3SHIM_ACCESS_KEY": "GKclient", "S3SHIM_SECRET_KEY": "secret-of-the-client"}
STATS = b"GET /stats HTTP/1.1\r\nHost: x\r\n\r\n"


class Gateway:
    """A server, a client of it, and the access key by which it is known to the S3 behind."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name
        self.s3: Any = boto3.client(
            "s3",
            endpoint_url=f"http://127.0.0.1:{server.port}",
            aws_access_key_id=PAIR["S3SHIM_ACCESS_KEY"],
            aws_secret_access_key=PAIR["S3SHIM_SECRET_KEY"],
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, proxies={}, max_pool_connections=40),
        )

    def create(self, key: str, data: bytes) -> int:
        """Make an object where there is none; return the status, 0 for no answer."""
        try:
            self.s3.put_object(Bucket="a-bucket", Key=key, Body=data, IfNoneMatch="*")
        except ClientError as refused:
            return int(refused.response["ResponseMetadata"]["HTTPStatusCode"])
        except HTTPClientError:
            return 0
        return 200

    def read(self, key: str) -> bytes:
        """Return an object."""
        data: bytes = self.s3.get_object(Bucket="a-bucket", Key=key)["Body"].read()
        return data

    def signal(self, number: int) -> None:
        """Send a signal to all workers."""
        for pid in workers(self.server):
            os.kill(pid, number)

    def stop(self) -> None:
        """Let no worker go on."""
        for pid in workers(self.server):
            stop_process(pid)


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    server = NatsServer(tmp_path / "nats").start()
    yield server
    server.kill()


@pytest.fixture
def objects() -> Objects:
    return Objects("a-bucket", "default")


@pytest.fixture
def gateways(tmp_path: Path, nats: NatsServer, objects: Objects) -> Iterator[Callable[..., list[Gateway]]]:
    """Return a function that starts two gateways with data directories of their own; they must end well."""
    made: list[Server] = []
    with FakeUpstream(objects) as fake:

        def start(leases: str = "true") -> list[Gateway]:
            found = []
            for name in ("GKone", "GKtwo"):
                settings = {
                    **PAIR,
                    "S3SHIM_BACKEND": "s3",
                    "S3SHIM_DATA": str(tmp_path / name),
                    "S3SHIM_LISTEN": "127.0.0.1:0",
                    "S3SHIM_STATS_ENDPOINT": "true",
                    "S3SHIM_UPSTREAM_ENDPOINT": fake.endpoint,
                    "S3SHIM_UPSTREAM_ACCESS_KEY": name,
                    "S3SHIM_UPSTREAM_SECRET_KEY": "secret-of-behind",
                    "S3SHIM_UPSTREAM_DIALECT": "garage",
                    "S3SHIM_UPSTREAM_LEASES": leases,
                    "S3SHIM_UPSTREAM_LEASE_TIME": str(TIME / 2),
                    "S3SHIM_NATS_SERVERS": nats.url,
                }
                made.append(Server(GUNICORN, tmp_path / f"stderr-{name}", settings))
                found.append(Gateway(made[-1], name))
            return found

        yield start
        objects.go.set()
        for server in made:
            assert server.stop() == 0
            assert "Traceback" not in server.stderr


def winners(gateways: list[Gateway], key: str) -> list[int]:
    """Let 20 writers on two hosts race for a key; return those who were told that they made it."""
    barrier = Barrier(20)

    def create(number: int) -> int:
        barrier.wait()
        return gateways[number % 2].create(key, b"%d" % number)

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(create, range(20)))
    found = [number for number, status in enumerate(statuses) if status == 200]
    assert statuses.count(412) == 20 - len(found)
    return found


def test_of_20_writers_on_two_hosts_one_wins(gateways: Callable[..., list[Gateway]]) -> None:
    found = gateways()
    for number in range(10):
        (winner,) = winners(found, f"key{number}")
        assert found[number % 2].read(f"key{number}") == b"%d" % winner
    told = found[0].server.ask(STATS).body
    assert b"exact across machines, while no gateway pauses for longer than its lease of 2 s" in told


def test_without_leases_several_win(gateways: Callable[..., list[Gateway]]) -> None:
    found = gateways(leases="false")
    assert any(len(winners(found, f"key{number}")) > 1 for number in range(20))
    assert b'"conditional_writes": "exact on one machine"' in found[0].server.ask(STATS).body


def held(pool: ThreadPoolExecutor, gateway: Gateway, objects: Objects) -> Future[int]:
    """Let a gateway look whether the key is there, and hold the answer back."""
    objects.hold = gateway.name, "HEAD"
    writing = pool.submit(gateway.create, "key", b"of the one who was late")
    assert objects.seen.wait(20)
    return writing


def test_a_gateway_that_was_stopped_for_longer_than_its_lease_writes_nothing(
    gateways: Callable[..., list[Gateway]], objects: Objects
) -> None:
    one, two = gateways()
    with ThreadPoolExecutor(1) as pool:
        late = held(pool, one, objects)
        assert two.create("another", b"") == 200
        one.stop()
        try:
            objects.go.set()
            began = time.monotonic()
            assert two.create("key", b"of the heir") == 200
            assert 0.5 * TIME < time.monotonic() - began < 3 * TIME
        finally:
            one.signal(signal.SIGCONT)
        assert late.result() == 503
    assert two.read("key") == b"of the heir"
    assert objects.put == ["GKtwo", "GKtwo"]
    assert one.create("key", b"") == 412
    assert one.create("later", b"") == 200


def test_a_gateway_that_was_killed_leaves_its_lease_for_as_long_as_it_holds(
    gateways: Callable[..., list[Gateway]], objects: Objects
) -> None:
    one, two = gateways()
    with ThreadPoolExecutor(1) as pool:
        dead = held(pool, one, objects)
        one.signal(signal.SIGKILL)
        assert dead.result() == 0
        objects.go.set()
        began = time.monotonic()
        assert two.create("key", b"of the heir") == 200
        assert 0.5 * TIME < time.monotonic() - began < 4 * TIME
    began = time.monotonic()
    assert two.create("free", b"") == 200
    assert time.monotonic() - began < TIME / 2


def writes(gateway: Gateway) -> bool:
    """Whether all workers write."""
    return all(gateway.create(os.urandom(8).hex(), b"") == 200 for _ in range(20))


def test_without_nats_nothing_is_written_and_everything_is_read(
    gateways: Callable[..., list[Gateway]], nats: NatsServer, objects: Objects
) -> None:
    one, two = gateways()
    assert one.create("key", b"data") == 200
    nats.stop()
    until_ready(one.server, 503)
    for gateway in (one, two):
        began = time.monotonic()
        with pytest.raises(ClientError) as refused:
            gateway.s3.put_object(Bucket="a-bucket", Key="key", Body=b"new")
        assert refused.value.response["Error"]["Code"] == "ServiceUnavailable"
        answer = refused.value.response["ResponseMetadata"]
        assert answer["HTTPStatusCode"] == 503
        assert 1 <= int(answer["HTTPHeaders"]["retry-after"]) <= 5
        assert time.monotonic() - began < TIME
        assert gateway.read("key") == b"data"
    assert objects.put == ["GKone"]
    nats.start()
    for gateway in (one, two):
        until_ready(gateway.server)
        # Each worker has a connection of its own.
        until(20, lambda gateway=gateway: writes(gateway))
    (winner,) = winners([one, two], "after")
    assert one.read("after") == b"%d" % winner
