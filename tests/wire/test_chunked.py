"""Bodies in aws-chunked framing: chunks, signatures, lengths, trailers are verified, or nothing happens."""

import io
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3shim.errors import S3Error
from s3shim.wire.chunked import ChunkedInput
from tests.wire.chunks import PAYLOADS, SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER, Framed, crc32, cut, framed
from tests.wire.refusal import VICTIM, Probe
from tests.wire.signing import Signer

BODY = random.Random(1).randbytes(20_000)
CHUNKS = cut(BODY, 8192)


@pytest.fixture
def probe(client, app, bucket):
    """A probe; see there."""
    return Probe(client, app.backend)


def body_of(payload, chunks=CHUNKS, **options):
    """Return a right body: with a trailer where ``payload`` has one."""
    trailers = [] if payload == SIGNED else [("x-amz-checksum-crc32", crc32(b"".join(chunks)))]
    return Framed(payload, list(chunks), trailers, **options)


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 70_000, 200_000])
@pytest.mark.parametrize("chunk", [8192, 65536])
def test_what_is_in_the_chunks_is_stored(client, bucket, payload, size, chunk):
    data = random.Random(size).randbytes(size)
    draft = framed(client, "/a-bucket/key", body_of(payload, cut(data, chunk)))
    answer = client.send(draft)
    assert answer.status == 200, answer
    found = client.request("GET", "/a-bucket/key", {"x-amz-checksum-mode": "ENABLED"})
    assert found.body == data
    assert found.headers.get("content-encoding") is None
    if payload != SIGNED:
        assert answer.headers["x-amz-checksum-crc32"] == crc32(data)
        assert found.headers["x-amz-checksum-crc32"] == crc32(data)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("payload", [SIGNED_TRAILER, UNSIGNED_TRAILER])
def test_both_ends_of_trailer_lines(client, bucket, payload, newline):
    draft = framed(client, "/a-bucket/key", body_of(payload, newline=newline))
    assert client.send(draft).status == 200
    assert client.request("GET", "/a-bucket/key").body == BODY


@pytest.mark.parametrize("payload", PAYLOADS)
def test_parts(client, bucket, payload):
    created = client.request("POST", "/a-bucket/key?uploads")
    upload_id = re.search(rb"<UploadId>(.+)</UploadId>", created.body)[1].decode()
    target = f"/a-bucket/key?partNumber=1&uploadId={upload_id}"
    answer = client.send(framed(client, target, body_of(payload)))
    assert answer.status == 200
    document = (
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber>"
        f"<ETag>{answer.headers['etag']}</ETag></Part></CompleteMultipartUpload>"
    )
    done = client.request("POST", f"/a-bucket/key?uploadId={upload_id}", body=document.encode())
    assert done.status == 200, done
    assert client.request("GET", "/a-bucket/key").body == BODY


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("aws-chunked", None),
        ("gzip,aws-chunked", "gzip"),
        ("AWS-Chunked, gzip", "gzip"),
        ("gzip", "gzip"),
        ("", None),
    ],
)
def test_the_framing_is_no_encoding_of_the_object(client, bucket, sent, kept):
    draft = framed(client, "/a-bucket/key", body_of(SIGNED), headers={"Content-Encoding": sent})
    assert client.send(draft).status == 200
    assert client.request("HEAD", "/a-bucket/key").headers.get("content-encoding") == kept


