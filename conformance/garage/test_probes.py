"""The requests by which S3 servers lose data, by boto3 and raw, over Garage, which loses it by some of them.

After each the object is what it was: for s3shim's clients, and for those of Garage itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import pytest
from botocore.exceptions import ClientError

from conformance.garage.node import Garage
from conformance.garage.scene import contents, raw_client_of, raw_direct, uploads
from tests.server.process import Server
from tests.wire.client import LiveClient
from tests.wire.test_probes import (
    OBJECT,
    ODD,
    POLICY,
    REFUSED,
    spelled,
    test_a_bucket_with_dots,
    test_a_right_trailing_checksum,
    test_a_wrong_trailing_checksum,
    test_attributes,
    test_nobody_reads_by_a_policy_that_was_refused,
    test_tagging_tags,
    test_the_etag_is_the_md5,
)

__all__ = [
    "test_a_bucket_with_dots",
    "test_a_right_trailing_checksum",
    "test_a_wrong_trailing_checksum",
    "test_attributes",
    "test_nobody_reads_by_a_policy_that_was_refused",
    "test_tagging_tags",
    "test_the_etag_is_the_md5",
]

BUCKET = "full-bucket"
AT = {"Bucket": BUCKET, "Key": "small"}


@dataclass
class Held:
    """What is at Garage, held against what it was: ``digest`` is compared with ``before``."""

    client: LiveClient
    behind: Any
    before: Any = None

    def digest(self) -> Any:
        """Return all that is at Garage, and the object as s3shim serves it."""
        served = self.client.request("GET", "/full-bucket/small", {"x-amz-checksum-mode": "ENABLED"})
        kept = [line for line in served.headers.lines if line[0].lower() not in OF_AN_ANSWER]
        return contents(self.behind), uploads(self.behind), served.body, kept


OF_AN_ANSWER = {"date", "x-amz-request-id", "x-amz-id-2"}


@pytest.fixture
def service(server: Server) -> Iterator[LiveClient]:
    """A raw client of s3shim over Garage; ``small`` and ``large`` are as they are at first."""
    raw = raw_client_of(server)
    assert raw.request("PUT", f"/{BUCKET}").status in (200, 409)
    for key, body in (("small", b"small"), ("large", b"l" * 9000)):
        headers = {"x-amz-meta-key": key, "x-amz-tagging": f"key={key}"}
        assert raw.request("PUT", f"/{BUCKET}/{key}", headers, body).status == 200
    yield raw
    raw.close()


@pytest.fixture
def fenced(service: LiveClient, behind: Any) -> Held:
    """The same with all that Garage holds, which may not change."""
    held = Held(service, behind)
    held.before = held.digest()
    assert held.before[0][BUCKET, "small"][0] == held.before[2] == b"small"
    return held


# Over another S3 nothing is appended and nothing renamed, which is said before conditions are looked at.
NOT_DONE = 501, "NotImplemented"
RAW = {
    name: (*row[:4], *NOT_DONE) if name in ("append elsewhere", "rename onto another") else row
    for name, row in REFUSED.items()
}
RAW["append"] = "PUT", OBJECT, {"x-amz-write-offset-bytes": "5"}, b"two", *NOT_DONE
RAW["rename"] = "PUT", "/full-bucket/new?renameObject", {"x-amz-rename-source": OBJECT}, b"", *NOT_DONE


@pytest.mark.parametrize("row", RAW.values(), ids=RAW)
def test_refused(fenced: Held, row: tuple[str, str, dict[str, str], bytes, int, str]) -> None:
    method, target, headers, body, status, code = row
    answer = fenced.client.request(method, target, headers, body)
    assert (answer.status, answer.code) == (status, code)
    assert fenced.digest() == fenced.before


def test_garage_itself_would_lose_it(fenced: Held, node: Garage) -> None:
    """What the other tests look for is found where it happens."""
    alone = raw_direct(node)
    answer = alone.request("PUT", f"{OBJECT}?annotation&annotationName=n", body=b"an annotation")
    alone.close()
    assert answer.status == 200
    assert fenced.digest() != fenced.before


# What boto3 says, and the code by which it is refused.
CALLS: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "put if there is none": ("put_object", {"IfNoneMatch": "*", "Body": b"2"}, 412, "PreconditionFailed"),
    "put if another is there": ("put_object", {"IfMatch": '"x"', "Body": b"2"}, 412, "PreconditionFailed"),
    "delete if another is there": ("delete_object", {"IfMatch": '"x"'}, 412, "PreconditionFailed"),
    "append": ("put_object", {"WriteOffsetBytes": 5, "Body": b"2"}, *NOT_DONE),
    "annotation": (
        "put_object_annotation",
        {"AnnotationName": "n", "AnnotationPayload": b"an annotation"},
        501,
        "NotImplemented",
    ),
    "encrypt what is there": (
        "update_object_encryption",
        {"ObjectEncryption": {"SSEKMS": {"KMSKeyArn": "arn:aws:kms:us-east-1:1:key/k"}}},
        501,
        "NotImplemented",
    ),
    "rename": ("rename_object", {"Key": "new", "RenameSource": f"/{BUCKET}/small"}, *NOT_DONE),
    "legal hold": ("put_object", {"ObjectLockLegalHoldStatus": "ON", "Body": b"2"}, 501, "NotImplemented"),
    "encryption by KMS": (
        "put_object",
        {"ServerSideEncryption": "aws:kms", "Body": b"2"},
        501,
        "NotImplemented",
    ),
    "public": ("put_object", {"ACL": "public-read", "Body": b"2"}, 400, "AccessControlListNotSupported"),
    "wrong checksum": ("put_object", {"ChecksumCRC32": "AAAAAA==", "Body": b"2"}, 400, "BadDigest"),
    "website redirect": (
        "put_object",
        {"WebsiteRedirectLocation": "/x", "Body": b"2"},
        501,
        "NotImplemented",
    ),
    "policy with a condition": ("put_bucket_policy", {"Policy": POLICY.decode()}, 501, "NotImplemented"),
}


@pytest.mark.parametrize("row", CALLS.values(), ids=CALLS)
def test_refused_to_boto3(fenced: Held, through: Any, row: tuple[str, dict[str, Any], int, str]) -> None:
    method, given, status, code = row
    at = {"Bucket": BUCKET} if method == "put_bucket_policy" else AT
    call: Callable[..., Any] = getattr(through, method)
    with pytest.raises(ClientError) as refused:
        call(**{**at, **given})
    answer = refused.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (status, code)
    assert fenced.digest() == fenced.before


def test_tags_leave_the_bytes_at_garage_alone(service: LiveClient, through: Any, behind: Any) -> None:
    etag = through.put_object(**AT, Body=b"one")["ETag"]
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    through.put_object_tagging(**AT, Tagging=tags)
    assert through.get_object_tagging(**AT)["TagSet"] == tags["TagSet"]
    for s3 in (through, behind):
        found = s3.get_object(**AT)
        assert (found["Body"].read(), found["ETag"]) == (b"one", etag)


def test_a_condition_that_holds(service: LiveClient, through: Any, behind: Any) -> None:
    etag = through.put_object(**AT, Body=b"one")["ETag"]
    through.put_object(**AT, Body=b"two", IfMatch=etag)
    assert behind.get_object(**AT)["Body"].read() == b"two"
    through.delete_object(**AT, IfMatch=through.head_object(**AT)["ETag"])
    through.put_object(**AT, Body=b"three", IfNoneMatch="*")
    assert behind.get_object(**AT)["Body"].read() == b"three"


ALTERED = [key for key in ODD if key.startswith("/")]


def test_keys_are_kept_as_written_or_refused(service: LiveClient, behind: Any) -> None:
    assert service.request("PUT", "/odd-bucket").status == 200
    for key in ODD:
        answer = service.request("PUT", f"/odd-bucket/{spelled(key)}", body=key.encode())
        if key in ALTERED:
            assert (answer.status, answer.code) == (400, "InvalidArgument")
        else:
            assert answer.status == 200
    kept = sorted(set(ODD) - set(ALTERED), key=str.encode)
    for key in ODD:
        answer = service.request("GET", f"/odd-bucket/{spelled(key)}")
        if key in ALTERED:
            assert (answer.status, answer.code) == (404, "NoSuchKey")
        else:
            assert answer.body == key.encode()
    found = service.request("GET", "/odd-bucket?list-type=2&encoding-type=url").xml()
    assert [unquote(key.text or "") for key in found.findall("{*}Contents/{*}Key")] == kept
    page = behind.list_objects_v2(Bucket="odd-bucket", EncodingType="url")
    assert [unquote(entry["Key"]) for entry in page["Contents"]] == kept
