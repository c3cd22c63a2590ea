"""Checksums of presigned URLs: in the query made before there was a body, in a header a promise."""

import re

import pytest

from tests.wire.chunks import crc32
from tests.wire.refusal import VICTIM, Probe
from tests.wire.test_presigned import presigned, sent

# As JavaScript's SDK signs a PutObject without a body: the CRC-32 of nothing.
OF_NOTHING = "x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32&x-id=PutObject"
RIGHT = crc32(b"evil")


@pytest.fixture(params=[True, False], ids=["raw headers", "folded headers"])
def probe(request, app, signed, bucket):
    """A probe behind a server that gives raw headers, and behind one that does not."""
    return Probe(signed(app, raw_headers=request.param), app.backend)


@pytest.mark.parametrize(
    "query",
    [
        OF_NOTHING,
        "X-Amz-Checksum-Crc32=AAAAAA%3D%3D&X-Amz-Sdk-Checksum-Algorithm=CRC32",
        "x-amz-sdk-checksum-algorithm=SHA256",
        "x-amz-checksum-sha256=bad%2BnDnO0vTnour8G%2B5YPPx4tLMvxgS0K3ZBusogZxU%3D&"
        "x-amz-sdk-checksum-algorithm=SHA256",
    ],
)
def test_in_the_query_it_is_not_held_against_the_body(probe, query):
    probe.accepted(presigned(probe, target=f"{VICTIM}?{query}"))
    found = probe.client.request("GET", VICTIM, {"x-amz-checksum-mode": "ENABLED"})
    assert found.body == b"evil"
    # Nor does the object have it: what it has was computed from the bytes.
    assert [name for name in found.headers if name.startswith("x-amz-checksum-")] == [
        "x-amz-checksum-crc64nvme",
        "x-amz-checksum-type",
    ]


def test_in_the_query_it_is_still_signed(probe):
    target = probe.client.presign("PUT", f"{VICTIM}?{OF_NOTHING}")
    for old, new in (("AAAAAA%3D%3D", "AAAAAQ%3D%3D"), ("algorithm=CRC32", "algorithm=SHA1")):
        assert old in target
        probe.refused(sent(target.replace(old, new)), 403, "SignatureDoesNotMatch")


def test_of_an_unknown_algorithm(probe):
    draft = presigned(probe, target=f"{VICTIM}?x-amz-checksum-fnord=AAAAAA%3D%3D")
    probe.refused(draft, 501, "NotImplemented")


@pytest.mark.parametrize(("value", "right"), [("AAAAAA==", False), (RIGHT, True)])
@pytest.mark.parametrize("query", ["", f"?{OF_NOTHING}"])
def test_a_signed_header_is_held_against_the_body(probe, value, right, query):
    draft = presigned(probe, target=VICTIM + query, headers=[("x-amz-checksum-crc32", value)])
    if right and query:
        # The query says another value than the header.
        probe.refused(draft, 400, "InvalidRequest")
    elif right:
        probe.accepted(draft)
        assert probe.client.request("GET", VICTIM).body == b"evil"
    else:
        probe.refused(draft, 400, "BadDigest")


def test_a_header_that_is_not_signed(probe):
    draft = sent(probe.client.presign("PUT", VICTIM), headers=[("x-amz-checksum-crc32", RIGHT)])
    answer = probe.refused(draft, 403, "AccessDenied")
    assert answer.detail("HeadersNotSigned") == "x-amz-checksum-crc32"


def test_of_a_part(probe):
    created = probe.client.request("POST", f"{VICTIM}?uploads", {"x-amz-checksum-algorithm": "CRC32"})
    upload_id = re.search(rb"<UploadId>(.+)</UploadId>", created.body)[1].decode()
    query = OF_NOTHING.replace("PutObject", "UploadPart")
    answer = probe.accepted(presigned(probe, target=f"{VICTIM}?partNumber=1&uploadId={upload_id}&{query}"))
    assert answer.headers["x-amz-checksum-crc32"] == RIGHT