def test_the_name_of_the_framing_frames_nothing(client, bucket):
    answer = client.request("PUT", "/a-bucket/key", {"Content-Encoding": "aws-chunked"}, body=b"5\r\nhello")
    assert answer.status == 200
    assert client.request("GET", "/a-bucket/key").body == b"5\r\nhello"


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize(
    "size",
    ["", "0x2000", "-1", "+2000", " 2000", "2000 ", "g", "00000000000002000", "7fffffffffffffff", "1fff"],
)
def test_chunk_sizes(probe, payload, size):
    body = body_of(payload, sizes=lambda number, real: size if number == 0 else f"{real:x}")
    probe.refused(framed(probe.client, VICTIM, body), 400, "IncompleteBody")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_an_endless_chunk_head(probe, payload):
    body = body_of(payload, sizes=lambda number, real: f"{real:x};{'x' * 5000}")
    probe.refused(framed(probe.client, VICTIM, body), 400, "IncompleteBody")


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("size", [1, 8191])
def test_small_chunks_before_the_last(probe, payload, size):
    draft = framed(probe.client, VICTIM, body_of(payload, cut(BODY, size)))
    probe.refused(draft, 403, "InvalidChunkSizeError")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_last_chunk(probe, payload):
    probe.refused(framed(probe.client, VICTIM, body_of(payload, final=False)), 400, "IncompleteBody")


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize(
    ("value", "status", "code"),
    [
        ("", 411, "MissingContentLength"),
        ("-1", 411, "MissingContentLength"),
        ("abc", 411, "MissingContentLength"),
        ("1e3", 411, "MissingContentLength"),
        ("19999", 400, "IncompleteBody"),
        ("20001", 400, "IncompleteBody"),
        ("0", 400, "IncompleteBody"),
        ("9" * 13, 400, "EntityTooLarge"),
    ],
)
def test_decoded_length(probe, payload, value, status, code):
    probe.refused(framed(probe.client, VICTIM, body_of(payload), decoded=value), status, code)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_bytes_after_the_end(probe, payload):
    draft = framed(probe.client, VICTIM, body_of(payload))
    draft.body += b"0\r\n\r\n"
    draft.set("Content-Length", str(len(draft.body)))
    code = "IncompleteBody" if payload == SIGNED else "MalformedTrailerError"
    probe.refused(draft, 400, code)


def swapped(chunks):
    return [chunks[1], chunks[0], *chunks[2:]]


@pytest.mark.parametrize(
    "change",
    [swapped, lambda chunks: chunks[1:], lambda chunks: [chunks[0], *chunks]],
    ids=["swap", "drop", "repeat"],
)
@pytest.mark.parametrize("payload", [SIGNED, SIGNED_TRAILER])
def test_chunks_moved_with_their_signatures(probe, payload, change):
    draft = framed(probe.client, VICTIM, body_of(payload))
    size = len(f"2000;chunk-signature={'0' * 64}\r\n") + 8192 + 2
    pieces = [draft.body[:size], draft.body[size : 2 * size]]
    draft.body = b"".join(change(pieces)) + draft.body[2 * size :]
    data = (
        len(BODY)
        + (len(draft.body) - len(framed(probe.client, VICTIM, body_of(payload)).body)) // size * 8192
    )
    draft = resigned(probe, draft, payload, data)
    probe.refused(draft, 403, "SignatureDoesNotMatch")


def resigned(probe, draft, payload, decoded):
    """Return a request with the same bytes as its body; the seed of their signatures is another one."""
    fresh = framed(probe.client, VICTIM, body_of(payload), decoded=str(decoded))
    fresh.body = draft.body
    fresh.set("Content-Length", str(len(draft.body)))
    return fresh


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_forged_request_signature(probe, payload):
    stranger = Signer("MAINACCESSKEY", "not-the-secret-of-main")
    draft = framed(probe.client, VICTIM, body_of(payload))
    right = draft.header("Authorization")
    wrong = probe.client.draft("PUT", VICTIM, payload=payload, signer=stranger).header("Authorization")
    draft.set("Authorization", right.rpartition("=")[0] + "=" + wrong.rpartition("=")[2])
    probe.refused(draft, 403, "SignatureDoesNotMatch")


def test_unknown_and_unserved_framings(probe):
    probe.refused(probe.put(payload="STREAMING-ANYTHING"), 400, "InvalidArgument")
    probe.refused(probe.put(payload="STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"), 501, "NotImplemented")


TRAILERS = [
    ("wrong value", [("x-amz-checksum-crc32", crc32(b"other"))], 400, "BadDigest"),
    ("no base64", [("x-amz-checksum-crc32", "not-base64!")], 400, "InvalidRequest"),
    ("wrong length", [("x-amz-checksum-crc32", "AAAAAAA=")], 400, "InvalidRequest"),
    ("two", [("x-amz-checksum-crc32", crc32(BODY)), ("x-amz-meta-a", "1")], 400, "MalformedTrailerError"),
    ("other", [("x-amz-checksum-crc32c", crc32(BODY))], 400, "MalformedTrailerError"),
    ("smuggled", [("x-amz-acl", "public-read")], 400, "MalformedTrailerError"),
    ("no name", [("", "value")], 400, "MalformedTrailerError"),
    ("none", [], 400, "MalformedTrailerError"),
    ("twice", [("x-amz-checksum-crc32", crc32(BODY))] * 2, 400, "MalformedTrailerError"),
]


