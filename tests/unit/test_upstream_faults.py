"""An upstream that fails, lies, stalls or is not there: the right error, and nothing that is not whole."""

import hashlib
import json
import ssl
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from zlib import crc32

import pytest
import trustme

from s3shim.conditions import NO_CONDITIONS
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.model import ListQuery, ObjectMeta, ObjectRef
from s3shim.ranges import ByteRange
from tests.contract.bodies import BytesBody, code_of, get, pattern, put
from tests.server.certificates import Authority
from tests.unit.fake_upstream import Answer, FakeUpstream, backend_over, error

KEY = ObjectRef("bucket", "key")


def md5(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def found(data):
    return Answer(200, data, {"ETag": f'"{md5(data)}"'})


# -- the table of errors -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "name", "code", "attempts"),
    [
        (403, "AccessDenied", Code.InternalError, 1),
        (403, "SignatureDoesNotMatch", Code.InternalError, 1),
        (401, "Unauthorized", Code.InternalError, 1),
        (404, "NoSuchKey", Code.NoSuchKey, 1),
        (404, "NoSuchBucket", Code.NoSuchBucket, 1),
        (404, "", Code.ServiceUnavailable, 1),
        (404, "NotFound", Code.ServiceUnavailable, 1),
        (409, "OperationAborted", Code.SlowDown, 1),
        (400, "SomethingNew", Code.InternalError, 1),
        (405, "MethodNotAllowed", Code.InternalError, 1),
        (429, "TooManyRequests", Code.SlowDown, 3),
        (500, "InternalError", Code.InternalError, 3),
        (501, "NotImplemented", Code.NotImplemented, 1),
        (502, "", Code.InternalError, 3),
        (503, "SlowDown", Code.SlowDown, 3),
        (503, "", Code.SlowDown, 3),
        (504, "", Code.InternalError, 3),
        (507, "", Code.InsufficientStorage, 1),
    ],
)
def test_what_the_upstreams_errors_mean(over, status, name, code, attempts):
    backend, fake = over(lambda asked: error(status, name))
    assert code_of(get, backend, "key") is code
    assert len(fake.asked) == attempts


def test_a_redirect_is_not_followed(over):
    elsewhere = []
    other = FakeUpstream(lambda asked: elsewhere.append(asked) or Answer())
    with other:
        backend, fake = over(lambda asked: Answer(307, headers={"Location": f"{other.endpoint}/bucket/key"}))
        assert code_of(get, backend, "key") is Code.InternalError
        assert code_of(put, backend, "key", b"data") is Code.InternalError
    assert (len(fake.asked), elsewhere) == (2, [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>It works!</html>",
        b"\xff\xfe",
        b"<ListBucketResult><IsTruncated>false</IsTruncated>",
        b"<ListBucketResult></ListBucketResult>",
        b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>a</Key></Contents></ListBucketResult>",
        b"<!DOCTYPE a><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>",
        b"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><Contents><Key>%FF"
        b"</Key><Size>1</Size><ETag>a</ETag><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>"
        b"</ListBucketResult>",
    ],
)
def test_garbage_is_no_empty_listing(over, body):
    backend, _ = over(lambda asked: Answer(200, body))
    assert code_of(backend.list_objects, "bucket", ListQuery()) is Code.InternalError


def test_an_answer_without_end_is_given_up(over):
    backend, _ = over(lambda asked: Answer(200, bytes(33 * 1024**2)))
    assert code_of(backend.list_objects, "bucket", ListQuery()) is Code.InternalError


def test_a_copy_that_fails_with_200(over):
    def answer(asked):
        if asked.method == "HEAD":
            return Answer(200, b"data", {"ETag": f'"{md5(b"data")}"'})
        return Answer(200, b"<Error><Code>InternalError</Code><Message>late</Message></Error>")

    backend, _ = over(answer)
    copied = code_of(backend.copy_object, Copy(KEY), ObjectRef("bucket", "copy"), NO_CONDITIONS)
    assert copied is Code.InternalError


# -- away, slow, back --------------------------------------------------------------------------


def test_an_upstream_that_is_not_there_and_comes(tmp_path):
    with FakeUpstream(lambda asked: Answer()) as fake:
        endpoint = fake.endpoint
    backend = backend_over(endpoint, tmp_path)
    with pytest.raises(S3Error) as caught:
        backend.check()
    assert (caught.value.code, caught.value.message) == (
        Code.ServiceUnavailable,
        "The storage cannot be reached.",
    )
    assert code_of(get, backend, "key") is Code.ServiceUnavailable
    data = b"back"
    with FakeUpstream(lambda asked: found(data)) as fake:
        backend.close()
        backend = backend_over(fake.endpoint, tmp_path)
        assert get(backend, "key") == data
        backend.close()


