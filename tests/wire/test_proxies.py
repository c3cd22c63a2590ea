"""Requests through proxies: what was signed is what the client sent, and nothing else passes."""

import io
import json
import logging

import pytest

from s3shim import logs
from s3shim.backends.memory import MemoryBackend
from s3shim.config import load
from s3shim.wsgi import create_app

PROXY = "10.0.0.7"


@pytest.fixture
def behind(credentials_file, tmp_path):
    """Make a service with these flags."""

    def make(*flags):
        own = ["--data", str(tmp_path), "--credentials", str(credentials_file)]
        return create_app(load([*own, *flags], {}), MemoryBackend())

    return make


def through(client, method, path, *, host=None, prefix="", peer=PROXY, forwarded=(), body=b"", **options):
    """Let the client sign for its own host and ``prefix`` + ``path``, and send what a proxy makes of it."""
    draft = client.draft(method, prefix + path, body=body, **options)
    draft.target = path
    if host is not None:
        draft.set("Host", host)
    for name, value in forwarded:
        draft.set(name, value)
    draft.extra["REMOTE_ADDR"] = peer
    return client.send(draft)


def test_a_rewritten_host_and_a_stripped_prefix(behind, signed):
    app = behind("--external-url", "https://example.com/store")
    client = signed(app, host="example.com")
    known = {"host": "up:9000", "prefix": "/store"}
    assert through(client, "PUT", "/a-bucket", **known).status == 200
    for key in ("k", "a%2Fb", "a//b", "store", "%20+", "k/"):
        assert through(client, "PUT", f"/a-bucket/{key}", body=key.encode(), **known).status == 200
        assert through(client, "GET", f"/a-bucket/{key}", **known).body == key.encode()
    draft = client.draft("GET", "/store")
    draft.target = "/"
    assert client.send(draft).status == 200
    # One form only: neither what has arrived nor another prefix will do.
    for wrong in ({"prefix": ""}, {"prefix": "/store/store"}, {"prefix": "/Store"}):
        assert through(client, "GET", "/a-bucket/k", host="up:9000", **wrong).code == "SignatureDoesNotMatch"
    other = signed(app, host="up:9000")
    assert through(other, "GET", "/a-bucket/k", **known).code == "SignatureDoesNotMatch"


def test_a_signature_for_one_path_does_not_open_another(behind, signed):
    app = behind("--external-url", "https://example.com/store")
    client = signed(app, host="example.com")
    assert through(client, "PUT", "/store", prefix="/store").status == 200
    assert through(client, "PUT", "/key", prefix="/store").status == 200
    assert through(client, "PUT", "/store/key", prefix="/store", body=b"1").status == 200
    draft = client.draft("GET", "/store/key")
    draft.target = "/store/key"
    assert client.send(draft).code == "SignatureDoesNotMatch"
    draft = client.draft("GET", "/store/key")
    draft.target = "/key"
    assert b"<ListBucketResult" in client.send(draft).body


def test_a_signature_cannot_be_split_into_prefix_and_path_by_its_bearer(behind, signed):
    """Through a proxy that passes headers on, who has a URL can say X-Forwarded-*, but not what they mean."""
    flags = ["--trusted-proxies", PROXY, "--external-url", "https://example.com/store"]
    for app in (behind("--trusted-proxies", PROXY), behind(*flags)):
        direct = signed(app, host="up:9000")
        for bucket in ("store", "other"):
            assert direct.request("PUT", f"/{bucket}").status == 200
            assert direct.request("PUT", f"/{bucket}/other/k", body=b"1").status == 200
        for host, prefix in (("up:9000", "/store"), ("example.com", "/store"), ("example.com", "")):
            url = signed(app, host=host).presign("GET", f"{prefix}/other/k")
            forwarded = {"X-Forwarded-Host": host, "X-Forwarded-Prefix": "/store/other", "Host": "up"}
            draft = direct.draft("GET", url.replace("/store/other/k", "/k"), forwarded, sign=False)
            draft.extra["REMOTE_ADDR"] = PROXY
            assert direct.send(draft).code in ("InvalidRequest", "SignatureDoesNotMatch")
        # A URL for the service's own host, taken to the proxy, is still for bucket "store".
        url = direct.presign("GET", "/store/other/k").replace("/store/", "/")
        draft = direct.draft("GET", url, {"X-Forwarded-Host": "up:9000", "Host": "up"}, sign=False)
        draft.extra["REMOTE_ADDR"] = PROXY
        assert direct.send(draft).code == "SignatureDoesNotMatch"


def test_presigned_urls_through_a_proxy(behind, signed):
    app = behind("--external-url", "https://example.com/store")
    client = signed(app, host="example.com")
    assert through(client, "PUT", "/a-bucket", prefix="/store").status == 200
    assert through(client, "PUT", "/a-bucket/k", prefix="/store", body=b"1").status == 200
    url = client.presign("GET", "/store/a-bucket/k")
    assert client.request("GET", url.removeprefix("/store"), {"Host": "up"}, sign=False).body == b"1"
    assert client.request("GET", url, {"Host": "example.com"}, sign=False).code == "SignatureDoesNotMatch"


