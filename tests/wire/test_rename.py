"""RenameObject over the wire: exact statuses and headers."""

import hashlib

import boto3
import pytest

from tests.wire.conftest import MAIN

DATA = b"0123456789"
ETAG = f'"{hashlib.md5(DATA).hexdigest()}"'
OLD, NEW = "Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"


@pytest.fixture
def source(client, bucket):
    """The key of an object, as a header has it."""
    headers = {"Content-Type": "text/a", "x-amz-meta-a": "1", "x-amz-tagging": "t=1"}
    assert client.request("PUT", f"/{bucket}/a%20%2Bb", headers, DATA).status == 200
    return "a%20%2Bb"


def rename(client, target, source, headers=()):
    return client.request("PUT", f"{target}?renameObject", {"x-amz-rename-source": source, **dict(headers)})


def test_a_rename_moves_all_of_it(client, bucket, source):
    before = client.request("HEAD", f"/{bucket}/{source}").headers
    for number, sent in enumerate((f"/{bucket}/{source}", f"{bucket}/{source}", f"/{source}", source)):
        answer = rename(client, f"/{bucket}/k{number}", sent)
        assert (answer.status, answer.body) == (200, b"")
        assert sorted(answer.headers) == [
            "content-length",
            "server",
            "x-amz-id-2",
            "x-amz-request-id",
            "x-content-type-options",
        ]
        shown = client.request("GET", f"/{bucket}/k{number}")
        assert shown.body == DATA
        for name in ("etag", "last-modified", "content-type", "x-amz-meta-a", "x-amz-tagging-count"):
            assert shown.headers[name] == before[name]
        assert client.request("GET", f"/{bucket}/{source}").code == "NoSuchKey"
        assert rename(client, f"/{bucket}/{source}", f"/{bucket}/k{number}").status == 200


@pytest.mark.parametrize(
    ("headers", "status", "condition"),
    [
        ({"x-amz-rename-source-if-match": ETAG}, 200, None),
        ({"x-amz-rename-source-if-match": '"other"'}, 412, "If-Match"),
        ({"x-amz-rename-source-if-none-match": '"other"'}, 200, None),
        ({"x-amz-rename-source-if-none-match": "*"}, 412, None),
        ({"x-amz-rename-source-if-modified-since": OLD}, 200, None),
        ({"x-amz-rename-source-if-modified-since": NEW}, 412, None),
        ({"x-amz-rename-source-if-unmodified-since": NEW}, 200, None),
        ({"x-amz-rename-source-if-unmodified-since": OLD}, 412, "If-Unmodified-Since"),
        ({"If-Match": ETAG}, 412, "If-Match"),
        ({"If-Match": f'"{hashlib.md5(b"there").hexdigest()}"'}, 200, None),
        ({"If-None-Match": "*"}, 412, "If-None-Match"),
        ({"If-Modified-Since": OLD}, 200, None),
        ({"If-Modified-Since": NEW}, 412, "If-Modified-Since"),
        ({"If-Unmodified-Since": NEW}, 200, None),
        ({"If-Unmodified-Since": OLD}, 412, "If-Unmodified-Since"),
    ],
)
def test_conditions(client, bucket, source, headers, status, condition):
    client.request("PUT", f"/{bucket}/k", body=b"there")
    answer = rename(client, f"/{bucket}/k", source, headers)
    assert answer.status == status
    if status == 200:
        assert client.request("GET", f"/{bucket}/k").body == DATA
        return
    assert answer.code == "PreconditionFailed"
    assert answer.detail("Condition") == condition
    assert client.request("GET", f"/{bucket}/k").body == b"there"
    assert client.request("GET", f"/{bucket}/{source}").body == DATA


