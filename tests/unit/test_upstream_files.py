"""The storage in another S3 that keeps objects as files: what lies between two "/" has at most 255 bytes."""

import json
import re

import pytest

from s3shim.backends.upstream.asking import probe
from s3shim.backends.upstream.backend import UpstreamBackend
from s3shim.backends.upstream.client import Client
from s3shim.cli.main import main
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo, ListQuery, ObjectRef, UploadQuery
from tests.contract import upstreams
from tests.contract.bodies import BytesBody, code_of, get, put
from tests.contract.uploads import begin, complete, upload


def as_files(send):
    """Return a ``Client.send`` of an upstream that does with keys what a file system does."""

    def sent(self, request):
        if request.method == "PUT" and any(len(name.encode()) > 255 for name in request.key.split("/")):
            raise S3Error(Code.KeyTooLongError)
        if request.method == "PUT" and request.key.endswith("/") and request.body:
            raise S3Error(Code.InvalidArgument)
        request.key = re.sub("/{2,}", "/", request.key.lstrip("/"))
        return send(self, request)

    return sent


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A backend over moto that keeps objects as files, with the bucket "bucket"."""
    settings = upstreams.over_moto(tmp_path).settings
    monkeypatch.setattr(Client, "send", as_files(Client.send))
    probe(settings)
    settings.dialect = "auto"
    backend = UpstreamBackend(settings)
    backend.start()
    backend.create_bucket(BucketInfo("bucket", "main", 1))
    yield backend
    backend.close()


def test_the_probe_tells_long_names_from_long_keys(files, capsys):
    dialect = files.dialect
    assert (dialect.max_key, dialect.max_segment, dialect.unfit) == (1024, 255, "^/|//|\\n")
    assert json.loads((files.settings.state / "dialect.json").read_text())["dialect"]["max_segment"] == 255
    keys = ["--upstream-access-key", upstreams.ACCESS, "--upstream-secret-key", upstreams.SECRET]
    data = str(files.settings.state.parent)
    assert (
        main(["doctor", "--upstream", "--data", data, "--upstream-endpoint", files.settings.endpoint, *keys])
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert "yes  keys of 1,024 bytes" in lines
    assert "no   keys of 1,024 bytes without /: refused" in lines
    assert "no   keys with //: refused" in lines
    assert "     keys end at 1024 bytes, and after 255 without /" in lines


@pytest.mark.parametrize("key", ["k" * 255, "/".join(["k" * 255] * 4), "\u00e9" * 127])
def test_keys_that_it_has_room_for_are_kept(files, key):
    put(files, key, b"data")
    assert get(files, key) == b"data"
    assert [info.key for info in files.list_objects("bucket", ListQuery()).items] == [key]


@pytest.mark.parametrize("key", ["k" * 256, "a/" + "k" * 256 + "/b", "\u00e9" * 128])
def test_keys_that_it_has_no_room_for_are_refused_before_a_byte_is_sent(files, key):
    assert code_of(put, files, key, b"data") is Code.KeyTooLongError
    assert code_of(files.head_object, ObjectRef("bucket", key), NO_CONDITIONS) is Code.NoSuchKey
    assert code_of(begin, files, key) is Code.KeyTooLongError


def test_keys_with_empty_names_are_refused(files):
    for key in ("a//b", "/a", "a//"):
        assert code_of(put, files, key, b"data") is Code.InvalidArgument
    assert files.list_objects("bucket", ListQuery()).items == []


def checked(data, *more):
    """Return a body with a SHA-256 and more checksums beside it."""
    body = BytesBody(data, algorithm="sha256")
    for algorithm in more:
        body.also(algorithm)
    return body


@pytest.mark.parametrize("more", [(), ("sha1", "crc64nvme", "crc32c", "crc32")])
def test_records_of_parts_have_short_names(files, more):
    long = "/".join(["k" * 200] * 5)
    ref = begin(files, long, algorithm="sha256")
    parts = [upload(files, ref, number, checked(b"x" * number, *more)) for number in (1, 2)]
    parts[0] = upload(files, ref, 1, checked(b"again", *more))
    assert files.list_parts(ref, 0, 10)[1] == parts
    assert [info.key for info in files.list_multipart_uploads("bucket", UploadQuery()).items] == [long]
    complete(files, ref, parts)
    assert get(files, long) == b"againxx"
    assert [name for name, _ in files.names_own("parts/")] == []
    assert [name for name, _ in files.names_own("uploads/")] == []
