"""boto3: objects, listings, conditions and tags; multipart.py has the rest of the suite."""

from __future__ import annotations

import urllib.request
from typing import Any

from conformance import trees
from conformance.cases import Context, Suite, refused
from conformance.server import ALT

SUITE = Suite("boto3", seconds=180)


def made(context: Context, suffix: str = "") -> tuple[Any, str]:
    """Make a bucket; return a client and the bucket's name."""
    client = context.client()
    client.create_bucket(Bucket=context.bucket + suffix)
    return client, context.bucket + suffix


def body_of(client: Any, bucket: str, key: str, **more: Any) -> bytes:
    """Return the bytes of an object."""
    return bytes(client.get_object(Bucket=bucket, Key=key, **more)["Body"].read())


@SUITE.case
def put_get_head_delete(context: Context) -> None:
    client, bucket = made(context)
    system = {
        "ContentType": "text/x-a",
        "CacheControl": "no-cache",
        "ContentDisposition": "inline",
        "ContentLanguage": "de",
        "Metadata": {"colour": "blue", "with-dash": "1"},
    }
    for number, size in enumerate(trees.SIZES):
        body = trees.write(context.work / "body", size).read_bytes()
        key = f"{trees.NAMES[number % len(trees.NAMES)]}-{size}"
        etag = client.put_object(Bucket=bucket, Key=key, Body=body, **system)["ETag"]
        found = client.get_object(Bucket=bucket, Key=key)
        assert found["Body"].read() == body
        head = client.head_object(Bucket=bucket, Key=key)
        for answer in (found, head):
            assert answer["ETag"] == etag
            assert answer["ContentLength"] == size
            assert {name: answer[name] for name in system} == system
        client.delete_object(Bucket=bucket, Key=key)
        with refused("NoSuchKey"):
            client.get_object(Bucket=bucket, Key=key)


@SUITE.case
def errors_by_their_code(context: Context) -> None:
    client, bucket = made(context)
    with refused("BucketAlreadyOwnedByYou"):
        client.create_bucket(Bucket=bucket)
    with refused("NoSuchBucket"):
        client.get_object(Bucket="no-such-bucket", Key="key")
    with refused("404"):
        client.head_object(Bucket=bucket, Key="key")
    client.put_object(Bucket=bucket, Key="key", Body=b"body")
    with refused("BucketNotEmpty"):
        client.delete_bucket(Bucket=bucket)
    with refused("InvalidRange"):
        client.get_object(Bucket=bucket, Key="key", Range="bytes=10-")


@SUITE.case
def ranges(context: Context) -> None:
    client, bucket = made(context)
    body = trees.write(context.work / "body", 3_000_000).read_bytes()
    client.put_object(Bucket=bucket, Key="key", Body=body)
    for text, part in (
        ("bytes=0-0", body[:1]),
        ("bytes=-5", body[-5:]),
        ("bytes=1048570-1048590", body[1048570:1048591]),
        ("bytes=2999990-9999999", body[2999990:]),
        ("bytes=5-", body[5:]),
    ):
        answer = client.get_object(Bucket=bucket, Key="key", Range=text)
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        assert answer["Body"].read() == part


@SUITE.case
def list_and_paginate(context: Context) -> None:
    client, bucket = made(context)
    keys = sorted((f"d{n % 5}/{trees.NAMES[n % 6]}-{n}" for n in range(60)), key=str.encode)
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    for operation in ("list_objects_v2", "list_objects"):
        pages = list(
            client.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
        )
        assert len(pages) == 9
        assert [entry["Key"] for page in pages for entry in page["Contents"]] == keys
        pages = list(
            client.get_paginator(operation).paginate(
                Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 2}
            )
        )
        found = [entry["Prefix"] for page in pages for entry in page["CommonPrefixes"]]
        assert found == ["d0/", "d1/", "d2/", "d3/", "d4/"]


@SUITE.case
def conditional_reads(context: Context) -> None:
    client, bucket = made(context)
    etag = client.put_object(Bucket=bucket, Key="key", Body=b"body")["ETag"]
    assert body_of(client, bucket, "key", IfMatch=etag) == b"body"
    with refused("304"):
        client.get_object(Bucket=bucket, Key="key", IfNoneMatch=etag)
    with refused("PreconditionFailed"):
        client.get_object(Bucket=bucket, Key="key", IfMatch='"other"')


