"""Multipart uploads, copies and conditions at their edges."""

import hashlib
from io import BytesIO

import pytest

from tests.wire.answer import check_refused

MIB = 1 << 20
LEAST = 5 * MIB


class Uploading:
    """An upload of ``a-bucket/k``, in few words."""

    def __init__(self, client):
        self.client = client
        begun = client.request("POST", "/a-bucket/k?uploads")
        self.target = f"/a-bucket/k?uploadId={begun.xml().findtext('{*}UploadId')}"

    def part(self, number, data):
        return self.client.request("PUT", f"{self.target}&partNumber={number}", body=data).headers["etag"]

    def complete(self, parts, headers=()):
        listed = "".join(f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in parts)
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        return self.client.request("POST", self.target, dict(headers), body)


@pytest.fixture
def uploading(client, bucket):
    return Uploading(client)


@pytest.mark.parametrize(("size", "status"), [(LEAST - 1, 400), (LEAST, 200)])
def test_the_least_part(client, uploading, size, status):
    parts = [(1, uploading.part(1, bytes(size))), (2, uploading.part(2, b"x"))]
    answer = uploading.complete(parts)
    assert answer.status == status
    if status == 400:
        check_refused(answer, 400, "EntityTooSmall")
        details = {name: answer.detail(name) for name in ("ProposedSize", "MinSizeAllowed", "PartNumber")}
        assert details == {"ProposedSize": str(size), "MinSizeAllowed": str(LEAST), "PartNumber": "1"}
        assert client.request("GET", "/a-bucket/k").status == 404
        # Alone, or as the last one, it may be as small as it is.
        assert uploading.complete(parts[:1]).status == 200


def test_parts_that_are_not_the_ones(uploading):
    first = uploading.part(1, b"first")
    again = uploading.part(1, b"again")
    wrong = '"' + "0" * 32 + '"'
    for parts in ([(1, first)], [(1, wrong)], [(2, again)], [(1, again), (2, again)]):
        check_refused(uploading.complete(parts), 400, "InvalidPart")
    assert uploading.complete([(1, again)]).status == 200


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([], "MalformedXML"),
        (range(1, 10_002), "MalformedXML"),
        ([2, 1], "InvalidPartOrder"),
        ([1, 1], "InvalidPartOrder"),
        ([0], "InvalidArgument"),
        ([10_001], "InvalidArgument"),
        ([10**18], "InvalidArgument"),
        ([10**25], "MalformedXML"),
    ],
    ids=str,
)
def test_lists_of_parts(client, uploading, numbers, code):
    etags = {number: uploading.part(number, b"x" * 10) for number in (1, 2)}
    client.app.service.min_part_size = 0
    answer = uploading.complete([(number, etags.get(number, "a")) for number in numbers])
    check_refused(answer, 400, code)
    assert uploading.complete(list(etags.items())).status == 200


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("4", None),
        ("5", "InvalidRequest"),
        ("-4", "InvalidRequest"),
        ("", "InvalidRequest"),
        ("4.0", "InvalidRequest"),
    ],
)
def test_the_size_that_a_completion_states(client, uploading, value, code):
    parts = [(1, uploading.part(1, b"part"))]
    answer = uploading.complete(parts, {"x-amz-mp-object-size": value})
    if code is None:
        assert answer.status == 200
    else:
        check_refused(answer, 400, code)
        assert uploading.complete(parts).status == 200


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"If-None-Match": "*"}, 412, "PreconditionFailed"),
        ({"If-Match": '"' + "0" * 32 + '"'}, 412, "PreconditionFailed"),
        ({"If-Match": ""}, 412, "PreconditionFailed"),
        ({"If-None-Match": '"tag"'}, 501, "NotImplemented"),
        ({"If-Match": "*", "If-None-Match": "*"}, 501, "NotImplemented"),
        ({"If-Match": "*"}, 200, None),
        ({"If-Match": f'"{hashlib.md5(b"there").hexdigest()}"'}, 200, None),
        ({"If-Match": f'"0", W/"1", "{hashlib.md5(b"there").hexdigest()}"'}, 200, None),
        ({"If-Match": f'W/"{hashlib.md5(b"there").hexdigest()}"'}, 412, "PreconditionFailed"),
    ],
)
@pytest.mark.parametrize("operation", ["put", "complete", "copy", "append"])
def test_conditions_on_what_is_written(client, uploading, operation, headers, status, code):
    """The same for every write; the refused one leaves everything as it was."""
    client.request("PUT", "/a-bucket/k", body=b"there")
    client.request("PUT", "/a-bucket/source", body=b"new")
    parts = [(1, uploading.part(1, b"new"))]
    calls = {
        "put": lambda: client.request("PUT", "/a-bucket/k", headers, b"new"),
        "complete": lambda: uploading.complete(parts, headers),
        "copy": lambda: client.request(
            "PUT", "/a-bucket/k", {"x-amz-copy-source": "/a-bucket/source", **headers}
        ),
        "append": lambda: client.request(
            "PUT", "/a-bucket/k", {"x-amz-write-offset-bytes": "5", **headers}, b"new"
        ),
    }
    answer = calls[operation]()
    if code is None:
        assert answer.status == 200
        expected = b"therenew" if operation == "append" else b"new"
    else:
        check_refused(answer, status, code)
        expected = b"there"
        if status == 412:
            wanted = "If-None-Match" if "If-None-Match" in headers else "If-Match"
            assert answer.detail("Condition") == wanted
    assert client.request("GET", "/a-bucket/k").body == expected


