"""Twenty requests by which S3 servers lose data or say that they did what they did not, on both storages.

Each row is one that some server in use answers with 200 and a changed object, a copy that nobody asked for,
framing in the object, a promise that it does not keep, or a 500.
"""

import hashlib
from urllib.parse import quote, unquote

import pytest

from s3shim.backends.local import LocalBackend
from s3shim.backends.memory import MemoryBackend
from s3shim.config import load
from s3shim.wsgi import create_app
from tests.wire.chunks import UNSIGNED_TRAILER, Framed, crc32, framed
from tests.wire.conftest import MAIN
from tests.wire.fenced import Fenced

ANNOTATION = b"an annotation"
ENCRYPTION = b"<ObjectEncryption><SSES3/></ObjectEncryption>"
POLICY = (
    b'{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",'
    b'"Resource":"arn:aws:s3:::full-bucket/*","Condition":{"IpAddress":{"aws:SourceIp":"10.99.0.0/16"}}}]}'
)
OBJECT = "/full-bucket/small"

# What is not done is refused, and the store is as it was: (method, target, headers, body, status, code).
REFUSED = {
    "put if there is none": ("PUT", OBJECT, {"If-None-Match": "*"}, b"two", 412, "PreconditionFailed"),
    "put if another is there": ("PUT", OBJECT, {"If-Match": '"x"'}, b"two", 412, "PreconditionFailed"),
    "delete if another is there": ("DELETE", OBJECT, {"If-Match": '"x"'}, b"", 412, "PreconditionFailed"),
    "append elsewhere": ("PUT", OBJECT, {"x-amz-write-offset-bytes": "3"}, b"two", 400, "InvalidWriteOffset"),
    "annotation": (
        "PUT", f"{OBJECT}?annotation&annotationName=n", {}, ANNOTATION, 501, "NotImplemented",
    ),
    "encrypt what is there": ("PUT", f"{OBJECT}?encryption", {}, ENCRYPTION, 501, "NotImplemented"),
    "rename onto another": (
        "PUT", "/full-bucket/large?renameObject", {"x-amz-rename-source": OBJECT, "If-None-Match": "*"}, b"",
        412, "PreconditionFailed",
    ),
    "legal hold": ("PUT", OBJECT, {"x-amz-object-lock-legal-hold": "ON"}, b"two", 501, "NotImplemented"),
    "encryption by KMS": (
        "PUT", OBJECT, {"x-amz-server-side-encryption": "aws:kms"}, b"two", 501, "NotImplemented",
    ),
    "public": ("PUT", OBJECT, {"x-amz-acl": "public-read"}, b"two", 400, "AccessControlListNotSupported"),
    "wrong checksum": ("PUT", OBJECT, {"x-amz-checksum-crc32": "AAAAAA=="}, b"two", 400, "BadDigest"),
    "policy with a condition": ("PUT", "/full-bucket?policy", {}, POLICY, 501, "NotImplemented"),
}  # fmt: skip


@pytest.mark.parametrize("row", REFUSED.values(), ids=REFUSED)
def test_refused(fenced, row):
    method, target, headers, body, status, code = row
    answer = fenced.client.request(method, target, headers, body)
    assert (answer.status, answer.code) == (status, code)
    assert fenced.digest() == fenced.before


def test_a_wrong_trailing_checksum(fenced):
    body = Framed(UNSIGNED_TRAILER, [b"two"], [("x-amz-checksum-crc32", crc32(b"other"))])
    answer = fenced.client.send(framed(fenced.client, OBJECT, body))
    assert (answer.status, answer.code) == (400, "BadDigest")
    assert fenced.digest() == fenced.before


def test_nobody_reads_by_a_policy_that_was_refused(fenced):
    for _ in range(2):
        answer = fenced.client.request("GET", OBJECT, sign=False)
        assert (answer.status, answer.code) == (403, "AccessDenied")
        fenced.client.request("PUT", "/full-bucket?policy", {}, POLICY)