@SUITE.case
def conditional_puts(context: Context) -> None:
    client, bucket = made(context)
    etag = client.put_object(Bucket=bucket, Key="key", Body=b"one", IfNoneMatch="*")["ETag"]
    with refused("PreconditionFailed"):
        client.put_object(Bucket=bucket, Key="key", Body=b"two", IfNoneMatch="*")
    with refused("PreconditionFailed"):
        client.put_object(Bucket=bucket, Key="key", Body=b"two", IfMatch='"other"')
    assert body_of(client, bucket, "key") == b"one"
    client.put_object(Bucket=bucket, Key="key", Body=b"three", IfMatch=etag)
    assert body_of(client, bucket, "key") == b"three"


@SUITE.case
def checksums(context: Context) -> None:
    client, bucket = made(context)
    for algorithm in ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"):
        put = client.put_object(Bucket=bucket, Key=algorithm, Body=b"body", ChecksumAlgorithm=algorithm)
        head = client.head_object(Bucket=bucket, Key=algorithm, ChecksumMode="ENABLED")
        assert put[f"Checksum{algorithm}"] == head[f"Checksum{algorithm}"]
    with refused("BadDigest"):
        client.put_object(Bucket=bucket, Key="bad", Body=b"body", ChecksumCRC32="AAAAAA==")
    with refused("404"):
        client.head_object(Bucket=bucket, Key="bad")


@SUITE.case
def copy_with_directives(context: Context) -> None:
    client, bucket = made(context)
    _, other = made(context, "-2")
    source = {"Bucket": bucket, "Key": "one ü+%"}
    client.put_object(
        **source, Body=b"body" * 50_000, Metadata={"a": "1"}, ContentType="text/a", Tagging="t=1"
    )
    client.copy_object(Bucket=other, Key="kept", CopySource=source)
    client.copy_object(
        Bucket=other,
        Key="replaced",
        CopySource=source,
        MetadataDirective="REPLACE",
        Metadata={"b": "2"},
        ContentType="text/b",
        TaggingDirective="REPLACE",
        Tagging="u=2",
    )
    for key, metadata, kind, tag in (
        ("kept", {"a": "1"}, "text/a", {"Key": "t", "Value": "1"}),
        ("replaced", {"b": "2"}, "text/b", {"Key": "u", "Value": "2"}),
    ):
        found = client.get_object(Bucket=other, Key=key)
        assert found["Body"].read() == b"body" * 50_000
        assert found["Metadata"] == metadata
        assert found["ContentType"] == kind
        assert client.get_object_tagging(Bucket=other, Key=key)["TagSet"] == [tag]


@SUITE.case
def copy_onto_itself(context: Context) -> None:
    client, bucket = made(context)
    client.put_object(Bucket=bucket, Key="key", Body=b"body", Metadata={"a": "1"})
    source = {"Bucket": bucket, "Key": "key"}
    with refused("InvalidRequest"):
        client.copy_object(Bucket=bucket, Key="key", CopySource=source)
    client.copy_object(
        Bucket=bucket, Key="key", CopySource=source, MetadataDirective="REPLACE", Metadata={"b": "2"}
    )
    assert client.head_object(Bucket=bucket, Key="key")["Metadata"] == {"b": "2"}
    assert body_of(client, bucket, "key") == b"body"


@SUITE.case
def copy_on_conditions(context: Context) -> None:
    client, bucket = made(context)
    etag = client.put_object(Bucket=bucket, Key="key", Body=b"body")["ETag"]
    source = {"Bucket": bucket, "Key": "key"}
    client.copy_object(Bucket=bucket, Key="copy", CopySource=source, CopySourceIfMatch=etag)
    with refused("PreconditionFailed"):
        client.copy_object(Bucket=bucket, Key="no", CopySource=source, CopySourceIfNoneMatch=etag)
    with refused("PreconditionFailed"):
        client.copy_object(Bucket=bucket, Key="no", CopySource=source, CopySourceIfMatch='"other"')
    with refused("NoSuchKey"):
        client.copy_object(Bucket=bucket, Key="no", CopySource={"Bucket": bucket, "Key": "missing"})
    with refused("404"):
        client.head_object(Bucket=bucket, Key="no")


