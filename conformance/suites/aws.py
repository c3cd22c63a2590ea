"""The aws command line."""

from __future__ import annotations

import json
import re
import urllib.request

from conformance import trees
from conformance.cases import Context, Suite
from conformance.server import ALT
from conformance.trees import MIB

SUITE = Suite("aws", programs=("aws",))


def s3(context: Context, *arguments: str, data: bytes | None = None, code: int = 0) -> str:
    """Run ``aws s3``; return what it says."""
    return context.run(
        "aws", "--endpoint-url", context.server.endpoint, "s3", *arguments, data=data, code=code
    ).decode()


def s3api(context: Context, *arguments: str) -> dict[str, object]:
    """Run ``aws s3api``; return its answer."""
    said = context.run("aws", "--endpoint-url", context.server.endpoint, "s3api", *arguments)
    found: dict[str, object] = json.loads(said or b"{}")
    return found


def made(context: Context, suffix: str = "") -> str:
    """Make a bucket; return its URL."""
    url = f"s3://{context.bucket}{suffix}"
    s3(context, "mb", url)
    return url


@SUITE.case
def make_list_and_remove_a_bucket(context: Context) -> None:
    url = made(context)
    assert context.bucket in s3(context, "ls")
    s3(context, "rb", url)
    assert "NoSuchBucket" in s3(context, "ls", url, code=255)


@SUITE.case
def remove_a_bucket_that_is_not_empty(context: Context) -> None:
    url = made(context)
    s3(context, "cp", "-", f"{url}/key", data=b"body")
    assert "BucketNotEmpty" in s3(context, "rb", url, code=1)
    s3(context, "rb", "--force", url)


@SUITE.case
def sync_both_ways(context: Context) -> None:
    url = made(context)
    tree = trees.make(context.work / "tree", 60, 20 * MIB)
    s3(context, "sync", str(tree), url)
    assert s3(context, "sync", str(tree), url) == ""
    s3(context, "sync", url, str(context.work / "back"))
    trees.same(tree, context.work / "back")


@SUITE.case
def sync_deletes_what_is_gone(context: Context) -> None:
    url = made(context)
    tree = trees.make(context.work / "tree", 12)
    s3(context, "sync", str(tree), url)
    gone = next(path for path in tree.rglob("*") if path.is_file())
    gone.unlink()
    assert s3(context, "sync", "--delete", str(tree), url).count("delete:") == 1
    s3(context, "sync", url, str(context.work / "back"))
    trees.same(tree, context.work / "back")


@SUITE.case
def copy_a_large_file_with_metadata(context: Context) -> None:
    url = made(context)
    file = trees.write(context.work / "large", 20 * MIB)
    s3(
        context,
        "cp",
        str(file),
        f"{url}/large",
        "--metadata",
        "colour=blue",
        "--content-type",
        "text/x-large",
    )
    head = s3api(context, "head-object", "--bucket", context.bucket, "--key", "large")
    assert head["Metadata"] == {"colour": "blue"}
    assert head["ContentType"] == "text/x-large"
    assert head["ContentLength"] == 20 * MIB
    assert str(head["ETag"]).endswith('-3"')
    s3(context, "cp", f"{url}/large", str(context.work / "back"))
    trees.same(file, context.work / "back")


@SUITE.case
def copy_a_stream(context: Context) -> None:
    url = made(context)
    body = trees.write(context.work / "body", 12 * MIB).read_bytes()
    s3(context, "cp", "-", f"{url}/stream", data=body)
    back = context.run("aws", "--endpoint-url", context.server.endpoint, "s3", "cp", f"{url}/stream", "-")
    assert back == body


