"""The request body: counted, bounded, verified."""

import hashlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3shim import checksums
from s3shim.errors import Code, S3Error
from s3shim.wire.body import RequestBody

DATA = b"the quick brown fox" * 1000


def a_body(data=DATA, length=None, chunked=False, stream=None):
    environ = {"wsgi.input": stream or io.BytesIO(data), "wsgi.input_terminated": True}
    declared = None if chunked else str(len(data) if length is None else length)
    return RequestBody(environ, declared, "chunked" if chunked else None)


def drain(body, size=1000):
    parts = []
    while part := body.read(size):
        parts.append(part)
    return b"".join(parts)


def code_of(body):
    with pytest.raises(S3Error) as raised:
        drain(body)
    assert not body_has_digests(body)
    return raised.value.code


def body_has_digests(body):
    try:
        body.digests  # noqa: B018
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
def test_body_is_read_whole_and_hashed_once(chunked, size):
    body = a_body(chunked=chunked)
    assert drain(body, size) == DATA
    assert body.read(10) == b""
    assert body.received == len(DATA)
    assert body.read(1) == b""
    assert body.digests.md5 == hashlib.md5(DATA).hexdigest()
    crc = checksums.new("crc64nvme")
    crc.update(DATA)
    assert body.digests.checksums == {"crc64nvme": checksums.encode(crc.digest())}


@pytest.mark.parametrize("md5", [None, hashlib.md5(DATA).digest()])
def test_body_whose_sha256_is_handed_on_has_a_stated_md5_alone(md5):
    body = a_body()
    assert body.hand_on() is None
    body.expect_sha256(b"\1" * 32)
    if md5:
        body.expect_md5(md5)
    assert body.hand_on() == "01" * 32
    assert drain(body) == DATA
    assert body.digests.md5 == (md5.hex() if md5 else "")
    assert list(body.digests.checksums) == ["crc64nvme"]


def test_body_whose_checksum_is_its_sha256_is_verified_though_that_is_handed_on():
    body = a_body()
    body.expect_sha256(b"\1" * 32)
    body.expect_checksum("sha256", hashlib.sha256(DATA).digest())
    body.hand_on()
    assert code_of(body) is Code.XAmzContentSHA256Mismatch


@pytest.mark.parametrize("missing", [1, 5, len(DATA)])
def test_body_that_ends_early_is_incomplete(missing):
    assert code_of(a_body(DATA[: len(DATA) - missing], length=len(DATA))) is Code.IncompleteBody


def test_body_is_not_read_beyond_its_length():
    body = a_body(DATA, length=10)
    assert drain(body, 4) == DATA[:10]


def test_body_without_length_is_missing_content_length():
    body = RequestBody({"wsgi.input": io.BytesIO(DATA), "wsgi.input_terminated": True}, None, None)
    assert code_of(body) is Code.MissingContentLength


@pytest.mark.parametrize("chunked", [False, True])
def test_body_beyond_the_limit_is_too_large(chunked):
    body = a_body(chunked=chunked)
    body.limit = 100
    assert code_of(body) is Code.EntityTooLarge
    assert chunked or body.received == 0


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (TimeoutError(), Code.RequestTimeout),
        (OSError("reset"), Code.IncompleteBody),
        (ValueError(), Code.IncompleteBody),
    ],
)
def test_broken_connection_is_an_s3_error(raised, code):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise raised

        read1 = read

    assert code_of(a_body(stream=Broken())) is code


@pytest.mark.parametrize("algorithm", checksums.SIZES)
@pytest.mark.parametrize("right", [True, False])
def test_checksum_is_verified(algorithm, right):
    hasher = checksums.new(algorithm)
    hasher.update(DATA if right else DATA[1:])
    body = a_body()
    body.expect_checksum(algorithm, hasher.digest())
    if right:
        assert drain(body) == DATA
        assert body.digests.checksums == {algorithm: checksums.encode(hasher.digest())}
    else:
        assert code_of(body) is Code.BadDigest


@pytest.mark.parametrize(
    ("expect", "code"), [("expect_md5", Code.BadDigest), ("expect_sha256", Code.XAmzContentSHA256Mismatch)]
)
@pytest.mark.parametrize("data", [DATA, b""])
def test_digest_is_verified(expect, code, data):
    function = hashlib.md5 if expect == "expect_md5" else hashlib.sha256
    good = a_body(data)
    getattr(good, expect)(function(data).digest())
    assert drain(good) == data
    bad = a_body(data)
    getattr(bad, expect)(function(b"other").digest())
    assert code_of(bad) is code


def test_read_all_is_bounded():
    assert a_body().read_all(len(DATA)) == DATA
    for body in (a_body(), a_body(chunked=True)):
        with pytest.raises(S3Error) as raised:
            body.read_all(len(DATA) - 1)
        assert raised.value.code is Code.MaxMessageLengthExceeded


@given(st.binary(max_size=200), st.integers(1, 50))
def test_every_cut_is_noticed(data, size):
    for cut in range(len(data)):
        body = a_body(data[:cut], length=len(data))
        with pytest.raises(S3Error):
            drain(body, size)