def test_forwarded_headers_of_a_trusted_proxy(behind, signed):
    app = behind("--trusted-proxies", "10.0.0.0/24", "--external-url", "https://example.com:8443/store")
    client = signed(app, host="example.com:8443")
    forwarded = [("X-Forwarded-Host", "example.com:8443"), ("X-Forwarded-Prefix", "/store")]
    known = {"host": "up:9000", "prefix": "/store", "forwarded": forwarded}
    assert through(client, "PUT", "/a-bucket", **known).status == 200
    assert through(client, "PUT", "/a-bucket", peer="10.0.1.7", **known).code == "SignatureDoesNotMatch"
    assert through(client, "PUT", "/a-bucket", peer="", **known).code == "SignatureDoesNotMatch"
    # A direct client is served as ever, whatever it says of itself.
    direct = signed(app, host="up:9000")
    assert through(direct, "GET", "/a-bucket", peer="10.0.1.7", forwarded=forwarded).status == 200
    bad = [("X-Forwarded-Host", "a b")]
    refused = through(client, "GET", "/a-bucket", forwarded=bad)
    assert (refused.status, refused.code, refused.detail("Header")) == (
        400,
        "InvalidRequest",
        "x-forwarded-host",
    )


def test_buckets_in_the_host_through_a_proxy(behind, signed):
    app = behind("--domains", "s3.example.com", "--external-url", "https://s3.example.com:8443")
    path_style = signed(app, host="s3.example.com:8443")
    assert through(path_style, "PUT", "/a-bucket", host="up:9000").status == 200
    virtual = signed(app, host="a-bucket.s3.example.com:8443")
    # The port was lost on the way.
    assert through(virtual, "PUT", "/k", host="a-bucket.s3.example.com", body=b"1").status == 200
    assert through(path_style, "GET", "/a-bucket/k", host="s3.example.com").body == b"1"
    # Another bucket's name in Host is another request.
    assert through(virtual, "GET", "/k", host="b-bucket.s3.example.com").code == "SignatureDoesNotMatch"
    # With Host rewritten the bucket is gone: the request is for the service's own host, not signed for it.
    assert through(virtual, "GET", "/k", host="up:9000").code == "SignatureDoesNotMatch"


def test_buckets_in_a_forwarded_host(behind, signed):
    app = behind("--domains", "s3.example.com", "--trusted-proxies", PROXY)
    virtual = signed(app, host="a-bucket.s3.example.com")
    forwarded = [("X-Forwarded-Host", "a-bucket.s3.example.com")]
    assert through(virtual, "PUT", "/", host="up", forwarded=forwarded).status == 200
    assert through(virtual, "PUT", "/k", host="up", forwarded=forwarded, body=b"1").status == 200
    stranger = {"host": "up", "forwarded": forwarded, "peer": "192.0.2.7"}
    assert through(virtual, "GET", "/k", **stranger).code == "SignatureDoesNotMatch"
    # What the header names is what was signed, or nothing is done.
    other = [("X-Forwarded-Host", "b-bucket.s3.example.com")]
    assert through(virtual, "GET", "/k", host="up", forwarded=other).code == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("flags", "host", "prefix", "wanted"),
    [
        ((), "s3.example:9000", "", "http://s3.example:9000/a-bucket/k%20"),
        (("--external-url", "https://example.com/store"), "example.com", "/store",
         "https://example.com/store/a-bucket/k%20"),
    ],
)  # fmt: skip
def test_answers_tell_the_url_that_clients_know(behind, signed, flags, host, prefix, wanted):
    client = signed(behind(*flags), host=host)
    assert through(client, "PUT", "/a-bucket", prefix=prefix).status == 200
    begun = through(client, "POST", "/a-bucket/k%20?uploads", prefix=prefix).xml()
    upload = begun.findtext("{*}UploadId")
    part = through(client, "PUT", f"/a-bucket/k%20?partNumber=1&uploadId={upload}", prefix=prefix, body=b"1")
    body = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{part.headers['etag']}</ETag></Part></CompleteMultipartUpload>"
    )
    done = through(client, "POST", f"/a-bucket/k%20?uploadId={upload}", prefix=prefix, body=body.encode())
    assert done.xml().findtext("{*}Location") == wanted


def test_the_log_has_the_address_of_the_client(behind, signed):
    client = signed(behind("--trusted-proxies", PROXY))
    stream = io.StringIO()
    logger = logging.getLogger(logs.LOGGER)
    before = logger.handlers, logger.level, logger.propagate
    logs.setup("json", "info", stream)
    try:
        for peer in (PROXY, "192.0.2.7"):
            through(client, "GET", "/", peer=peer, forwarded=[("X-Forwarded-For", "6.6.6.6, 203.0.113.9")])
    finally:
        logger.handlers, logger.level, logger.propagate = before
    addresses = [json.loads(line)["remote_ip"] for line in stream.getvalue().splitlines()]
    assert addresses == ["203.0.113.9", "192.0.2.7"]
