"""The S3 servers that the upstream backend is held to the contract over, one of each for all tests."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

from s3shim.backends.nats.ledger import NatsLedger
from s3shim.backends.nats.settings import NatsSettings
from s3shim.backends.upstream.backend import UpstreamBackend
from s3shim.backends.upstream.client import Request as Asked
from s3shim.backends.upstream.markup import read_buckets
from s3shim.backends.upstream.places import Place
from s3shim.backends.upstream.settings import UpstreamSettings
from tests.nats_server import shared_server
from tests.server.process import free_port

ACCESS, SECRET = "upstreamaccess", "upstreamsecretkey"
BLOCK = 4096

_RUNNING: list[subprocess.Popen[bytes]] = []
_ROOTS: list[str] = []


def stop_all() -> None:
    """End the servers."""
    while _RUNNING:
        process = _RUNNING.pop()
        process.terminate()
        process.wait(30)
    while _ROOTS:
        shutil.rmtree(_ROOTS.pop(), ignore_errors=True)


def _start(arguments: list[str], port: int, settings: dict[str, str]) -> str:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if not _RUNNING:
        atexit.register(stop_all)
    _RUNNING.append(process)
    endpoint = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urlopen(endpoint, timeout=5).close()
        except URLError as error:
            if hasattr(error, "code"):
                break
            time.sleep(0.05)
        else:
            break
    return endpoint


@cache
def moto() -> str:
    """Return the endpoint of a moto server that takes small parts."""
    port = free_port()
    arguments = ["-m", "tests.contract.moto_server", str(port)]
    return _start(arguments, port, {"S3_UPLOAD_PART_MIN_SIZE": "0"})


def _settings(endpoint: str, path: Path, **more: object) -> UpstreamSettings:
    return UpstreamSettings(
        endpoint,
        path / "state",
        access_key=ACCESS,
        secret_key=SECRET,
        block_size=BLOCK,
        **more,
    )


def over_moto(path: Path) -> UpstreamBackend:
    """Return a backend over moto, which has nothing in it."""
    endpoint = moto()
    urlopen(Request(f"{endpoint}/moto-api/reset", method="POST"), timeout=30).close()
    return UpstreamBackend(_settings(endpoint, path, dialect="moto"))


@cache
def s3shim() -> str:
    """Return the endpoint of s3shim itself on a local store, which takes small parts."""
    port = free_port()
    root = tempfile.mkdtemp(prefix="s3shim-upstream-")
    _ROOTS.append(root)
    arguments = ["-m", "s3shim", "serve", "--listen", f"127.0.0.1:{port}", "--data", f"{root}/data"]
    settings = {
        "S3SHIM_ACCESS_KEY": ACCESS,
        "S3SHIM_SECRET_KEY": SECRET,
        "S3SHIM_MIN_PART_SIZE": "1",
        "S3SHIM_WORKERS": "1",
        "S3SHIM_THREADS": "8",
    }
    return _start(arguments, port, settings)


def over_s3shim(path: Path) -> UpstreamBackend:
    """Return a backend over s3shim on a local store, which has nothing in it."""
    return _emptied(UpstreamBackend(_settings(s3shim(), path, dialect="s3shim")))


GARAGE = "S3SHIM_TEST_GARAGE"
"""The variable with endpoint, access key and secret key of a Garage to be held to the contract over."""


def over_garage(path: Path) -> UpstreamBackend:
    """Return a backend over the Garage that the environment names, which has nothing in it."""
    return _over(path, "garage", *os.environ[GARAGE].split())


OTHER = "S3SHIM_TEST_UPSTREAM"
"""The variable with name, endpoint, region, access key and secret key of any other S3."""


def over_other(path: Path) -> UpstreamBackend:
    """Return a backend over the S3 that the environment names, which has nothing in it."""
    _name, endpoint, region, access_key, secret_key = os.environ[OTHER].split()
    return _over(path, region, endpoint, access_key, secret_key)


def _over(path: Path, region: str, endpoint: str, access_key: str, secret_key: str) -> UpstreamBackend:
    settings = UpstreamSettings(
        endpoint,
        path / "state",
        region=region,
        access_key=access_key,
        secret_key=secret_key,
        block_size=BLOCK,
    )
    return _emptied(UpstreamBackend(settings))


def with_leases(path: Path) -> UpstreamBackend:
    """Return the same with leases."""
    settings = replace(over_garage(path).settings, leases=True)
    return UpstreamBackend(settings, NatsLedger(NatsSettings(path, servers=(shared_server().url,))))


def _emptied(backend: UpstreamBackend) -> UpstreamBackend:
    backend.client.start()
    for bucket, _ in read_buckets(backend.client.send(Asked("GET")).data):
        before: list[str] = []
        while keys := [item.key for item in backend.list_page(Place(bucket, "")).items]:
            assert keys != before, f"{bucket} cannot be emptied"
            before = keys
            plain = [key for key in keys if key.isprintable()]
            if len(plain) > 10:
                backend.delete_many_upstream(bucket, plain)
            else:
                for key in keys:
                    backend.delete_upstream(Place(bucket, key))
        backend.client.send(Asked("DELETE", bucket))
    backend.client.close()
    return backend