@pytest.mark.parametrize("operation", ["put", "complete", "copy", "delete"])
def test_if_match_on_what_is_not_there(client, uploading, operation):
    parts = [(1, uploading.part(1, b"new"))]
    client.request("PUT", "/a-bucket/source", body=b"new")
    headers = {"If-Match": "*"}
    answer = {
        "put": lambda: client.request("PUT", "/a-bucket/k", headers, b"new"),
        "complete": lambda: uploading.complete(parts, headers),
        "copy": lambda: client.request(
            "PUT", "/a-bucket/k", {"x-amz-copy-source": "/a-bucket/source", **headers}
        ),
        "delete": lambda: client.request("DELETE", "/a-bucket/k", headers),
    }[operation]()
    check_refused(answer, 404, "NoSuchKey")
    assert client.request("GET", "/a-bucket/k").status == 404


def test_a_condition_that_ends_while_the_body_comes(client, bucket):
    """What held at first and does not at the end refuses the write, and nothing of it stays."""

    class Overtaken(BytesIO):
        def read(self, size=-1):
            if self.tell() == 0:
                assert client.request("PUT", f"/{bucket}/k", body=b"first").status == 200
            return super().read(size)

        read1 = read

    body = b"second" * 20_000
    headers = {"If-None-Match": "*", "Content-Length": str(len(body))}
    answer = client.request("PUT", f"/{bucket}/k", headers, Overtaken(body), payload="UNSIGNED-PAYLOAD")
    check_refused(answer, 412, "PreconditionFailed")
    assert client.request("GET", f"/{bucket}/k").body == b"first"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        # RFC 9110, 13.2.2: If-Match goes before If-Unmodified-Since, If-None-Match before If-Modified-Since.
        ({"if-match": "ETAG", "if-unmodified-since": "OLD"}, 200),
        ({"if-match": '"other"', "if-unmodified-since": "NEW"}, 412),
        ({"if-none-match": "ETAG", "if-modified-since": "OLD"}, 412),
        ({"if-none-match": '"other"', "if-modified-since": "NEW"}, 200),
        ({"if-match": "ETAG", "if-none-match": "ETAG"}, 412),
    ],
)
@pytest.mark.parametrize("part", [False, True])
def test_source_conditions_together(client, uploading, headers, status, part):
    etag = client.request("PUT", "/a-bucket/source", body=b"data").headers["etag"]
    dates = {"ETAG": etag, "OLD": "Sun, 06 Nov 1994 08:49:37 GMT", "NEW": "Fri, 01 Jan 2100 00:00:00 GMT"}
    lines = {f"x-amz-copy-source-{name}": dates.get(value, value) for name, value in headers.items()}
    target = f"{uploading.target}&partNumber=1" if part else "/a-bucket/copy"
    answer = client.request("PUT", target, {"x-amz-copy-source": "/a-bucket/source", **lines})
    assert answer.status == status


def test_an_upload_id_is_not_to_be_guessed(client, uploading):
    ids = {Uploading(client).target.partition("uploadId=")[2] for _ in range(20)}
    assert len(ids) == 20
    assert {len(upload_id) for upload_id in ids} == {48}
    # The half that counts up tells nothing of the other one.
    assert len({upload_id[16:] for upload_id in ids}) == 20
    near = uploading.target[:-1] + ("0" if uploading.target[-1] != "0" else "1")
    check_refused(client.request("PUT", f"{near}&partNumber=1", body=b"x"), 404, "NoSuchUpload")
