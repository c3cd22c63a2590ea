"""s3cmd."""

from __future__ import annotations

from conformance import trees
from conformance.cases import Context, Suite
from conformance.server import MAIN
from conformance.trees import MIB

SUITE = Suite("s3cmd", programs=("s3cmd",))


def s3cmd(context: Context, *arguments: str, code: int = 0) -> str:
    """Run s3cmd; return what it says."""
    place = f"127.0.0.1:{context.server.port}"
    settings = {
        "access_key": MAIN.access_key,
        "secret_key": MAIN.secret_key,
        "host_base": place,
        # Without a place for the bucket in it, s3cmd addresses by path.
        "host_bucket": place,
        "bucket_location": "us-east-1",
        "use_https": "False",
        "max_retries": "1",
    }
    configuration = context.work / "s3cfg"
    configuration.write_text("[default]\n" + "".join(f"{name} = {text}\n" for name, text in settings.items()))
    return context.run(
        "s3cmd", "--config", str(configuration), "--no-progress", *arguments, code=code
    ).decode()


def made(context: Context, suffix: str = "") -> str:
    """Make a bucket; return its URL."""
    url = f"s3://{context.bucket}{suffix}"
    s3cmd(context, "mb", url)
    return url


@SUITE.case
def make_list_and_remove_a_bucket(context: Context) -> None:
    url = made(context)
    assert url in s3cmd(context, "ls")
    s3cmd(context, "rb", url)
    assert url not in s3cmd(context, "ls").split()


@SUITE.case
def put_and_get(context: Context) -> None:
    url = made(context)
    for size in (0, 1000, 300_000):
        file = trees.write(context.work / f"file {size}", size)
        s3cmd(context, "put", "--add-header", "x-amz-meta-colour:blue", str(file), f"{url}/a b/")
        s3cmd(context, "get", "--force", f"{url}/a b/file {size}", str(context.work / "back"))
        trees.same(file, context.work / "back")
    head = context.client().head_object(Bucket=context.bucket, Key="a b/file 1000")
    assert head["Metadata"]["colour"] == "blue"


@SUITE.case
def put_in_parts(context: Context) -> None:
    url = made(context)
    file = trees.write(context.work / "large", 17 * MIB)
    s3cmd(context, "put", "--multipart-chunk-size-mb=5", str(file), f"{url}/large")
    assert context.client().head_object(Bucket=context.bucket, Key="large")["ETag"].endswith('-4"')
    s3cmd(context, "get", f"{url}/large", str(context.work / "back"))
    trees.same(file, context.work / "back")


@SUITE.case
def sync_both_ways(context: Context) -> None:
    url = made(context)
    tree = trees.make(context.work / "tree", 40)
    s3cmd(context, "sync", f"{tree}/", f"{url}/t/")
    assert "upload:" not in s3cmd(context, "sync", f"{tree}/", f"{url}/t/")
    s3cmd(context, "sync", f"{url}/t/", f"{context.work / 'back'}/")
    trees.same(tree, context.work / "back")


@SUITE.case
def copy_and_move(context: Context) -> None:
    url = made(context)
    file = trees.write(context.work / "file", 100_000)
    s3cmd(context, "put", str(file), f"{url}/one")
    s3cmd(context, "cp", f"{url}/one", f"{url}/two")
    s3cmd(context, "mv", f"{url}/two", f"{url}/three")
    listed = s3cmd(context, "ls", url).split()
    assert f"{url}/one" in listed
    assert f"{url}/two" not in listed
    s3cmd(context, "get", f"{url}/three", str(context.work / "back"))
    trees.same(file, context.work / "back")


@SUITE.case
def copy_in_parts(context: Context) -> None:
    url = made(context)
    file = trees.write(context.work / "file", 12 * MIB)
    s3cmd(context, "put", str(file), f"{url}/one")
    s3cmd(context, "cp", "--multipart-chunk-size-mb=5", f"{url}/one", f"{url}/two")
    s3cmd(context, "get", f"{url}/two", str(context.work / "back"))
    trees.same(file, context.work / "back")


@SUITE.case
def list_all(context: Context) -> None:
    urls = [made(context), made(context, "-2")]
    file = trees.write(context.work / "file", 10)
    for url in urls:
        s3cmd(context, "put", str(file), f"{url}/key")
    listed = s3cmd(context, "la").split()
    assert all(f"{url}/key" in listed for url in urls)


@SUITE.case
def list_and_abort_multipart_uploads(context: Context) -> None:
    url = made(context)
    upload = context.client().create_multipart_upload(Bucket=context.bucket, Key="key")["UploadId"]
    assert upload in s3cmd(context, "multipart", url)
    s3cmd(context, "abortmp", f"{url}/key", upload)
    assert upload not in s3cmd(context, "multipart", url)


@SUITE.case
def delete(context: Context) -> None:
    url = made(context)
    s3cmd(context, "sync", f"{trees.make(context.work / 'tree', 12)}/", f"{url}/t/")
    s3cmd(context, "put", str(trees.write(context.work / "file", 10)), f"{url}/one")
    s3cmd(context, "del", f"{url}/one")
    s3cmd(context, "del", "--recursive", "--force", f"{url}/t/")
    assert s3cmd(context, "ls", url) == ""


@SUITE.case
def info_of_an_object(context: Context) -> None:
    url = made(context)
    s3cmd(context, "put", str(trees.write(context.work / "file", 10)), f"{url}/key")
    assert "File size: 10" in s3cmd(context, "info", f"{url}/key")


@SUITE.case
def info_of_a_bucket(context: Context) -> None:
    url = made(context)
    assert "Location:" in s3cmd(context, "info", url)


@SUITE.case
def du(context: Context) -> None:
    url = made(context)
    s3cmd(context, "put", str(trees.write(context.work / "file", 12345)), f"{url}/key")
    assert "12345" in s3cmd(context, "du", url)
