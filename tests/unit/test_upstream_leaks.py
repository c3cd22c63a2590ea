"""An upstream that fails in the middle of a transfer: nothing by halves, nothing left there or open here."""

import os
import re
import time
from dataclasses import replace
from itertools import count

import pytest

from s3shim.errors import Code
from tests.contract.bodies import BytesBody, code_of, get, pattern, put
from tests.server.process import connections
from tests.unit.fake_upstream import Answer, FakeUpstream, backend_over, error
from tests.unit.test_upstream_faults import md5

RECOVERY = 5.0
OLD = {"/bucket/small": pattern(10), "/bucket/large": pattern(900_000)}
AWAY = {Code.InternalError, Code.ServiceUnavailable, Code.SlowDown}


def document(name, field, text):
    return Answer(200, f"<{name}><{field}>{text}</{field}></{name}>".encode())


class Shelf:
    """What an S3 does with objects and uploads; a ``fault`` says what becomes of requests that move bytes."""

    def __init__(self):
        self.objects = dict(OLD)
        self.uploads = {}
        self.ids = count()
        self.fault = None

    def __call__(self, asked):
        path, _, query = asked.path.partition("?")
        moves = asked.method == "GET" or (asked.method == "PUT" and asked.body)
        if self.fault is not None and moves:
            return self.fault(asked, self.right(asked, path, query, keep=asked.method == "GET"))
        return self.right(asked, path, query, keep=True)

    def right(self, asked, path, query, *, keep):
        """Answer as it should be; what is not to be ``keep``-t leaves no trace."""
        if asked.method in ("GET", "HEAD"):
            if path not in self.objects:
                return error(404, "NoSuchKey") if path.count("/") > 1 else Answer()
            return Answer(200, self.objects[path], {"ETag": f'"{md5(self.objects[path])}"'})
        etag = {"ETag": f'"{md5(asked.body)}"'}
        if not keep:
            return Answer(200, headers=etag)
        upload = re.search("uploadId=([0-9]+)", query)
        if asked.method == "DELETE":
            (self.uploads if upload else self.objects).pop(upload[1] if upload else path, None)
            return Answer(204)
        if query == "uploads=":
            upload_id = str(next(self.ids))
            self.uploads[upload_id] = []
            return document("InitiateMultipartUploadResult", "UploadId", upload_id)
        if upload and asked.method == "PUT":
            self.uploads[upload[1]].append(asked.body)
        elif upload:
            self.objects[path] = b"".join(self.uploads.pop(upload[1]))
            return document("CompleteMultipartUploadResult", "ETag", "x-2")
        elif source := asked.headers.get("x-amz-copy-source"):
            self.objects[path] = self.objects[source]
            return document("CopyObjectResult", "ETag", "x")
        else:
            self.objects[path] = asked.body
        return Answer(200, headers=etag)


def damaged(asked, right):
    if asked.method == "PUT":
        return replace(right, headers={"ETag": f'"{"0" * 32}"'})
    return replace(right, body=right.body[:-1] + b"?")


def longer(right, **more):
    length = {"Content-Length": str(len(right.body) + 10)}
    return replace(right, headers=right.headers | length, **more)


def half_of(right):
    """Return the answer up to the middle of its body; nothing of one without."""
    return replace(right, cut=len(right.body) // 2) if right.body else None


FAULTS = {
    "killed": lambda asked, right: half_of(right),
    "half-closed": lambda asked, right: longer(right, half=True),
    "a burst of 503": lambda asked, right: error(503, "SlowDown"),
    "a stall": lambda asked, right: Answer(stall=True),
    "more bytes announced than come": lambda asked, right: longer(right, cut=len(right.body)),
    "more bytes announced, and silence": lambda asked, right: longer(right),
    "other bytes": damaged,
}
CALLS = {
    "get small": lambda backend: get(backend, "small"),
    "get large": lambda backend: get(backend, "large"),
    "put small": lambda backend: put(backend, "small", pattern(10, 7)),
    "put large": lambda backend: put(backend, "large", BytesBody(pattern(900_000, 7), piece=100_000)),
    "put in parts": lambda backend: put(
        backend, "large", BytesBody(pattern(900_000, 7), length=None, piece=100_000)
    ),
}


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def over(shelf, tmp_path):
    """A backend over the shelf, and the shelf's server."""
    with FakeUpstream(shelf) as fake:
        backend = backend_over(fake.endpoint, tmp_path, attempts=2)
        yield backend, fake
        fake.released.set()
        backend.close()


def sound(shelf, fake):
    """Demand that all is as it was: objects, uploads, and the connections that a quiet backend has."""
    assert shelf.objects == OLD
    assert shelf.uploads == {}
    assert sum(connections(os.getpid(), fake.server.server_address[1]).values()) <= 1


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_leaves_nothing_behind(over, shelf, name, fault):
    backend, fake = over
    shelf.fault = FAULTS[fault]
    for _ in range(2):
        assert code_of(CALLS[name], backend) in AWAY
        sound(shelf, fake)
    shelf.fault = None
    began = time.monotonic()
    assert code_of(CALLS[name], backend) is None
    assert time.monotonic() - began < RECOVERY
    assert shelf.uploads == {}
    assert set(shelf.objects) == set(OLD)


@pytest.mark.parametrize("name", ["put large", "put in parts"])
def test_killed_while_it_takes_a_body(over, shelf, name):
    backend, fake = over
    for _ in range(2):
        fake.takes = 300_000
        assert code_of(CALLS[name], backend) in AWAY
        sound(shelf, fake)
    fake.takes = None
    assert code_of(CALLS[name], backend) is None
    assert shelf.uploads == {}


@pytest.mark.parametrize("name", ["get small", "get large"])
def test_fewer_bytes_announced_than_come(over, shelf, name):
    backend, fake = over
    shelf.fault = lambda asked, right: replace(
        right, headers=right.headers | {"Content-Length": str(len(right.body) - 5)}
    )
    assert code_of(CALLS[name], backend) in AWAY
    shelf.fault = None
    assert code_of(CALLS[name], backend) is None
    sound(shelf, fake)
