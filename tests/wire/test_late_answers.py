"""Lengthy work: an answer that begins in time, and never before what can be told with a status."""

import time
from threading import Event

import pytest

from s3shim.backends.memory import MemoryBackend
from s3shim.config import load
from s3shim.errors import Code, S3Error
from s3shim.wsgi import create_app
from tests.wire.client import Client
from tests.wire.conftest import MAIN

DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
LENGTHY = ("copy_object", "upload_part_copy", "complete_multipart_upload")


class Slow(MemoryBackend):
    """A storage that works on these three until it is let go; ``error`` is what comes of it then."""

    lengthy = frozenset(LENGTHY)

    def __init__(self):
        super().__init__()
        self.go = Event()
        self.begun = 0
        self.error = None

    def _labour(self, method, *arguments):
        self.begun += 1
        self.go.wait(30)
        if self.error is not None:
            raise self.error
        return getattr(super(), method)(*arguments)

    def copy_object(self, *arguments):
        return self._labour("copy_object", *arguments)

    def upload_part_copy(self, *arguments):
        return self._labour("upload_part_copy", *arguments)

    def complete_multipart_upload(self, *arguments):
        return self._labour("complete_multipart_upload", *arguments)


@pytest.fixture
def backend():
    slow = Slow()
    yield slow
    slow.go.set()


@pytest.fixture
def app(credentials_file, tmp_path, backend):
    config = load(["--data", str(tmp_path), "--credentials", str(credentials_file)], {})
    made = create_app(config, backend)
    made.service.patience = 0.05
    made.service.blank_every = 0.02
    return made


@pytest.fixture
def requests(client, bucket):
    """The three requests, all of which succeed."""
    client.request("PUT", f"/{bucket}/source", body=b"data")
    made = {"copy_object": ("PUT", f"/{bucket}/target", {"x-amz-copy-source": f"/{bucket}/source"}, b"")}
    upload = client.request("POST", f"/{bucket}/target?uploads").xml().findtext("{*}UploadId")
    part = f"/{bucket}/target?partNumber=1&uploadId={upload}"
    etag = client.request("PUT", part, body=b"part").headers["etag"]
    document = f"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    target = f"/{bucket}/target?uploadId={upload}"
    body = f"{document}</CompleteMultipartUpload>".encode()
    made["complete_multipart_upload"] = ("POST", target, {}, body)
    made["upload_part_copy"] = ("PUT", part, {"x-amz-copy-source": f"/{bucket}/source"}, b"")
    return made


@pytest.fixture
def logged(monkeypatch, requests):
    """The codes in the log lines of what follows."""
    codes = []
    monkeypatch.setattr("s3shim.wire.outgoing.write_line", lambda *line: codes.append(line[3]))
    return codes


ROOTS = {
    "copy_object": b"<CopyObjectResult ",
    "upload_part_copy": b"<CopyPartResult ",
    "complete_multipart_upload": b"<CompleteMultipartUploadResult ",
}


class Exchange:
    """A request whose answer is taken chunk by chunk."""

    def __init__(self, client, request):
        self.head = None
        self.result = client.app(client.environ(client.draft(*request)), self.start)
        self.chunks = iter(self.result)

    def start(self, status, headers, exc_info=None):
        assert self.head is None
        self.head = status, dict(headers)

    def rest(self):
        data = b"".join(self.chunks)
        self.result.close()
        return data


def begun(exchange):
    """Demand that an answer has begun, with blanks that keep coming."""
    status, headers = exchange.head
    assert status == "200 OK"
    assert headers["Content-Type"] == "application/xml"
    assert "Content-Length" not in headers
    assert next(exchange.chunks) == DECLARATION
    assert [next(exchange.chunks) for _ in range(5)] == [b" "] * 5


@pytest.mark.parametrize("method", LENGTHY)
def test_blanks_then_the_document(client, backend, requests, method, logged):
    exchange = Exchange(client, requests[method])
    begun(exchange)
    backend.go.set()
    rest = exchange.rest().lstrip(b" ")
    assert rest.startswith(ROOTS[method])
    assert rest.endswith(ROOTS[method].replace(b"<", b"</").replace(b" ", b">"))
    assert logged == [None]
    assert backend.begun == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (S3Error(Code.PreconditionFailed, Condition="If-Match"), "PreconditionFailed"),
        (KeyError("a bug"), "InternalError"),
    ],
)
@pytest.mark.parametrize("method", LENGTHY)
def test_an_error_after_the_head_is_a_document(client, backend, requests, method, error, code, logged):
    exchange = Exchange(client, requests[method])
    begun(exchange)
    backend.error = error
    backend.go.set()
    rest = exchange.rest().lstrip(b" ")
    assert rest.startswith(b"<Error><Code>" + code.encode() + b"</Code>")
    assert rest.endswith(b"</Error>")
    assert b"a bug" not in rest
    assert logged == [Code[code]]