def test_an_upstream_that_was_never_asked_is_asked_once_a_second(over):
    """Until it answers, requests do not queue to find out what it can do."""
    backend, fake = over(lambda asked: error(503, "SlowDown"), dialect="auto", attempts=1)
    codes = [code_of(get, backend, "key") for _ in range(20)]
    assert (codes[0], set(codes[1:])) == (Code.SlowDown, {Code.ServiceUnavailable})
    assert len(fake.asked) == 1
    time.sleep(1.1)
    assert code_of(get, backend, "key") is Code.SlowDown


def test_a_stall_ends_in_time(over):
    backend, _ = over(lambda asked: Answer(stall=True), attempts=1)
    began = time.monotonic()
    assert code_of(get, backend, "key") is Code.ServiceUnavailable
    assert time.monotonic() - began < 5


LARGE = pattern(24 * 1024**2)
"""More than the kernel takes for a peer that does not read."""


def takes_all(asked):
    return Answer(200, f"<CopyObjectResult><ETag>{md5(LARGE)}</ETag></CopyObjectResult>".encode())


@pytest.mark.parametrize("block", [4096, len(LARGE)])
def test_a_pause_in_taking_a_body_is_waited_out(over, block):
    """The time to connect is not that for a body to move."""
    backend, fake = over(takes_all, pause=1.5, connect_timeout=0.5, idle_timeout=20.0, block_size=block)
    assert put(backend, "key", LARGE).etag == md5(LARGE)
    assert any(asked.body == LARGE for asked in fake.asked)


@pytest.mark.parametrize("block", [4096, len(LARGE)])
def test_a_body_that_is_not_taken_ends_in_time(over, block):
    backend, _ = over(takes_all, pause=30.0, attempts=1, block_size=block)
    began = time.monotonic()
    assert code_of(put, backend, "key", LARGE) is Code.ServiceUnavailable
    assert time.monotonic() - began < 5


def test_a_burst_of_503_is_waited_out(over):
    data = b"data"
    answers = [error(503, "SlowDown"), error(503, "SlowDown")]
    backend, fake = over(lambda a: answers.pop() if answers else found(data))
    assert get(backend, "key") == data
    assert put(backend, "key", data).etag == md5(data)
    assert len(fake.asked) == 4


def test_a_connection_that_was_closed_meanwhile_is_replaced(over):
    data = b"data"
    lost = [1]
    backend, fake = over(lambda a: None if lost and lost.pop() else found(data))
    assert get(backend, "key") == data
    assert len(fake.asked) == 2


def staged_puts(fake):
    return [asked.body for asked in fake.asked if asked.method == "PUT" and "/staged/" in asked.path]


def test_a_body_that_was_half_sent_is_not_sent_again(over):
    backend, fake = over(
        lambda asked: error(503, "SlowDown") if "staged" in asked.path and asked.method == "PUT" else Answer()
    )
    assert code_of(put, backend, "key", pattern(3_000_000)) is Code.SlowDown
    assert len(staged_puts(fake)) == 1
    assert [asked for asked in fake.asked if asked.path == "/bucket/key"] == []


def test_the_first_mebibyte_of_a_body_is_sent_again(over):
    """A kept connection may have been closed in the very moment."""
    data = pattern(900_000)
    lost = [1]

    def answer(asked):
        if asked.method != "PUT":
            return Answer(200, headers={"ETag": f'"{md5(data)}"'})
        if "staged" in asked.path:
            return None if lost and lost.pop() else Answer(200, headers={"ETag": f'"{md5(data)}"'})
        return Answer(200, f"<CopyObjectResult><ETag>{md5(data)}</ETag></CopyObjectResult>".encode())

    backend, fake = over(answer)
    assert put(backend, "key", BytesBody(data, piece=100_000)).etag == md5(data)
    assert staged_puts(fake) == [data, data]


@pytest.mark.parametrize("length", [100_000, None])
def test_nobody_waits_long_for_what_tidies_up(over, length):
    """What stays behind is swept later."""

    def answer(asked):
        begun = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
        return Answer(200, begun) if asked.method in ("HEAD", "POST") else Answer(stall=True)

    backend, fake = over(answer, attempts=2)
    assert code_of(put, backend, "key", BytesBody(pattern(100_000), length=length)) is Code.ServiceUnavailable
    tidying = [asked for asked in fake.asked if asked.method == "DELETE"]
    assert len(tidying) == len({asked.path for asked in tidying}) == (1 if length else 2)


# -- bytes that are not those that were sent or stored -------------------------------------------