@pytest.mark.parametrize(
    ("source", "headers", "status", "code"),
    [
        (None, {}, 400, "InvalidArgument"),
        ("", {}, 400, "InvalidArgument"),
        ("/", {}, 400, "InvalidArgument"),
        ("/a-bucket/", {}, 400, "InvalidArgument"),
        ("%ff", {}, 400, "InvalidArgument"),
        ("%zz", {}, 400, "InvalidArgument"),
        ("k", {}, 400, "InvalidRequest"),
        ("/a-bucket/k", {}, 400, "InvalidRequest"),
        ("a" * 1025, {}, 400, "KeyTooLongError"),
        ("missing", {}, 404, "NoSuchKey"),
        ("/other-bucket/a", {}, 404, "NoSuchKey"),
        ("missing", {"x-amz-rename-source-if-none-match": "*"}, 404, "NoSuchKey"),
        ("a", {"If-None-Match": '"tag"'}, 501, "NotImplemented"),
        ("a", {"If-Match": '"tag"'}, 404, "NoSuchKey"),
        ("a", {"If-Modified-Since": "yesterday"}, 400, "InvalidArgument"),
        ("a", {"If-Unmodified-Since": ""}, 400, "InvalidArgument"),
        ("a", {"x-amz-rename-source-if-modified-since": "yesterday"}, 400, "InvalidArgument"),
        ("a", {"x-amz-rename-source-if-match": ""}, 412, "PreconditionFailed"),
        ("a", {"x-amz-client-token": ""}, 400, "InvalidArgument"),
        ("a", {"x-amz-client-token": "t" * 65}, 400, "InvalidArgument"),
        ("a", {"x-amz-client-token": "a b"}, 400, "InvalidArgument"),
        ("a", {"x-amz-expected-bucket-owner": "other"}, 403, "AccessDenied"),
        ("a", {"x-amz-meta-a": "1"}, 501, "NotImplemented"),
        ("a", {"x-amz-copy-source": "/a-bucket/a"}, 501, "NotImplemented"),
    ],
)
def test_refusals(client, bucket, source, headers, status, code):
    client.request("PUT", f"/{bucket}/a", body=b"x")
    lines = headers if source is None else {"x-amz-rename-source": source, **headers}
    answer = client.request("PUT", f"/{bucket}/k?renameObject", lines)
    assert (answer.status, answer.code) == (status, code)
    keys = client.request("GET", f"/{bucket}").xml().findall("{*}Contents/{*}Key")
    assert [key.text for key in keys] == ["a"]


def test_a_token_makes_a_retry_succeed(client, bucket, source):
    token = {"x-amz-client-token": "one", "If-None-Match": "*"}
    for _ in range(2):
        assert rename(client, f"/{bucket}/k", source, token).status == 200
    other = rename(client, f"/{bucket}/k", "other", token)
    assert (other.status, other.code) == (400, "IdempotencyParameterMismatch")
    assert rename(client, f"/{bucket}/k", source).code == "NoSuchKey"


def test_another_account(stranger, client, bucket, source):
    assert rename(stranger, f"/{bucket}/k", source).code == "AccessDenied"
    assert client.request("GET", f"/{bucket}/{source}").body == DATA
    assert rename(client, "/missing-bucket/k", source).code == "NoSuchBucket"


def test_botocore_sends_what_is_understood(client, bucket, source):
    """What it sends is taken over header by header: the token is one that it makes itself."""
    sent = []
    s3 = boto3.client(
        "s3",
        endpoint_url="http://s3.example:9000",
        region_name="us-east-1",
        aws_access_key_id=MAIN[0],
        aws_secret_access_key=MAIN[1],
    )

    def catch(request, **_):
        sent.append(request)
        raise InterruptedError

    s3.meta.events.register("before-send.s3.RenameObject", catch)
    with pytest.raises(InterruptedError):
        s3.rename_object(
            Bucket=bucket, Key="k", RenameSource=f"{bucket}/{source}", DestinationIfNoneMatch="*"
        )
    headers = {name: value for name, value in sent[0].headers.items() if name.lower() != "authorization"}
    headers = {name: value.decode() if isinstance(value, bytes) else value for name, value in headers.items()}
    assert headers["x-amz-client-token"]
    kept = {
        name: value
        for name, value in headers.items()
        if name.lower().startswith(("x-amz-rename", "x-amz-client", "if-"))
    }
    target = sent[0].url.removeprefix("http://s3.example:9000")
    assert client.request("PUT", target, kept).status == 200
    assert client.request("GET", f"/{bucket}/k").body == DATA