@SUITE.case
def copies_outlive_their_source(context: Context) -> None:
    client, bucket = made(context)
    body = trees.write(context.work / "body", 3_000_000).read_bytes()
    client.put_object(Bucket=bucket, Key="one", Body=body)
    client.copy_object(Bucket=bucket, Key="two", CopySource={"Bucket": bucket, "Key": "one"})
    client.put_object(Bucket=bucket, Key="one", Body=b"new")
    client.delete_object(Bucket=bucket, Key="one")
    assert body_of(client, bucket, "two") == body


@SUITE.case
def tagging(context: Context) -> None:
    client, bucket = made(context)
    place = {"Bucket": bucket, "Key": "key"}
    client.put_object(**place, Body=b"body", Tagging="a=1&b=x%20y&c=")
    tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "x y"}, {"Key": "c", "Value": ""}]
    assert client.get_object_tagging(**place)["TagSet"] == tags
    assert client.get_object(**place)["TagCount"] == 3
    many = [{"Key": f"k{n}", "Value": "ü" * 9} for n in range(10)]
    client.put_object_tagging(**place, Tagging={"TagSet": many})
    assert client.get_object_tagging(**place)["TagSet"] == many
    with refused("InvalidTag"):
        client.put_object_tagging(**place, Tagging={"TagSet": [*many, {"Key": "k10", "Value": ""}]})
    with refused("InvalidTag"):
        client.put_object_tagging(**place, Tagging={"TagSet": [{"Key": "k" * 129, "Value": ""}]})
    client.delete_object_tagging(**place)
    assert client.get_object_tagging(**place)["TagSet"] == []
    assert "TagCount" not in client.head_object(**place)


@SUITE.case
def delete_objects(context: Context) -> None:
    client, bucket = made(context)
    keys = [f"{name} {number}" for number, name in enumerate(trees.NAMES * 10)]
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=b"x")
    wanted = [{"Key": key} for key in [*keys[:30], "missing"]]
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": wanted})
    assert [entry["Key"] for entry in answer["Deleted"]] == [entry["Key"] for entry in wanted]
    rest = [{"Key": key} for key in keys[30:]]
    answer = client.delete_objects(Bucket=bucket, Delete={"Objects": rest, "Quiet": True})
    assert "Deleted" not in answer
    assert "Errors" not in answer
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


@SUITE.case
def delete_a_thousand_objects_at_most(context: Context) -> None:
    client, bucket = made(context)
    keys = [{"Key": f"key-{number}"} for number in range(1001)]
    with refused("MalformedXML"):
        client.delete_objects(Bucket=bucket, Delete={"Objects": keys})
    assert len(client.delete_objects(Bucket=bucket, Delete={"Objects": keys[:1000]})["Deleted"]) == 1000


@SUITE.case
def presigned_urls(context: Context) -> None:
    made(context)
    client = context.client(signature_version="s3v4")
    place = {"Bucket": context.bucket, "Key": "a b+ü"}
    url = client.generate_presigned_url("put_object", Params=place)
    put = urllib.request.Request(url, data=b"body", method="PUT", headers={"Content-Type": ""})
    with urllib.request.urlopen(put, timeout=30) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(
        client.generate_presigned_url("get_object", Params=place), timeout=30
    ) as answer:
        assert answer.read() == b"body"


@SUITE.case
def another_account_is_refused(context: Context) -> None:
    client, bucket = made(context)
    client.put_object(Bucket=bucket, Key="key", Body=b"body")
    other = context.client(ALT)
    assert bucket not in [entry["Name"] for entry in other.list_buckets()["Buckets"]]
    with refused("BucketAlreadyExists"):
        other.create_bucket(Bucket=bucket)
    mine = f"{bucket}-alt"
    other.create_bucket(Bucket=mine)
    for operation, parameters in (
        ("get_object", {"Bucket": bucket, "Key": "key"}),
        ("put_object", {"Bucket": bucket, "Key": "key", "Body": b"theirs"}),
        ("delete_object", {"Bucket": bucket, "Key": "key"}),
        ("list_objects_v2", {"Bucket": bucket}),
        ("create_multipart_upload", {"Bucket": bucket, "Key": "key"}),
        ("get_object_tagging", {"Bucket": bucket, "Key": "key"}),
        ("delete_objects", {"Bucket": bucket, "Delete": {"Objects": [{"Key": "key"}]}}),
        ("copy_object", {"Bucket": mine, "Key": "key", "CopySource": {"Bucket": bucket, "Key": "key"}}),
    ):
        with refused("AccessDenied"):
            getattr(other, operation)(**parameters)
    assert body_of(client, bucket, "key") == b"body"