@pytest.mark.parametrize("method", LENGTHY)
def test_what_is_done_soon_is_answered_as_ever(client, backend, requests, method):
    backend.go.set()
    answer = client.request(*requests[method])
    assert answer.status == 200
    assert answer.body.startswith(DECLARATION + ROOTS[method])


@pytest.mark.parametrize("method", LENGTHY)
def test_what_fails_soon_has_its_status(client, backend, requests, method):
    backend.go.set()
    backend.error = S3Error(Code.PreconditionFailed)
    answer = client.request(*requests[method])
    assert (answer.status, answer.code) == (412, "PreconditionFailed")


@pytest.mark.parametrize(
    ("method", "headers", "body", "status", "code"),
    [
        ("copy_object", {"x-amz-copy-source": "/a-bucket/missing"}, None, 404, "NoSuchKey"),
        ("copy_object", {"x-amz-copy-source": "/missing-bucket/k"}, None, 404, "NoSuchBucket"),
        ("copy_object", {"x-amz-copy-source": "none"}, None, 400, "InvalidArgument"),
        ("copy_object", {"x-amz-copy-source-if-match": '"other"'}, None, 412, "PreconditionFailed"),
        ("copy_object", {"If-Match": '"other"'}, None, 404, "NoSuchKey"),
        ("copy_object", {"x-amz-metadata-directive": "MOVE"}, None, 400, "InvalidArgument"),
        ("upload_part_copy", {"x-amz-copy-source": "/a-bucket/missing"}, None, 404, "NoSuchKey"),
        ("upload_part_copy", {"x-amz-copy-source-range": "bytes=0-9"}, None, 416, "InvalidRange"),
        ("upload_part_copy", {"x-amz-copy-source-range": "bytes=5-1"}, None, 400, "InvalidArgument"),
        ("upload_part_copy", {"x-amz-copy-source-if-none-match": "*"}, None, 412, "PreconditionFailed"),
        ("complete_multipart_upload", {"If-Match": '"other"'}, None, 404, "NoSuchKey"),
        ("complete_multipart_upload", {"x-amz-mp-object-size": "5"}, None, 400, "InvalidRequest"),
        ("complete_multipart_upload", {}, b"<CompleteMultipartUpload/>", 400, "MalformedXML"),
        (
            "complete_multipart_upload",
            {},
            b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>"
            b"</CompleteMultipartUpload>",
            400,
            "InvalidPart",
        ),
    ],
)
def test_what_is_bound_to_fail_has_its_status(client, backend, requests, method, headers, body, status, code):
    verb, target, own, own_body = requests[method]
    answer = client.request(verb, target, {**own, **headers}, own_body if body is None else body)
    assert (answer.status, answer.code) == (status, code)
    assert backend.begun == 0


def test_a_condition_on_what_is_there(client, backend, requests, bucket):
    client.request("PUT", f"/{bucket}/target", body=b"there")
    for method in ("copy_object", "complete_multipart_upload"):
        verb, target, headers, body = requests[method]
        answer = client.request(verb, target, {**headers, "If-None-Match": "*"}, body)
        assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert backend.begun == 0


def test_a_completion_that_is_repeated(client, backend, requests, bucket):
    backend.go.set()
    first, again = (client.request(*requests["complete_multipart_upload"]) for _ in range(2))
    assert (again.status, again.body) == (200, first.body)
    verb, target, headers, body = requests["complete_multipart_upload"]
    answer = client.request(verb, target.replace("uploadId=", "uploadId=f"), headers, body)
    assert (answer.status, answer.code) == (404, "NoSuchUpload")


def test_the_work_outlives_a_client_that_leaves(client, backend, requests, bucket):
    exchange = Exchange(client, requests["copy_object"])
    begun(exchange)
    exchange.result.close()
    backend.go.set()
    until = time.monotonic() + 10
    while client.request("HEAD", f"/{bucket}/target").status != 200:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert client.request("GET", f"/{bucket}/target").body == b"data"


def test_a_storage_that_is_quick_needs_no_thread(credentials_file, tmp_path):
    config = load(["--data", str(tmp_path), "--credentials", str(credentials_file)], {})
    app = create_app(config, MemoryBackend())
    app.service.patience = -1.0
    client = Client(app, *MAIN)
    client.request("PUT", "/a-bucket")
    client.request("PUT", "/a-bucket/k", body=b"x")
    answer = client.request("PUT", "/a-bucket/copy", {"x-amz-copy-source": "/a-bucket/k"})
    assert answer.headers["content-length"] == str(len(answer.body))
