"""The application behind each gunicorn worker, in short; with ``--worker`` all tests of the wire are."""

import pytest

from tests.wire.answer import check_refused
from tests.wire.conftest import MAIN
from tests.wire.workers import WORKERS, running


@pytest.fixture(scope="module", params=WORKERS)
def worker(request, tmp_path_factory):
    """A worker in this process."""
    with running(request.param, tmp_path_factory.mktemp("worker")) as made:
        yield made


@pytest.fixture
def client(worker, app):
    """The client of the account ``main``, through the worker."""
    return worker.client(app, *MAIN)


@pytest.mark.parametrize("size", [0, 5, 100_000, 3_000_000])
def test_objects_come_back(client, bucket, size):
    body = bytes(range(250)) * (size // 250) + b"x" * (size % 250)
    put = client.request("PUT", f"/{bucket}/a%20b", {"x-amz-meta-A-b": "c d"}, body)
    assert put.status == 200
    got = client.request("GET", f"/{bucket}/a%20b")
    assert (got.status, got.body, got.headers["x-amz-meta-a-b"]) == (200, body, "c d")
    assert got.headers["etag"] == put.headers["etag"]
    head = client.request("HEAD", f"/{bucket}/a%20b")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(size))
    if size:
        ranged = client.request("GET", f"/{bucket}/a%20b", {"Range": "bytes=1-3"})
        assert (ranged.status, ranged.body) == (206, body[1:4])
    assert client.request("DELETE", f"/{bucket}/a%20b").status == 204
    check_refused(client.request("GET", f"/{bucket}/a%20b"), 404, "NoSuchKey")


def test_a_body_in_chunks(client, bucket):
    answer = client.request(
        "PUT", f"/{bucket}/k", {"Transfer-Encoding": "chunked"}, b"x" * 70_000, payload="unsigned"
    )
    assert answer.status == 200
    assert client.request("GET", f"/{bucket}/k").body == b"x" * 70_000


def test_a_body_that_is_cut_short_is_no_object(client, bucket):
    answer = client.request("PUT", f"/{bucket}/k", {"Content-Length": "10"}, b"short", payload="unsigned")
    check_refused(answer, 400, "IncompleteBody")
    check_refused(client.request("GET", f"/{bucket}/k"), 404, "NoSuchKey")


def test_refusals(client, bucket):
    check_refused(client.request("GET", f"/{bucket}/k", sign=False), 403, "AccessDenied")
    check_refused(client.request("PUT", f"/{bucket}/k?unknown", body=b"x"), 501, "NotImplemented")
    check_refused(client.request("PUT", f"/{bucket}/k", {"Content-MD5": "x"}, b"x"), 400, "InvalidDigest")
    other = client.request("PATCH", f"/{bucket}/k")
    check_refused(other, 405, "MethodNotAllowed")
    assert other.headers["allow"] == "DELETE, GET, HEAD, PUT, OPTIONS"  # RFC 9110, 15.5.6
    twice = {"If-None-Match": "*"}
    assert client.request("PUT", f"/{bucket}/k", twice, b"x").status == 200
    check_refused(client.request("PUT", f"/{bucket}/k", twice, b"y"), 412, "PreconditionFailed")
