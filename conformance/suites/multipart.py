"""boto3: multipart uploads, by the transfer manager and by hand."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from boto3.s3.transfer import TransferConfig

from conformance import trees
from conformance.cases import Context, refused
from conformance.suites.boto import SUITE, body_of, made
from conformance.trees import MIB

_SMALL = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)


def upload(client: Any, bucket: str, key: str, bodies: list[bytes], **more: Any) -> tuple[str, list[Any]]:
    """Start an upload and send its parts; return its id and the part list for Complete."""
    upload_id = client.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        answer = client.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body)
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    return upload_id, parts


def complete(client: Any, bucket: str, key: str, upload_id: str, parts: list[Any], **more: Any) -> Any:
    """Complete the upload."""
    return client.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": parts}, **more
    )


def bodies_of(context: Context, *sizes: int) -> list[bytes]:
    """Return bodies of ``sizes`` bytes, each different."""
    return [trees.write(context.work / "body", size, seed).read_bytes() for seed, size in enumerate(sizes)]


@SUITE.case
def upload_and_download_a_file(context: Context) -> None:
    client, bucket = made(context)
    file = trees.write(context.work / "file", 22 * MIB)
    more = {"Metadata": {"colour": "blue"}, "ContentType": "text/x-a", "Tagging": "a=1&b=2"}
    client.upload_file(str(file), bucket, "key", ExtraArgs=more, Config=_SMALL)
    head = client.head_object(Bucket=bucket, Key="key")
    assert head["ETag"].endswith('-5"')
    assert head["Metadata"] == {"colour": "blue"}
    assert head["ContentType"] == "text/x-a"
    assert len(client.get_object_tagging(Bucket=bucket, Key="key")["TagSet"]) == 2
    client.download_file(bucket, "key", str(context.work / "back"), Config=_SMALL)
    trees.same(file, context.work / "back")


@SUITE.case
def parts_by_hand(context: Context) -> None:
    client, bucket = made(context)
    bodies = bodies_of(context, 5 * MIB, 6 * MIB, 100)
    upload_id, parts = upload(client, bucket, "key", bodies, Metadata={"a": "1"})
    [listed] = client.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert (listed["Key"], listed["UploadId"]) == ("key", upload_id)
    place = {"Bucket": bucket, "Key": "key"}
    pages = client.get_paginator("list_parts").paginate(
        **place, UploadId=upload_id, PaginationConfig={"PageSize": 2}
    )
    found = [(part["PartNumber"], part["ETag"], part["Size"]) for page in pages for part in page["Parts"]]
    assert found == [
        (part["PartNumber"], part["ETag"], len(body)) for part, body in zip(parts, bodies, strict=True)
    ]
    with refused("404"):
        client.head_object(**place)
    answer = complete(client, bucket, "key", upload_id, parts)
    digest = hashlib.md5(b"".join(hashlib.md5(body).digest() for body in bodies)).hexdigest()
    assert answer["ETag"] == f'"{digest}-3"'
    assert body_of(client, bucket, "key") == b"".join(bodies)
    assert client.head_object(**place)["Metadata"] == {"a": "1"}
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


@SUITE.case
def read_by_part_number(context: Context) -> None:
    client, bucket = made(context)
    bodies = bodies_of(context, 5 * MIB, 6 * MIB, 100)
    complete(client, bucket, "key", *upload(client, bucket, "key", bodies))
    place = {"Bucket": bucket, "Key": "key"}
    for number, body in enumerate(bodies, 1):
        part = client.get_object(**place, PartNumber=number)
        assert part["PartsCount"] == 3
        assert part["Body"].read() == body


@SUITE.case
def a_part_sent_again(context: Context) -> None:
    client, bucket = made(context)
    first, second, last = bodies_of(context, 5 * MIB, 5 * MIB, 10)
    upload_id, parts = upload(client, bucket, "key", [first, last])
    stale = list(parts)
    place = {"Bucket": bucket, "Key": "key", "UploadId": upload_id}
    etag = client.upload_part(**place, PartNumber=1, Body=second)["ETag"]
    with refused("InvalidPart"):
        complete(client, bucket, "key", upload_id, stale)
    parts[0] = {"PartNumber": 1, "ETag": etag}
    complete(client, bucket, "key", upload_id, parts)
    assert body_of(client, bucket, "key") == second + last


@SUITE.case
def a_part_list_that_is_wrong(context: Context) -> None:
    client, bucket = made(context)
    upload_id, parts = upload(client, bucket, "key", bodies_of(context, 5 * MIB, 10))
    with refused("InvalidPartOrder"):
        complete(client, bucket, "key", upload_id, parts[::-1])
    with refused("InvalidPart"):
        complete(client, bucket, "key", upload_id, [*parts, {"PartNumber": 3, "ETag": parts[0]["ETag"]}])
    with refused("NoSuchUpload"):
        complete(client, bucket, "key", "no-such-upload", parts)
    complete(client, bucket, "key", upload_id, parts[:1])
    assert client.head_object(Bucket=bucket, Key="key")["ContentLength"] == 5 * MIB


@SUITE.case
def a_part_that_is_too_small(context: Context) -> None:
    client, bucket = made(context)
    upload_id, parts = upload(client, bucket, "key", bodies_of(context, 1000, 1000))
    with refused("EntityTooSmall"):
        complete(client, bucket, "key", upload_id, parts)
    complete(client, bucket, "key", upload_id, parts[:1])


@SUITE.case
def abort(context: Context) -> None:
    client, bucket = made(context)
    upload_id, parts = upload(client, bucket, "key", bodies_of(context, 1000))
    place = {"Bucket": bucket, "Key": "key", "UploadId": upload_id}
    client.abort_multipart_upload(**place)
    with refused("NoSuchUpload"):
        client.list_parts(**place)
    with refused("NoSuchUpload"):
        client.upload_part(**place, PartNumber=1, Body=b"body")
    with refused("NoSuchUpload"):
        complete(client, bucket, "key", upload_id, parts)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)
    client.delete_bucket(Bucket=bucket)


@SUITE.case
def conditional_complete(context: Context) -> None:
    client, bucket = made(context)
    etag = client.put_object(Bucket=bucket, Key="key", Body=b"old")["ETag"]
    upload_id, parts = upload(client, bucket, "key", [b"new"])
    with refused("PreconditionFailed"):
        complete(client, bucket, "key", upload_id, parts, IfNoneMatch="*")
    with refused("PreconditionFailed"):
        complete(client, bucket, "key", upload_id, parts, IfMatch='"other"')
    assert body_of(client, bucket, "key") == b"old"
    complete(client, bucket, "key", upload_id, parts, IfMatch=etag)
    assert body_of(client, bucket, "key") == b"new"


@SUITE.case
def composite_checksum(context: Context) -> None:
    client, bucket = made(context)
    bodies = bodies_of(context, 5 * MIB, 1000)
    place = {"Bucket": bucket, "Key": "key"}
    upload_id = client.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")["UploadId"]
    parts = []
    for number, body in enumerate(bodies, 1):
        answer = client.upload_part(
            **place, UploadId=upload_id, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256"
        )
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        assert answer["ChecksumSHA256"] == digest
        parts.append({"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": digest})
    whole = hashlib.sha256(b"".join(hashlib.sha256(body).digest() for body in bodies)).digest()
    expected = f"{base64.b64encode(whole).decode()}-2"
    assert complete(client, bucket, "key", upload_id, parts)["ChecksumSHA256"] == expected
    head = client.head_object(**place, ChecksumMode="ENABLED")
    assert (head["ChecksumSHA256"], head["ChecksumType"]) == (expected, "COMPOSITE")


@SUITE.case
def list_uploads_in_pages(context: Context) -> None:
    client, bucket = made(context)
    keys = [f"d{number % 3}/key-{number:02}" for number in range(12)]
    for key in keys:
        client.create_multipart_upload(Bucket=bucket, Key=key)
    pages = client.get_paginator("list_multipart_uploads").paginate(
        Bucket=bucket, PaginationConfig={"PageSize": 5}
    )
    assert [entry["Key"] for page in pages for entry in page["Uploads"]] == sorted(keys)
    found = client.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [entry["Prefix"] for entry in found["CommonPrefixes"]] == ["d0/", "d1/", "d2/"]
    found = client.list_multipart_uploads(Bucket=bucket, Prefix="d1/")
    assert [entry["Key"] for entry in found["Uploads"]] == sorted(key for key in keys if key[:2] == "d1")


@SUITE.case
def managed_copy_in_parts(context: Context) -> None:
    client, bucket = made(context)
    _, other = made(context, "-2")
    file = trees.write(context.work / "file", 17 * MIB)
    client.upload_file(str(file), bucket, "key", Config=_SMALL)
    client.copy({"Bucket": bucket, "Key": "key"}, other, "copy", Config=_SMALL)
    assert client.head_object(Bucket=other, Key="copy")["ETag"].endswith('-4"')
    client.download_file(other, "copy", str(context.work / "back"))
    trees.same(file, context.work / "back")


@SUITE.case
def copy_of_a_range_as_part(context: Context) -> None:
    client, bucket = made(context)
    [body] = bodies_of(context, 12 * MIB)
    client.put_object(Bucket=bucket, Key="source", Body=body)
    upload_id, _ = upload(client, bucket, "key", [])
    parts = []
    for number, (first, last) in enumerate(((1000, 6 * MIB), (5, 104)), 1):
        answer = client.upload_part_copy(
            Bucket=bucket,
            Key="key",
            UploadId=upload_id,
            PartNumber=number,
            CopySource={"Bucket": bucket, "Key": "source"},
            CopySourceRange=f"bytes={first}-{last}",
        )
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    complete(client, bucket, "key", upload_id, parts)
    client.delete_object(Bucket=bucket, Key="source")
    assert body_of(client, bucket, "key") == body[1000 : 6 * MIB + 1] + body[5:105]
