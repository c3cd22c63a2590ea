"""``--open-access``: whoever asks is the same account, and bodies are still what they are said to be."""

import shutil

import pytest

from s3shim.backends.memory import MemoryBackend
from s3shim.config import load
from s3shim.wsgi import create_app
from tests.wire.chunks import PAYLOADS, UNSIGNED_TRAILER, Framed, crc32, cut, framed
from tests.wire.forms import form_body, post, upload

DATA = b"some data" * 3000


@pytest.fixture
def app(tmp_path, credentials_file):
    """A service that is open; a file of keys is there, as the start of the server makes it."""
    shutil.copy(credentials_file, tmp_path / "credentials.json")
    return create_app(load(["--data", str(tmp_path), "--open-access"], {}), MemoryBackend())


@pytest.fixture
def client(app, reach):
    """A client with keys that nobody knows."""
    return reach(app, "NOBODYSKEY", "nobody's-secret")


def stored(client, bucket, key="k"):
    answer = client.request("GET", f"/{bucket}/{key}", sign=False)
    return answer.body if answer.status == 200 else answer.code


def test_without_a_signature(client, bucket):
    assert client.request("PUT", f"/{bucket}/k", body=DATA, sign=False).status == 200
    assert stored(client, bucket) == DATA
    listed = client.request("GET", f"/{bucket}?list-type=2", sign=False)
    assert listed.xml().findtext("{*}Contents/{*}Key") == "k"
    owner = client.request("GET", "/", sign=False).xml()
    assert owner.findtext("{*}Owner/{*}ID") == "default"
    assert client.request("DELETE", f"/{bucket}/k", sign=False).status == 204


def test_with_any_signature(client, stranger, bucket):
    for number, who in enumerate((client, stranger)):
        assert who.request("PUT", f"/{bucket}/{number}", body=DATA).status == 200
        assert stored(client, bucket, str(number)) == DATA
        assert who.request("GET", f"/{bucket}/{number}", date=1e9).body == DATA
        assert client.request("GET", who.presign("GET", f"/{bucket}/0", date=1e9), sign=False).body == DATA
    for value in ("AWS key:signature", "Bearer x", "AWS4-HMAC-SHA256 nonsense"):
        answer = client.request("GET", f"/{bucket}/0", headers={"Authorization": value}, sign=False)
        assert answer.body == DATA


@pytest.mark.parametrize("payload", PAYLOADS)
def test_bodies_in_chunks_are_unframed_whoever_signed_them(client, bucket, payload):
    body = Framed(payload, cut(DATA, 8192))
    if payload.endswith("TRAILER"):
        body.trailers = [("x-amz-checksum-crc32", crc32(DATA))]
    draft = framed(client, f"/{bucket}/k", body)
    assert client.send(draft).status == 200
    assert stored(client, bucket) == DATA


@pytest.mark.parametrize("payload", PAYLOADS)
def test_what_is_wrong_with_a_body_is_found(client, bucket, payload):
    body = Framed(payload, cut(DATA, 8192))
    if payload.endswith("TRAILER"):
        body.trailers = [("x-amz-checksum-crc32", crc32(b"other"))]
        assert client.send(framed(client, f"/{bucket}/k", body)).code == "BadDigest"
    draft = framed(client, f"/{bucket}/k", body)
    if payload != UNSIGNED_TRAILER:
        draft.body = draft.body.replace(b";chunk-signature=", b";chunk-signaturE=", 1)
        assert client.send(draft).code == "IncompleteBody"
    for stated, code in (("0" * 64, "XAmzContentSHA256Mismatch"), ("nonsense", "InvalidArgument")):
        assert client.request("PUT", f"/{bucket}/k", body=DATA, payload=stated).code == code
        unsigned = {"x-amz-content-sha256": stated}
        assert client.request("PUT", f"/{bucket}/k", unsigned, DATA, sign=False).code == code
    assert stored(client, bucket) == "NoSuchKey"


def test_forms(client, bucket):
    assert post(client, f"/{bucket}", form_body({"key": "unsigned"}, DATA)).status == 204
    assert upload(client, bucket, {"key": "signed"}, file=DATA).status == 204
    assert upload(client, bucket, {"key": "not-of-its-policy"}, [{"key": "a"}], file=DATA).status == 204
    assert upload(client, bucket, {"key": "late"}, expires=-600, file=DATA).status == 204
    for key in ("unsigned", "signed", "not-of-its-policy", "late"):
        assert stored(client, bucket, key) == DATA


def test_what_is_not_understood_is_refused_as_ever(client, bucket):
    answer = client.request("GET", f"/{bucket}/k?torrent", sign=False)
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert client.request("GET", "/missing-bucket", sign=False).code == "NoSuchBucket"
    expected = {"x-amz-expected-bucket-owner": "main"}
    assert client.request("HEAD", f"/{bucket}", expected, sign=False).status == 403


def test_others_are_told_nothing_of_it(tmp_path, credentials_file, reach):
    config = load(["--data", str(tmp_path), "--credentials", str(credentials_file)], {})
    closed = reach(create_app(config, MemoryBackend()), "NOBODYSKEY", "nobody's-secret")
    assert closed.request("GET", "/", sign=False).code == "AccessDenied"
    assert closed.request("GET", "/").code == "InvalidAccessKeyId"
