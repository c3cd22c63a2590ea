"""minio-py."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from urllib.request import urlopen

from minio import Minio
from minio.commonconfig import REPLACE, ComposeSource, CopySource, Tags
from minio.deleteobjects import DeleteObject
from minio.error import S3Error

from conformance import trees
from conformance.cases import Context, Suite
from conformance.server import ALT, MAIN, Account
from conformance.trees import MIB

SUITE = Suite("minio")


def made(context: Context, account: Account = MAIN) -> Minio:
    """Make the bucket of the case and return a client."""
    client = Minio(
        f"127.0.0.1:{context.server.port}",
        access_key=account.access_key,
        secret_key=account.secret_key,
        region="us-east-1",
        secure=False,
    )
    if account is MAIN:
        client.make_bucket(bucket_name=context.bucket)
    return client


def put(client: Minio, context: Context, key: str, body: bytes, **more: object) -> None:
    """Put an object."""
    client.put_object(
        bucket_name=context.bucket, object_name=key, data=io.BytesIO(body), length=len(body), **more
    )


def body_of(client: Minio, context: Context, key: str, **more: int) -> bytes:
    """Return the bytes of an object."""
    answer = client.get_object(bucket_name=context.bucket, object_name=key, **more)
    try:
        return bytes(answer.read())
    finally:
        answer.close()
        answer.release_conn()


def code_of(call: Callable[..., object], *arguments: object) -> str:
    """Return the S3 error code that a call ends with, "done" where it has none."""
    try:
        call(*arguments)
    except S3Error as error:
        return str(error.code)
    return "done"


@SUITE.case
def buckets(context: Context) -> None:
    client = made(context)
    assert client.bucket_exists(bucket_name=context.bucket)
    assert context.bucket in [bucket.name for bucket in client.list_buckets()]
    client.remove_bucket(bucket_name=context.bucket)
    assert not client.bucket_exists(bucket_name=context.bucket)


@SUITE.case
def put_get_stat(context: Context) -> None:
    client = made(context)
    body = trees.write(context.work / "body", 300_000).read_bytes()
    put(client, context, "a/b c", body, content_type="text/x-b", metadata={"colour": "blue"})
    stat = client.stat_object(bucket_name=context.bucket, object_name="a/b c")
    assert stat.size == len(body)
    assert stat.content_type == "text/x-b"
    assert stat.metadata["x-amz-meta-colour"] == "blue"
    assert body_of(client, context, "a/b c") == body
    assert body_of(client, context, "a/b c", offset=1000, length=50) == body[1000:1050]


@SUITE.case
def fput_and_fget_in_parts(context: Context) -> None:
    client = made(context)
    file = trees.write(context.work / "large", 17 * MIB)
    place = {"bucket_name": context.bucket, "object_name": "large"}
    client.fput_object(
        **place, file_path=str(file), part_size=5 * MIB, metadata={"colour": "blue"}, content_type="text/x-l"
    )
    stat = client.stat_object(**place)
    assert stat.size == 17 * MIB
    assert stat.etag.endswith("-4")
    assert stat.content_type == "text/x-l"
    assert stat.metadata["x-amz-meta-colour"] == "blue"
    client.fget_object(**place, file_path=str(context.work / "back"))
    trees.same(file, context.work / "back")


@SUITE.case
def put_a_stream_of_unknown_length(context: Context) -> None:
    client = made(context)
    body = trees.write(context.work / "body", 11 * MIB).read_bytes()
    client.put_object(
        bucket_name=context.bucket, object_name="s", data=io.BytesIO(body), length=-1, part_size=5 * MIB
    )
    assert body_of(client, context, "s") == body


@SUITE.case
def list_objects(context: Context) -> None:
    client = made(context)
    keys = sorted([f"d{n % 3}/{name}-{n}" for n, name in enumerate(trees.NAMES * 3)], key=str.encode)
    for key in keys:
        put(client, context, key, b"x")
    found = [entry.object_name for entry in client.list_objects(bucket_name=context.bucket, recursive=True)]
    assert found == keys
    top = [entry.object_name for entry in client.list_objects(bucket_name=context.bucket)]
    assert top == ["d0/", "d1/", "d2/"]


@SUITE.case
def copy_object(context: Context) -> None:
    client = made(context)
    put(client, context, "one ü", b"body" * 1000, metadata={"colour": "blue"})
    source = CopySource(bucket_name=context.bucket, object_name="one ü")
    client.copy_object(bucket_name=context.bucket, object_name="two", source=source)
    client.copy_object(
        bucket_name=context.bucket,
        object_name="three",
        source=source,
        metadata={"shape": "round"},
        metadata_directive=REPLACE,
    )
    metadata = [
        client.stat_object(bucket_name=context.bucket, object_name=key).metadata for key in ("two", "three")
    ]
    assert metadata[0]["x-amz-meta-colour"] == "blue"
    assert metadata[1]["x-amz-meta-shape"] == "round"
    assert "x-amz-meta-colour" not in metadata[1]
    assert body_of(client, context, "two") == body_of(client, context, "three") == b"body" * 1000


@SUITE.case
def compose_object(context: Context) -> None:
    client = made(context)
    bodies = [trees.write(context.work / "body", size).read_bytes() for size in (6 * MIB, 100)]
    for number, body in enumerate(bodies):
        put(client, context, f"part {number}", body)
    sources = [ComposeSource(bucket_name=context.bucket, object_name=f"part {n}") for n in range(2)]
    client.compose_object(bucket_name=context.bucket, object_name="whole", sources=sources)
    assert body_of(client, context, "whole") == bodies[0] + bodies[1]


@SUITE.case
def tags(context: Context) -> None:
    client = made(context)
    wanted = Tags.new_object_tags()
    wanted["project"] = "one two"
    wanted["empty"] = ""
    put(client, context, "key", b"x", tags=wanted)
    place = {"bucket_name": context.bucket, "object_name": "key"}
    assert client.get_object_tags(**place) == wanted
    wanted["more"] = "a+b=c:d/e@f"
    client.set_object_tags(**place, tags=wanted)
    assert client.get_object_tags(**place) == wanted
    client.delete_object_tags(**place)
    assert client.get_object_tags(**place) is None


@SUITE.case
def remove_objects(context: Context) -> None:
    client = made(context)
    keys = [f"{name}-{number}" for number, name in enumerate(trees.NAMES * 4)]
    for key in keys:
        put(client, context, key, b"x")
    errors = client.remove_objects(
        bucket_name=context.bucket, delete_object_list=[DeleteObject(key) for key in keys]
    )
    assert list(errors) == []
    assert list(client.list_objects(bucket_name=context.bucket, recursive=True)) == []


@SUITE.case
def presigned(context: Context) -> None:
    client = made(context)
    put(client, context, "a b", b"body")
    url = client.presigned_get_object(
        bucket_name=context.bucket, object_name="a b", expires=timedelta(minutes=5)
    )
    with urlopen(url, timeout=30) as answer:
        assert answer.read() == b"body"


@SUITE.case
def another_account_is_refused(context: Context) -> None:
    client = made(context)
    put(client, context, "key", b"body")
    other = made(context, ALT)
    assert code_of(body_of, other, context, "key") == "AccessDenied"
    assert context.bucket not in [bucket.name for bucket in other.list_buckets()]
