"""Buckets named by the host: the signature is over the target as sent, the key is the whole path."""

import pytest

from s3shim.backends.memory import MemoryBackend
from s3shim.config import load
from s3shim.wsgi import create_app

DOMAINS = "s3.example,S3.Other.example"


@pytest.fixture
def app(credentials_file, tmp_path):
    """A service with two domains."""
    flags = ["--data", str(tmp_path), "--credentials", str(credentials_file), "--domains", DOMAINS]
    return create_app(load(flags, {}), MemoryBackend())


@pytest.fixture
def at(app, signed, bucket):
    """Make a client that sends this Host."""
    return lambda host: signed(app, host=host)


@pytest.mark.parametrize(
    "host",
    [
        "a-bucket.s3.example",
        "a-bucket.s3.example:9000",
        "A-Bucket.S3.Example",
        "a-bucket.s3.example.",
        "a-bucket.s3.other.example:80",
    ],
)
def test_the_bucket_is_in_the_host(at, client, host):
    virtual = at(host)
    for key in ("k", "a-bucket/k", "healthz", "a%2Fb", "/lead", "a//b/", "%20"):
        assert virtual.request("PUT", f"/{key}", body=key.encode()).status == 200
        assert virtual.request("GET", f"/{key}").body == key.encode()
        assert client.request("GET", f"/a-bucket/{key}").body == key.encode()
    listed = virtual.request("GET", "/?list-type=2").xml()
    assert len(listed.findall("{*}Contents")) == 7
    assert listed.findtext("{*}Name") == "a-bucket"
    assert virtual.request("HEAD", "/").status == 200
    presigned = virtual.presign("GET", "/k")
    assert virtual.request("GET", presigned, sign=False).body == b"k"


@pytest.mark.parametrize(
    "host",
    ["s3.example", "s3.example:9000", "xs3.example", "a-bucket.s3.example.org", "127.0.0.1", "[::1]:9000"],
)
def test_other_hosts_are_no_buckets(at, host):
    plain = at(host)
    assert plain.request("PUT", "/a-bucket/k", body=b"1").status == 200
    assert plain.request("GET", "/a-bucket/k").body == b"1"
    assert b"<ListAllMyBucketsResult" in plain.request("GET", "/").body
    assert plain.request("GET", "/healthz", sign=False).status == 200


def test_what_the_host_names_is_checked_as_any_bucket(at):
    assert at("no-such-bucket.s3.example").request("GET", "/k").code == "NoSuchBucket"
    assert at("UP.x..s3.example").request("GET", "/k").code == "InvalidBucketName"
    assert at("-.s3.example").request("PUT", "/").code == "InvalidBucketName"
    created = at("new-bucket.s3.example")
    assert created.request("PUT", "/").status == 200
    assert created.request("DELETE", "/").status == 204


def test_another_bucket_cannot_be_signed_for(at, client):
    assert client.request("PUT", "/other-bucket").status == 200
    draft = at("a-bucket.s3.example").draft("PUT", "/k", body=b"1")
    draft.set("Host", "other-bucket.s3.example")
    assert client.send(draft).code == "SignatureDoesNotMatch"
    assert client.request("GET", "/other-bucket/k").status == 404


def test_without_domains_no_host_is_a_bucket(credentials_file, tmp_path, signed):
    config = load(["--data", str(tmp_path), "--credentials", str(credentials_file)], {})
    client = signed(create_app(config, MemoryBackend()), host="a-bucket.s3.example")
    assert client.request("PUT", "/a-bucket").status == 200
    assert b"<ListAllMyBucketsResult" in client.request("GET", "/").body
