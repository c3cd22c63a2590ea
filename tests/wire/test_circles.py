"""A request and its blocks are gone when it is over: nothing of it waits for the collector of circles."""

from __future__ import annotations

import gc
from contextlib import suppress

import pytest

from s3shim.backends.local import LocalBackend
from s3shim.backends.local.chunks import ExtentChunks
from s3shim.config import load
from s3shim.errors import S3Error
from s3shim.wire.request import S3Request
from s3shim.wsgi import create_app
from tests.wire.client import Client
from tests.wire.conftest import MAIN

LARGE = bytes(range(256)) * 64


@pytest.fixture
def app(credentials_file, tmp_path):
    """A service on a local store whose objects of more than 1,000 bytes are files in blocks of 4 KiB."""
    backend = LocalBackend(tmp_path / "store", inline_max=1000, block_size=4096)
    yield create_app(load(["--data", str(tmp_path), "--credentials", str(credentials_file)], {}), backend)
    backend.close()


@pytest.fixture
def client(app):
    made = Client(app, *MAIN)
    assert made.request("PUT", "/circles").status == 200
    assert made.request("PUT", "/circles/small", body=b"abc").status == 200
    assert made.request("PUT", "/circles/large", body=LARGE).status == 200
    return made


def left() -> list[object]:
    """Return what is left of requests."""
    return [one for one in gc.get_objects() if isinstance(one, S3Request | ExtentChunks | S3Error)]


@pytest.fixture
def uncollected(client):
    """Let nothing be collected meanwhile, and demand that nothing had to be."""
    gc.collect()
    gc.disable()
    before = len(left())
    yield
    try:
        found = left()[before:]
        assert found == []
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "status"),
    [
        ("GET", "/circles/small", {}, b"", 200),
        ("HEAD", "/circles/large", {}, b"", 200),
        ("GET", "/circles/large", {"Range": "bytes=5000-"}, b"", 206),
        ("PUT", "/circles/new", {}, LARGE, 200),
        ("DELETE", "/circles/none", {}, b"", 204),
        ("GET", "/circles?list-type=2", {}, b"", 200),
        ("PUT", "/circles/copy", {"x-amz-copy-source": "/circles/large"}, b"", 200),
        ("POST", "/circles/large?uploads", {}, b"", 200),
        ("GET", "/circles/none", {}, b"", 404),
        ("GET", "/circles/%zz", {}, b"", 400),
        ("PUT", "/circles/small?nonsense", {}, b"abc", 501),
        ("PUT", "/circles/small", {"If-None-Match": "*"}, b"abc", 412),
        ("PUT", "/circles/small", {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, LARGE, 400),
    ],
)
def test_a_request_leaves_nothing(client, uncollected, method, target, headers, body, status):
    assert client.request(method, target, headers, body).status == status


def test_an_answer_that_breaks_off_leaves_nothing(app, client, uncollected):
    def abandoned(environ, start_response):
        chunks = app(environ, start_response)
        try:
            assert len(next(iter(chunks))) == 4096
        finally:
            chunks.close()
        return []

    with suppress(AssertionError):  # the client finds the answer too short
        Client(abandoned, *MAIN).request("GET", "/circles/large")
