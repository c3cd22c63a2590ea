"""PutObject with x-amz-write-offset-bytes over the wire: exact statuses and headers."""

import hashlib

import pytest

from tests.contract.bodies import checksum

OLD, NEW = b"old bytes", b"and new ones"
OFFSET = "x-amz-write-offset-bytes"


def append(client, bucket, offset, body=NEW, headers=()):
    return client.request("PUT", f"/{bucket}/k", {OFFSET: str(offset), **dict(headers)}, body)


@pytest.fixture
def there(client, bucket):
    """An object with metadata; its bucket."""
    headers = {"x-amz-meta-a": "1", "Content-Type": "text/a", "x-amz-tagging": "t=1"}
    assert client.request("PUT", f"/{bucket}/k", headers, OLD).status == 200
    return bucket


def md5(data):
    return hashlib.md5(data).digest()


def test_an_append(client, there):
    answer = append(client, there, len(OLD), headers={"Content-Type": "text/b"})
    assert (answer.status, answer.body) == (200, b"")
    etag = f'"{md5(md5(OLD) + md5(NEW)).hex()}-2"'
    assert answer.headers["etag"] == etag
    assert answer.headers["x-amz-object-size"] == str(len(OLD + NEW))
    assert answer.headers["x-amz-checksum-crc64nvme"] == checksum("crc64nvme", OLD + NEW)
    assert answer.headers["x-amz-checksum-type"] == "FULL_OBJECT"
    shown = client.request("GET", f"/{there}/k", {"x-amz-checksum-mode": "ENABLED"})
    assert shown.body == OLD + NEW
    assert (shown.headers["etag"], shown.headers["content-type"]) == (etag, "text/a")
    assert (shown.headers["x-amz-meta-a"], shown.headers["x-amz-tagging-count"]) == ("1", "1")
    assert shown.headers["x-amz-checksum-crc64nvme"] == checksum("crc64nvme", OLD + NEW)
    part = client.request("GET", f"/{there}/k?partNumber=2")
    assert (part.status, part.body, part.headers["x-amz-mp-parts-count"]) == (206, NEW, "2")


@pytest.mark.parametrize("algorithm", ["crc32", "sha256"])
def test_the_checksum_that_comes_with_the_bytes_is_verified(client, there, algorithm):
    name = f"x-amz-checksum-{algorithm}"
    wrong = append(client, there, len(OLD), headers={name: checksum(algorithm, OLD)})
    assert (wrong.status, wrong.code) == (400, "BadDigest")
    right = append(client, there, len(OLD), headers={name: checksum(algorithm, NEW)})
    assert right.headers["x-amz-checksum-crc64nvme"] == checksum("crc64nvme", OLD + NEW)
    assert client.request("GET", f"/{there}/k").body == OLD + NEW


@pytest.mark.parametrize(
    ("offset", "headers", "body", "status", "code"),
    [
        (0, {}, NEW, 400, "InvalidWriteOffset"),
        (8, {}, NEW, 400, "InvalidWriteOffset"),
        (10, {}, NEW, 400, "InvalidWriteOffset"),
        (10**17, {}, NEW, 400, "InvalidWriteOffset"),
        ("", {}, NEW, 400, "InvalidArgument"),
        ("-9", {}, NEW, 400, "InvalidArgument"),
        ("+9", {}, NEW, 400, "InvalidArgument"),
        ("9.0", {}, NEW, 400, "InvalidArgument"),
        ("1" * 19, {}, NEW, 400, "InvalidArgument"),
        (9, {}, b"", 400, "InvalidRequest"),
        (9, {"x-amz-meta-a": "2"}, NEW, 400, "InvalidRequest"),
        (9, {"x-amz-tagging": "a=b"}, NEW, 400, "InvalidRequest"),
        (9, {"Cache-Control": "no-store"}, NEW, 400, "InvalidRequest"),
        (9, {"If-Match": '"other"'}, NEW, 412, "PreconditionFailed"),
        (9, {"If-None-Match": "*"}, NEW, 412, "PreconditionFailed"),
        (9, {"Content-Length": "100"}, NEW, 400, "IncompleteBody"),
        (9, {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, NEW, 400, "BadDigest"),
    ],
)
def test_refusals(client, there, offset, headers, body, status, code):
    answer = append(client, there, offset, body, headers)
    assert (answer.status, answer.code) == (status, code)
    if code == "InvalidWriteOffset":
        assert (answer.detail("ObjectSize"), answer.detail("WriteOffset")) == ("9", str(offset))
    assert client.request("GET", f"/{there}/k").body == OLD


def test_an_object_begins_at_zero(client, bucket):
    missing = append(client, bucket, 1)
    assert (missing.status, missing.code) == (400, "InvalidWriteOffset")
    begun = append(client, bucket, 0, OLD, {"x-amz-meta-a": "1", "If-None-Match": "*"})
    assert begun.headers["etag"] == f'"{md5(OLD).hex()}"'
    assert begun.headers["x-amz-object-size"] == "9"
    assert append(client, bucket, 9, NEW, {"If-Match": begun.headers["etag"]}).status == 200
    assert client.request("HEAD", f"/{bucket}/k").headers["x-amz-meta-a"] == "1"


@pytest.mark.parametrize("target", ["?uploadId=1&partNumber=1", "?tagging", "?acl"])
def test_other_operations_do_not_take_an_offset(client, there, target):
    answer = client.request("PUT", f"/{there}/k{target}", {OFFSET: "9"}, NEW)
    assert (answer.status, answer.code) == (501, "NotImplemented")
    copy = client.request("PUT", f"/{there}/k", {OFFSET: "9", "x-amz-copy-source": f"/{there}/k"})
    assert (copy.status, copy.code) == (501, "NotImplemented")
    assert client.request("GET", f"/{there}/k").body == OLD
