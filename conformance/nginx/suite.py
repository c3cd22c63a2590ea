"""The Python clients through nginx, and what ``s3shim doctor`` says of bad configurations."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import boto3
import trustme
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from conformance.cases import Context, Suite, program
from conformance.nginx.front import BAD, DEPLOYED, BehindNginx
from conformance.server import MAIN, ROOT
from conformance.suites import aws, minio_py, multipart
from conformance.trees import MIB

DOMAIN = "s3.example.com"
SUITE = Suite(
    "nginx",
    programs=("nginx",),
    flags=("--domains", DOMAIN, "--behind-proxy"),
    seconds=180,
    server=BehindNginx,
)
KEYS = (
    "plain",
    "a b",
    "a%2Fb",
    "a//b",
    "//lead",
    "end/",
    "a+b",
    "ü-é",
    "a/./b",
    "x" * 900,
    "~!*'();:@&=$,?#[]",
)

for _suite in (multipart.SUITE, minio_py.SUITE, aws.SUITE):
    for _name, _case in _suite.cases.items():
        SUITE.cases[f"{_suite.name}_{_name}"] = _case


def client_at(endpoint: str, style: str = "path", **more: Any) -> Any:
    """Return a boto3 client that tries once."""
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=MAIN.access_key,
        aws_secret_access_key=MAIN.secret_key,
        config=Config(
            retries={"total_max_attempts": 1},
            s3={"addressing_style": style},
            signature_version="s3v4",
            proxies={},
        ),
        **more,
    )


def put_and_get_all(client: Any, bucket: str) -> None:
    """Put and get keys of every kind, whose names a proxy may spoil."""
    client.create_bucket(Bucket=bucket)
    for key in KEYS:
        metadata = {"a_b": "1", "a.b": "2", "a-b": "3"}
        client.put_object(Bucket=bucket, Key=key, Body=key.encode(), Metadata=metadata)
        found = client.get_object(Bucket=bucket, Key=key)
        assert found["Body"].read() == key.encode()
        assert found["Metadata"] == metadata
    listed = [entry["Key"] for entry in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert sorted(listed) == sorted(KEYS)
    body = bytes(range(256)) * (8 * MIB // 256)
    client.put_object(Bucket=bucket, Key="large", Body=body)
    assert client.get_object(Bucket=bucket, Key="large")["Body"].read() == body
    assert client.get_object(Bucket=bucket, Key="large", Range="bytes=5-9")["Body"].read() == body[5:10]


@contextmanager
def resolving() -> Iterator[None]:
    """Let every host of example.com be this machine."""
    real = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **named: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith(".example.com") else host, *more, **named)

    with mock.patch("socket.getaddrinfo", resolve):
        yield


@SUITE.case
def keys_of_every_kind(context: Context) -> None:
    put_and_get_all(client_at(context.server.endpoint), context.bucket)


@SUITE.case
def virtual_hosts(context: Context) -> None:
    with resolving():
        endpoint = f"http://{DOMAIN}:{context.server.port}"
        client = client_at(endpoint, "virtual")
        client.create_bucket(Bucket=context.bucket)
        # Each request names the bucket by the host alone.
        seen: list[str] = []
        client.meta.events.register("before-send.s3", lambda request, **_: seen.append(request.url))
        client.put_object(Bucket=context.bucket, Key="a//b c", Body=b"1")
        assert client.get_object(Bucket=context.bucket, Key="a//b c")["Body"].read() == b"1"
        assert seen[0] == f"http://{context.bucket}.{DOMAIN}:{context.server.port}/a//b%20c"
        url = client.generate_presigned_url("get_object", {"Bucket": context.bucket, "Key": "a//b c"})
        assert context.run("curl", "-sS", "--resolve", f"*:{context.server.port}:127.0.0.1", url) == b"1"


@SUITE.case
def https_and_the_address_of_the_client(context: Context) -> None:
    authority = trustme.CA()
    bundle = context.work / "ca.pem"
    authority.cert_pem.write_to_path(bundle)
    pem = context.work / "both.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    with served(context, certificate=pem) as server:
        client = client_at(server.endpoint, verify=str(bundle))
        put_and_get_all(client, context.bucket)
        parts = client.create_multipart_upload(Bucket=context.bucket, Key="k")["UploadId"]
        place = {"Bucket": context.bucket, "Key": "k", "UploadId": parts}
        etag = client.upload_part(**place, PartNumber=1, Body=b"1")["ETag"]
        listed = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
        done = client.complete_multipart_upload(**place, MultipartUpload=listed)
        assert done["Location"] == f"{server.endpoint}/{context.bucket}/k"
        # Nobody can say where he comes from.
        spoofed = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Prefix": "/evil", "Forwarded": "for=6.6.6.6"}
        client.meta.events.register("before-send.s3", lambda request, **_: request.headers.update(spoofed))
        client.head_object(Bucket=context.bucket, Key="k")
        assert "6.6.6.6" not in server.log.read_text()
        assert "remote_ip=127.0.0.1" in server.log.read_text()


@SUITE.case
def below_a_prefix(context: Context) -> None:
    with resolving(), served_below_a_prefix(context) as (server, endpoint):
        client = client_at(endpoint)
        put_and_get_all(client, context.bucket)
        assert context.bucket in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
        client.create_bucket(Bucket="store")
        client.put_object(Bucket="store", Key="store/k", Body=b"1")
        assert client.get_object(Bucket="store", Key="store/k")["Body"].read() == b"1"
        url = client.generate_presigned_url("get_object", {"Bucket": context.bucket, "Key": "a b"})
        assert context.run("curl", "-sS", "--resolve", f"*:{server.port}:127.0.0.1", url) == b"a b"


@contextmanager
def served_below_a_prefix(context: Context) -> Iterator[tuple[BehindNginx, str]]:
    """Serve with the configuration for a prefix; yield the server and the URL for its clients."""
    server = BehindNginx(
        directory_for(context),
        ("--external-url", "http://www.example.com:{port}/store/"),
        DEPLOYED / "s3shim-prefix.conf",
    )
    with server:
        yield server, f"http://www.example.com:{server.port}/store/"


def directory_for(context: Context) -> Path:
    """Return a new directory below that of the case."""
    return Path(tempfile.mkdtemp(dir=context.work))


@contextmanager
def served(context: Context, **options: Any) -> Iterator[BehindNginx]:
    """Serve for this case alone."""
    with BehindNginx(directory_for(context), **options) as server:
        yield server


def diagnosis(text: bytes, *arguments: str) -> str:
    """Return what the doctor says of ``text``, which must be a cause."""
    done = subprocess.run(
        [sys.executable, "-m", "s3shim", "doctor", *arguments],
        cwd=ROOT,
        input=text,
        capture_output=True,
        timeout=60,
        check=False,
    )
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def bad(
    name: str,
    says: str,
    call: Callable[[Any, str], object],
    command: tuple[str, ...],
    *,
    prefix: str = "",
    key_says: str = "",
) -> None:
    """Register the case of a configuration: what the doctor says of it, by all that it can be given.

    ``key_says`` is what it says with the server's side and the secret key alone, where that is less.
    """

    def case(context: Context) -> None:
        with served(context, site=BAD / f"{name}.conf") as server:
            direct = client_at(f"http://127.0.0.1:{server.backend_port}")
            direct.create_bucket(Bucket=context.bucket)
            endpoint = server.endpoint + prefix
            keys = str(server.directory / "credentials.json")
            try:
                call(client_at(endpoint), context.bucket)
            except ClientError as error:
                code = error.response["Error"]["Code"]
            else:
                raise AssertionError("this configuration is not bad")
            assert code == "SignatureDoesNotMatch", code
            # The log line of the server, with the secret key.
            lines = [line for line in server.log.read_bytes().splitlines() if b"canonical_request" in line]
            assert (key_says or says) in diagnosis(lines[-1], "--credentials", keys, "--endpoint", endpoint)
            # All that aws says, without it.
            words = [word.format(bucket=context.bucket) for word in command]
            (context.work / "body").write_bytes(b"1")
            debug = context.run("aws", "--debug", "--endpoint-url", endpoint, "s3api", *words, code=255)
            assert says in diagnosis(debug)
            # The answer alone, with the secret key.
            answer = debug[debug.index(b"<Error>") : debug.index(b"</Error>") + len(b"</Error>")]
            escaped = b"b'" + answer + b"'"
            assert (key_says or says) in diagnosis(escaped, "--credentials", keys, "--endpoint", endpoint)

    case.__name__ = f"doctor_{name.replace('-', '_')}"
    SUITE.case(case)


@SUITE.case
def doctor_encoded_slash(context: Context) -> None:
    """A client that sends %2F for a slash within a key, through a configuration that decodes it."""
    with served(context, site=BAD / "path-decoded.conf") as server:
        url = f"{server.endpoint}/{context.bucket}/a%2Fb"
        request = AWSRequest("GET", url, headers={"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
        signer = S3SigV4Auth(Credentials(MAIN.access_key, MAIN.secret_key), "s3", "us-east-1")
        signer.add_auth(request)
        headers = [word for name, value in request.headers.items() for word in ("-H", f"{name}: {value}")]
        done = subprocess.run(
            [program("curl"), "-sv", "--noproxy", "*", *headers, url],
            capture_output=True,
            timeout=context.seconds,
            check=True,
        )
        says = "a proxy decoded %2F into a slash, which names another key; let the proxy pass the path on"
        # A trace of curl has both sides; the answer alone needs the secret key.
        assert says in diagnosis(done.stderr + done.stdout)
        keys = str(server.directory / "credentials.json")
        assert says in diagnosis(done.stdout, "--credentials", keys)
        dump = context.work / "dump"
        dump.write_text(signer.canonical_request(request))
        assert says in diagnosis(done.stdout, "--client", str(dump))


GET = ("get-object", "--bucket", "{bucket}", "body", "--key")

bad(
    "host-rewritten",
    "the server got 's3shim': a proxy wrote a host of its own; let the proxy pass Host on",
    lambda client, bucket: client.get_object(Bucket=bucket, Key="k"),
    (*GET, "k"),
)
bad(
    "port-dropped",
    "a proxy dropped the port; let the proxy pass Host on",
    lambda client, bucket: client.get_object(Bucket=bucket, Key="k"),
    (*GET, "k"),
)
bad(
    "path-decoded",
    "a proxy removed dot segments, which are part of a key; let the proxy pass the path on as it came "
    "(nginx: proxy_pass without a path or slash after the host)",
    lambda client, bucket: client.get_object(Bucket=bucket, Key="a/./b"),
    (*GET, "a/./b"),
)
bad(
    "slashes-merged",
    "a proxy merged slashes, which are part of a key; switch that off (nginx: merge_slashes off;)",
    lambda client, bucket: client.get_object(Bucket=bucket, Key="a//b"),
    (*GET, "a//b"),
)
bad(
    "prefix-removed",
    "a proxy took the prefix '/store' away; tell the server the URL that clients use with --external-url",
    lambda client, bucket: client.get_object(Bucket=bucket, Key="k"),
    (*GET, "k"),
    prefix="/store",
)
bad(
    "underscores-dropped",
    "The client signed the header x-amz-meta-a_b ('1'), and the server did not get it: a proxy removed it",
    lambda client, bucket: client.put_object(Bucket=bucket, Key="k", Body=b"1", Metadata={"a_b": "1"}),
    ("put-object", "--bucket", "{bucket}", "--key", "k", "--body", "body", "--metadata", "a_b=1"),
    # What the value was only the client knows.
    key_says="The client signed the header x-amz-meta-a_b, and the server did not get it: a proxy removed it",
)
bad(
    "query-dropped",
    "and the server did not get it: let the proxy pass the query on as it came",
    lambda client, bucket: client.list_objects_v2(Bucket=bucket),
    ("list-objects-v2", "--bucket", "{bucket}"),
)
