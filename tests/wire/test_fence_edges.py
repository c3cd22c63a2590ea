"""What is refused for other reasons than the service model's: by raw signed requests on both storages."""

from hashlib import sha256
from io import BytesIO
from urllib.parse import quote

import pytest

from s3shim.routes.table import TABLE
from tests.model_requests import target_of
from tests.wire.client import Client
from tests.wire.conftest import MAIN, OTHER
from tests.wire.fenced import ACL, OPERATIONS, SOURCE, STATUS, WRITES


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize(("header", "value"), [("x-amz-tagging", "a=b"), ("x-amz-copy-source", SOURCE)])
def test_a_header_that_is_not_signed(fenced, name, header, value):
    method, target, headers, body = fenced.request_for(name)
    if header in dict(headers):
        headers.remove((header, value))
    presigned = fenced.client.presign(method, target, headers)
    for answer in (
        fenced.client.request(method, presigned, [*headers, (header, value)], body, sign=False),
        fenced.client.request(
            method, target, headers, body, mutate=lambda draft: draft.headers.append((header, value))
        ),
        fenced.client.request(method, f"{presigned}&{header}={quote(value)}", headers, body, sign=False),
    ):
        assert (answer.status, answer.code) in ((403, "AccessDenied"), (403, "SignatureDoesNotMatch"))
        assert fenced.digest() == fenced.before


@pytest.mark.parametrize("name", WRITES)
def test_headers_that_no_model_knows(fenced, name):
    odd = ["If-Modified-Since", "If-Range", "if_match", "x_amz_acl", "x-amz_meta-a", "Content-Range"]
    honoured = (
        {member.wire for member in OPERATIONS[name].members.values()} if name == "RenameObject" else set()
    )
    for header in [*odd, "x_amz_copy_source", "x-amz-copy_source", "x_amz_tagging"]:
        if header.lower() in honoured:
            fenced.refuses(name, "InvalidArgument", [(header, "bytes 0-1/2")])
            continue
        answer = fenced.refuses(name, "NotImplemented", [(header, "bytes 0-1/2")])
        assert answer.detail("Header") == header.lower()


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("if_match", "STANDARD"),
        ("x_amz_storage_class", "STANDARD"),
        ("x-amz_acl", "STANDARD"),
        ("x-amz_meta-a", "STANDARD"),
        ("x_amz_copy_source", SOURCE),
        ("x-amz-copy_source", SOURCE),
        ("x_amz_tagging", "a=b"),
    ],
)
def test_a_server_that_cannot_tell_the_spellings(fenced, header, value):
    client = Client(fenced.client.app, *MAIN, raw_headers=False)
    answer = client.request("PUT", "/full-bucket/small", {header: value}, b"changed")
    assert answer.status in (400, 501)
    assert fenced.digest() == fenced.before


@pytest.mark.parametrize("name", WRITES)
def test_bad_queries(fenced, name):
    bucket = "full-bucket" if name == "CreateBucket" else None
    for query in ([("a", "1"), ("a", "2")], [("policy", ""), ("tagging", "")], [("acl", "1"), ("acl", "")]):
        target = bucket and target_of(OPERATIONS[name], query, bucket)
        fenced.refuses(name, "InvalidArgument", query=query, target=target)
    if OPERATIONS[name].selector == "uploadId":
        again = ("uploadId", fenced.upload_id)
        fenced.refuses(name, "InvalidArgument", query=[again, again])


@pytest.mark.parametrize("method", ["PATCH", "POST", "LOCK"])
def test_methods(fenced, method):
    answer = fenced.client.request(method, "/full-bucket/small", body=b"changed")
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PUT, OPTIONS"
    assert fenced.digest() == fenced.before


class Untouched(BytesIO):
    """A body that must not be read."""

    def read(self, *_size):
        raise AssertionError("the body was read")

    readline = readinto = read


