"""A tree of 5,000 files and one large file (--size), through every client and back."""

from __future__ import annotations

from pathlib import Path

from conformance import trees
from conformance.cases import Context, Suite
from conformance.suites import aws, boto, minio_py, rclone, s3cmd
from conformance.trees import MIB

FILES = 5000

SUITE = Suite("large", programs=("aws", "rclone", "s3cmd"), seconds=1800)


@SUITE.case
def aws_sync_both_ways(context: Context) -> None:
    url = aws.made(context)
    tree = trees.make(context.work / "tree", FILES, context.options.size)
    aws.s3(context, "sync", "--quiet", str(tree), url)
    assert aws.s3(context, "sync", str(tree), url) == ""
    aws.s3(context, "sync", "--quiet", url, str(context.work / "back"))
    trees.same(tree, context.work / "back")
    aws.s3(context, "rb", "--force", url)


@SUITE.case
def rclone_sync_and_check(context: Context) -> None:
    path = rclone.made(context)
    tree = trees.make(context.work / "tree", FILES, context.options.size)
    rclone.rclone(context, "sync", "--s3-chunk-size", "16M", "--s3-upload-cutoff", "16M", str(tree), path)
    rclone.rclone(context, "check", str(tree), path)
    rclone.rclone(context, "check", "--download", str(tree), path)
    rclone.rclone(context, "sync", path, str(context.work / "back"))
    trees.same(tree, context.work / "back")
    times = [_times(directory) for directory in (tree, context.work / "back")]
    assert times[0] == times[1], "a time is not kept"
    rclone.rclone(context, "purge", path)


@SUITE.case
def boto3_upload_and_download(context: Context) -> None:
    client, bucket = boto.made(context)
    file = trees.write(context.work / "large", context.options.size)
    client.upload_file(
        str(file), bucket, "key", ExtraArgs={"Metadata": {"colour": "blue"}, "ContentType": "text/x-l"}
    )
    head = client.head_object(Bucket=bucket, Key="key")
    assert (head["Metadata"], head["ContentType"]) == ({"colour": "blue"}, "text/x-l")
    client.download_file(bucket, "key", str(context.work / "back"))
    trees.same(file, context.work / "back")


@SUITE.case
def minio_fput_and_fget(context: Context) -> None:
    client = minio_py.made(context)
    file = trees.write(context.work / "large", context.options.size)
    place = {"bucket_name": context.bucket, "object_name": "key"}
    client.fput_object(**place, file_path=str(file), part_size=64 * MIB, metadata={"colour": "blue"})
    assert client.stat_object(**place).metadata["x-amz-meta-colour"] == "blue"
    client.fget_object(**place, file_path=str(context.work / "back"))
    trees.same(file, context.work / "back")


@SUITE.case
def s3cmd_put_and_get(context: Context) -> None:
    url = s3cmd.made(context)
    file = trees.write(context.work / "large", context.options.size)
    s3cmd.s3cmd(context, "put", "--add-header", "x-amz-meta-colour:blue", str(file), f"{url}/key")
    assert context.client().head_object(Bucket=context.bucket, Key="key")["Metadata"]["colour"] == "blue"
    s3cmd.s3cmd(context, "get", f"{url}/key", str(context.work / "back"))
    trees.same(file, context.work / "back")


def _times(directory: Path) -> dict[str, float]:
    return {
        str(path.relative_to(directory)): path.stat().st_mtime
        for path in directory.rglob("*")
        if path.is_file()
    }