@SUITE.case
def copy_between_buckets_in_parts(context: Context) -> None:
    """Version 1 of the aws command line asks for no metadata to be copied when it copies in parts."""
    one, other = made(context), made(context, "-2")
    file = trees.write(context.work / "large", 20 * MIB)
    s3(context, "cp", str(file), f"{one}/large")
    s3(context, "cp", f"{one}/large", f"{other}/copy")
    head = s3api(context, "head-object", "--bucket", f"{context.bucket}-2", "--key", "copy")
    assert str(head["ETag"]).endswith('-3"')
    s3(context, "cp", f"{other}/copy", str(context.work / "back"))
    trees.same(file, context.work / "back")


@SUITE.case
def sync_between_buckets(context: Context) -> None:
    one, other = made(context), made(context, "-2")
    tree = trees.make(context.work / "tree", 20)
    s3(context, "sync", str(tree), one)
    s3(context, "sync", one, other)
    s3(context, "sync", other, str(context.work / "back"))
    trees.same(tree, context.work / "back")


@SUITE.case
def move_between_keys(context: Context) -> None:
    url = made(context)
    for size in (1000, 12 * MIB):
        file = trees.write(context.work / "file", size)
        s3(context, "cp", str(file), f"{url}/before")
        s3(context, "mv", f"{url}/before", f"{url}/after")
        assert re.findall(r"\S+$", s3(context, "ls", url), re.MULTILINE) == ["after"]
        s3(context, "mv", f"{url}/after", str(context.work / "back"))
        trees.same(file, context.work / "back")
        assert s3(context, "ls", url) == ""


@SUITE.case
def list_and_remove_recursively(context: Context) -> None:
    url = made(context)
    tree = trees.make(context.work / "tree", 30)
    s3(context, "sync", str(tree), f"{url}/a")
    said = s3(context, "ls", "--recursive", "--summarize", url)
    assert re.search(r"Total Objects: ([0-9]+)", said)[1] == "30"
    total = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    assert re.search(r"Total Size: ([0-9]+)", said)[1] == str(total)
    assert "PRE a/" in s3(context, "ls", url)
    assert s3(context, "rm", "--recursive", url).count("delete:") == 30
    s3(context, "rb", url)


@SUITE.case
def tags_and_delete_objects(context: Context) -> None:
    made(context)
    place = ["--bucket", context.bucket, "--key", "one"]
    s3api(context, "put-object", *place, "--tagging", "a=1&b=x%20y")
    assert s3api(context, "get-object-tagging", *place)["TagSet"] == [
        {"Key": "a", "Value": "1"},
        {"Key": "b", "Value": "x y"},
    ]
    batch = "Objects=[{Key=one},{Key=missing}]"
    deleted = s3api(context, "delete-objects", "--bucket", context.bucket, "--delete", batch)["Deleted"]
    assert deleted == [{"Key": "one"}, {"Key": "missing"}]


@SUITE.case
def presigned_url(context: Context) -> None:
    url = made(context)
    s3(context, "cp", "-", f"{url}/key", data=b"body")
    context.run("aws", "configure", "set", "default.s3.signature_version", "s3v4")
    with urllib.request.urlopen(s3(context, "presign", f"{url}/key").strip(), timeout=30) as answer:
        assert answer.read() == b"body"


@SUITE.case
def presigned_url_in_the_default_signature(context: Context) -> None:
    url = made(context)
    s3(context, "cp", "-", f"{url}/key", data=b"body")
    with urllib.request.urlopen(s3(context, "presign", f"{url}/key").strip(), timeout=30) as answer:
        assert answer.read() == b"body"


@SUITE.case
def another_account_is_refused(context: Context) -> None:
    url = made(context)
    s3(context, "cp", "-", f"{url}/key", data=b"body")
    other = context.environment(ALT)
    file = str(trees.write(context.work / "file", 10))
    for arguments in (["ls", url], ["cp", f"{url}/key", "-"], ["cp", file, f"{url}/mine"]):
        command = ["aws", "--endpoint-url", context.server.endpoint, "s3", *arguments]
        code = 255 if arguments[0] == "ls" else 1
        said = context.run(*command, environment=other, code=code)
        assert b"AccessDenied" in said or b"Forbidden" in said, said