@pytest.fixture(params=["memory", "local"])
def service(request, credentials_file, tmp_path, reach):
    """A fresh client of a service on each storage, which holds what ``Fenced`` puts there."""
    memory = request.param == "memory"
    backend = MemoryBackend() if memory else LocalBackend(tmp_path / "store", inline_max=1000)
    config = load(["--data", str(tmp_path), "--credentials", str(credentials_file)], {})
    client = reach(create_app(config, backend), *MAIN)
    Fenced(backend, client)
    yield client
    backend.close()


def test_tagging_tags(service):
    tags = b"<Tagging><TagSet><Tag><Key>b</Key><Value>c</Value></Tag></TagSet></Tagging>"
    assert service.request("PUT", f"{OBJECT}?tagging", body=tags).status == 200
    assert service.request("GET", OBJECT).body == b"small"
    found = service.request("GET", f"{OBJECT}?tagging").xml()
    assert [tag.text for tag in found.iter() if tag.text and tag.text.strip()] == ["b", "c"]


def test_a_right_trailing_checksum(service):
    body = Framed(UNSIGNED_TRAILER, [b"two"], [("x-amz-checksum-crc32", crc32(b"two"))])
    assert service.send(framed(service, OBJECT, body)).status == 200
    found = service.request("GET", OBJECT, {"x-amz-checksum-mode": "ENABLED"})
    assert (found.body, found.headers["x-amz-checksum-crc32"]) == (b"two", crc32(b"two"))


def test_attributes(service):
    wanted = {"x-amz-object-attributes": "ETag,ObjectSize,Checksum,StorageClass"}
    answer = service.request("GET", f"{OBJECT}?attributes", wanted)
    assert answer.status == 200
    assert answer.xml().findtext("{*}ETag") == hashlib.md5(b"small").hexdigest()
    assert answer.xml().findtext("{*}ObjectSize") == "5"
    assert answer.xml().findtext("{*}StorageClass") == "STANDARD"
    assert answer.xml().findtext("{*}Checksum/{*}ChecksumCRC64NVME")


def test_the_etag_is_the_md5(service):
    answer = service.request("PUT", OBJECT, body=b"two")
    assert answer.headers["etag"] == f'"{hashlib.md5(b"two").hexdigest()}"'
    assert service.request("HEAD", OBJECT).headers["etag"] == answer.headers["etag"]


def spelled(key):
    return quote(key, safe="/")


ODD = [
    "a",
    "a/b",
    "a//b",
    "a/../b",
    "a/./b",
    "/lead",
    "//lead",
    "trail/",
    "\x01",
    "b ?#%41+&=",
    ".",
    "..",
    "~",
]
ODD += ["B", "é", "e\u0301", "\ue000", "\U00010000"]


def test_keys_are_kept_and_listed_as_written_in_byte_order(service):
    assert service.request("PUT", "/odd-bucket").status == 200
    for key in ODD:
        assert service.request("PUT", f"/odd-bucket/{spelled(key)}", body=key.encode()).status == 200
    for key in ODD:
        assert service.request("GET", f"/odd-bucket/{spelled(key)}").body == key.encode()
    listed = service.request("GET", "/odd-bucket?list-type=2&encoding-type=url").xml()
    found = [key.text for key in listed.findall("{*}Contents/{*}Key")]
    assert [unquote(key) for key in found] == sorted(ODD, key=str.encode)
    assert service.request("GET", "/odd-bucket?list-type=2").status == 200


def test_a_bucket_with_dots(service):
    assert service.request("PUT", "/my.dotted.bucket").status == 200
    assert service.request("PUT", "/my.dotted.bucket/key", body=b"one").status == 200
    assert service.request("GET", "/my.dotted.bucket/key").body == b"one"
    assert b"<Name>my.dotted.bucket</Name>" in service.request("GET", "/").body