@pytest.mark.parametrize(
    ("target", "headers", "code"),
    [
        ("/full-bucket/small?unheard-of", {}, "NotImplemented"),
        ("/full-bucket/small?annotation&annotationName=a", {}, "NotImplemented"),
        ("/full-bucket/small?encryption", {}, "NotImplemented"),
        ("/full-bucket/small", {"x-amz-write-offset-bytes": "4"}, "InvalidWriteOffset"),
        ("/full-bucket/small", {"x-amz-write-offset-bytes": "5.0"}, "InvalidArgument"),
        ("/full-bucket/small?renameObject", {}, "InvalidArgument"),
        ("/full-bucket/small", {"x-amz-object-lock-legal-hold": "ON"}, "NotImplemented"),
        ("/full-bucket/small", {"x-amz-acl": "public-read"}, ACL),
        ("/full-bucket/small?uploadId=1&partNumber=1", {"If-None-Match": "*"}, "NotImplemented"),
        ("/full-bucket/small?uploadId=1&partNumber=0", {}, "InvalidArgument"),
        ("/full-bucket/small?uploadId=1&partNumber=1", {}, "NoSuchUpload"),
        ("/full-bucket/small", {"x-amz-copy-source": "none"}, "InvalidArgument"),
        ("/full-bucket/small", {"x-amz-tagging": "aws:a=b"}, "InvalidTag"),
        ("/full-bucket/small?acl&policy", {}, "InvalidArgument"),
        ("/new-bucket?unheard-of", {}, "NotImplemented"),
    ],
)
def test_a_refused_body_is_not_read(fenced, target, headers, code):
    headers = {**headers, "Content-Length": "7", "Expect": "100-continue"}
    answer = fenced.client.request(
        "PUT", target, headers, Untouched(), payload=sha256(b"changed").hexdigest()
    )
    assert (answer.status, answer.code) == (STATUS.get(code, 400), code)
    assert fenced.digest() == fenced.before


def test_another_accounts_bucket_tells_nothing(fenced):
    stranger = fenced.client.as_user(*OTHER)
    for row in TABLE:
        if row.scope != "service" and row.name != "CreateBucket":
            answer = stranger.request(*fenced.request_for(row.name))
            assert answer.status == 403, row.name
            assert row.method == "HEAD" or answer.code == "AccessDenied", row.name
    for method, target in (
        ("PUT", "/full-bucket/small?unheard-of"),
        ("PUT", "/full-bucket?unheard-of"),
        ("PUT", "/full-bucket?policy"),
        ("POST", "/full-bucket/small"),
        ("DELETE", "/full-bucket?unheard-of"),
        ("GET", "/full-bucket?policy"),
        ("GET", "/full-bucket?acl&policy"),
    ):
        answer = stranger.request(method, target)
        assert (answer.status, answer.code) == (403, "AccessDenied"), target
    assert fenced.client.request("PUT", "/full-bucket/small?unheard-of", sign=False).code == "AccessDenied"
    assert fenced.digest() == fenced.before


@pytest.mark.parametrize("row", [row for row in TABLE if row.scope != "service"], ids=lambda row: row.name)
def test_another_expected_owner(fenced, row):
    fenced.refuses(row.name, "AccessDenied", [("x-amz-expected-bucket-owner", "other")])
    if "ExpectedSourceBucketOwner" in row.honours:
        fenced.refuses(row.name, "AccessDenied", [("x-amz-source-expected-bucket-owner", "other")])


def test_presigned_items_count_as_headers(client, bucket):
    items = {
        "x-amz-meta-colour": "blue",
        "x-amz-storage-class": "STANDARD",
        "x-amz-acl": "private",
        "x-id": "PutObject",
    }
    query = "&".join(f"{name}={quote(value)}" for name, value in items.items())
    target = client.presign("PUT", f"/{bucket}/key?{query}")
    assert client.request("PUT", target, body=b"body", sign=False).status == 200
    assert client.request("HEAD", f"/{bucket}/key").headers["x-amz-meta-colour"] == "blue"