@pytest.mark.parametrize("payload", [SIGNED_TRAILER, UNSIGNED_TRAILER])
@pytest.mark.parametrize(
    ("trailers", "status", "code"), [case[1:] for case in TRAILERS], ids=[c[0] for c in TRAILERS]
)
def test_trailers_other_than_announced(probe, payload, trailers, status, code):
    draft = only_one_announcement(probe, payload, trailers)
    probe.refused(draft, status, code)


def only_one_announcement(probe, payload, trailers):
    """Return a request that announces a CRC-32 and has ``trailers``."""
    draft = framed(probe.client, VICTIM, body_of(payload))
    seed = draft.header("Authorization").rpartition("Signature=")[2]
    draft.body = Framed(payload, list(CHUNKS), trailers).encode(
        probe.client.signer, draft.header("x-amz-date"), seed
    )
    draft.set("Content-Length", str(len(draft.body)))
    return draft


@pytest.mark.parametrize("payload", [SIGNED, SIGNED_TRAILER])
def test_trailer_announcements_that_do_not_fit(probe, payload):
    lines = {"x-amz-trailer": "x-amz-checksum-crc32"} if payload == SIGNED else {}
    draft = framed(probe.client, VICTIM, Framed(payload, list(CHUNKS)), headers=lines)
    probe.refused(draft, 400, "InvalidRequest")
    plain = probe.put(headers={"x-amz-trailer": "x-amz-checksum-crc32"}, payload="unsigned")
    probe.refused(plain, 400, "InvalidRequest")


def test_a_trailer_that_is_no_checksum_cannot_be_announced(probe):
    draft = framed(probe.client, VICTIM, Framed(UNSIGNED_TRAILER, list(CHUNKS), [("x-amz-meta-a", "1")]))
    probe.refused(draft, 400, "InvalidRequest")


def test_a_header_and_a_trailer(probe):
    headers = {"x-amz-checksum-crc32": crc32(BODY)}
    probe.refused(
        framed(probe.client, VICTIM, body_of(UNSIGNED_TRAILER), headers=headers), 400, "InvalidRequest"
    )


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize("target", ["/a-bucket?delete", "/a-bucket/victim?uploads", "/a-bucket?tagging"])
def test_operations_without_a_body_of_bytes(probe, payload, target):
    answer = probe.client.send(framed(probe.client, target, body_of(payload), method="POST"))
    assert answer.status in (400, 405, 501)
    assert answer.code in ("InvalidRequest", "NotImplemented", "MethodNotAllowed")


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_flipped_bit_stores_the_sent_bytes_or_nothing(probe, payload):
    source = random.Random(7)
    refused = 0
    for _ in range(150):
        draft = framed(probe.client, VICTIM, body_of(payload))
        body = bytearray(draft.body)
        body[source.randrange(len(body))] ^= 1 << source.randrange(8)
        draft.body = bytes(body)
        answer = probe.client.send(draft)
        stored = probe.client.request("GET", VICTIM).body
        if answer.status == 200:
            assert stored == BODY
            assert probe.client.request("PUT", VICTIM, body=b"precious").status == 200
        else:
            refused += 1
            assert answer.status in (400, 403)
            assert stored == b"precious"
    assert refused > 140


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_body_cut_anywhere_stores_nothing(probe, payload):
    source = random.Random(8)
    draft = framed(probe.client, VICTIM, body_of(payload))
    whole, length = draft.body, draft.header("Content-Length")
    places = [*range(40), *source.sample(range(len(whole)), 60), *range(len(whole) - 200, len(whole))]
    for place in places:
        draft.body = whole[:place]
        draft.set("Content-Length", length)
        assert probe.client.send(draft).status == 400
        draft.set("Content-Length", str(place))
        assert probe.client.send(draft).status in (400, 403)
    assert probe.client.request("GET", VICTIM).body == b"precious"


class _Any:
    def chunk(self, digest):
        return "0" * 64

    trailer = chunk


@given(
    st.binary(max_size=300)
    | st.lists(
        st.sampled_from(
            [b"0", b"5", b"2000", b";", b"chunk-signature=", b"0" * 64, b"\r\n", b"\n", b"x:y", b"hello"]
        )
    ).map(b"".join),
    st.booleans(),
    st.booleans(),
    st.integers(0, 10),
)
def test_any_bytes_end_in_data_or_in_an_error_of_s3(data, signed, trailing, length):
    reader = ChunkedInput(io.BytesIO(data), length, _Any() if signed else None, trailing=trailing)
    try:
        found = b"".join(iter(lambda: reader.read(4), b""))
    except S3Error as error:
        refused = error.status
    else:
        refused = 0
        assert len(found) == length
    assert refused in (0, 400, 403)