def test_an_object_cut_off_is_never_complete(over):
    data = pattern(1_000_000)
    backend, _ = over(lambda asked: Answer(200, data, {"ETag": f'"{md5(data)}"'}, cut=600_000))
    stream = backend.get_object(KEY, None, NO_CONDITIONS)
    received = []
    with pytest.raises(S3Error) as caught:
        received.extend(stream.chunks)
    assert caught.value.code is Code.InternalError
    assert b"".join(received) == data[: sum(map(len, received))]
    assert sum(map(len, received)) <= 600_000


def crc_entry(data):
    value = b64encode(crc32(data).to_bytes(4, "big")).decode()
    return {"x-amz-meta-s3shim": json.dumps({"t": 1, "c": {"crc32": value}})}


@pytest.mark.parametrize("kind", ["etag", "checksum"])
@pytest.mark.parametrize("size", [10, 300_000, 1_000_000])
def test_the_end_of_a_damaged_object_does_not_leave(over, size, kind):
    data = pattern(size)
    headers = {"ETag": f'"{md5(data)}"'} if kind == "etag" else {"ETag": '"x-2"', **crc_entry(data)}
    damaged = bytearray(data)
    damaged[size // 2] ^= 1
    backend, _ = over(lambda asked: Answer(200, bytes(damaged), headers))
    received = []

    def read():
        received.extend(backend.get_object(KEY, None, NO_CONDITIONS).chunks)

    assert code_of(read) is Code.InternalError
    assert sum(map(len, received)) < size


def test_an_undamaged_object_leaves_whole(over):
    data = pattern(1_000_000)
    backend, _ = over(lambda asked: Answer(200, data, {"ETag": '"x-2"', **crc_entry(data)}))
    assert get(backend, "key") == data


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Range": "bytes 0-3/10"},
        {"Content-Range": "bytes 2-5/*"},
        {"Content-Range": "bytes 2-5/5"},
        {"Content-Range": "lines 2-5/10"},
    ],
)
def test_a_range_that_was_not_asked_for(over, headers):
    def answer(asked):
        if asked.method == "HEAD":
            return Answer(200, b"0123456789", {"ETag": '"x"'})
        return Answer(206, b"2345", {"ETag": '"x"', **headers})

    backend, _ = over(answer)
    assert code_of(get, backend, "key", ByteRange(2, 5)) is Code.InternalError


def test_an_upstream_that_ignores_ranges(over):
    data = pattern(500_000)
    backend, _ = over(lambda asked: found(data))
    assert get(backend, "key", ByteRange(300_000, 300_009)) == data[300_000:300_010]
    assert get(backend, "key", ByteRange(None, 7)) == data[-7:]


def test_a_body_that_fails_is_not_sent_to_its_end(over):
    backend, fake = over(lambda asked: Answer())
    body = BytesBody(pattern(100_000), piece=10_000, fail_at=5, error=S3Error(Code.BadDigest))
    assert code_of(put, backend, "key", body) is Code.BadDigest
    assert [asked for asked in fake.asked if asked.method == "PUT" and len(asked.body) == 100_000] == []
    assert [asked for asked in fake.asked if asked.path == "/bucket/key"] == []


# -- TLS ---------------------------------------------------------------------------------------


def _server_tls(cert, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def _refused(backend, fake):
    before = len(fake.asked)
    with pytest.raises(S3Error) as caught:
        backend.put_object(KEY, BytesBody(b"data"), ObjectMeta(), NO_CONDITIONS)
    backend.close()
    message = "The storage's certificate cannot be verified."
    return (caught.value.code, caught.value.message) == (Code.ServiceUnavailable, message) and (
        len(fake.asked) == before
    )


def test_a_certificate_of_another_authority_is_refused(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    authority, other = Authority(tmp_path / "one"), Authority(tmp_path / "two")
    with FakeUpstream(lambda asked: found(b"data"), _server_tls(authority.cert, authority.key)) as fake:
        trusting = backend_over(fake.endpoint, tmp_path, ca=authority.bundle)
        assert get(trusting, "key") == b"data"
        trusting.close()
        assert _refused(backend_over(fake.endpoint, tmp_path, ca=other.bundle), fake)


def test_a_certificate_that_has_expired_is_refused(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    issued = authority.issue_cert("127.0.0.1", not_before=yesterday, not_after=yesterday + timedelta(hours=1))
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "pair.pem")
    tls = _server_tls(tmp_path / "pair.pem", None)
    with FakeUpstream(lambda asked: found(b"data"), tls) as fake:
        assert _refused(backend_over(fake.endpoint, tmp_path, ca=tmp_path / "ca.pem"), fake)
