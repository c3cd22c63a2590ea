"""Parts of objects read by their number, and GetObjectAttributes."""

import base64
import zlib

import pytest

SIZE = 5 * 1024 * 1024
PARTS = {2: b"a" * SIZE, 5: b"b" * SIZE, 9: b"c" * 10}
ENABLED = {"x-amz-checksum-mode": "ENABLED"}


def crc32(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


@pytest.fixture
def multipart(client, bucket):
    """The target of an object of three parts, uploaded with CRC-32."""
    target = f"/{bucket}/k"
    created = client.request("POST", f"{target}?uploads", {"x-amz-checksum-algorithm": "CRC32"})
    upload_id = created.xml().findtext("{*}UploadId")
    listed = ""
    for number, data in PARTS.items():
        answer = client.request("PUT", f"{target}?partNumber={number}&uploadId={upload_id}", body=data)
        assert answer.status == 200
        listed += f"<Part><PartNumber>{number}</PartNumber><ETag>{answer.headers['etag']}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    assert client.request("POST", f"{target}?uploadId={upload_id}", body=body).status == 200
    return target


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_parts_by_number(client, multipart, method):
    whole = client.request("HEAD", multipart).headers
    assert "x-amz-mp-parts-count" not in whole
    start = 0
    for number, data in PARTS.items():
        answer = client.request(method, f"{multipart}?partNumber={number}", ENABLED)
        assert answer.status == 206
        assert answer.body == (data if method == "GET" else b"")
        assert answer.headers["content-length"] == str(len(data))
        last = start + len(data) - 1
        assert answer.headers["content-range"] == f"bytes {start}-{last}/{2 * SIZE + 10}"
        assert answer.headers["x-amz-mp-parts-count"] == "3"
        assert answer.headers["x-amz-checksum-crc32"] == crc32(data)
        assert answer.headers["x-amz-checksum-type"] == "COMPOSITE"
        assert answer.headers["etag"] == whole["etag"]
        start += len(data)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_part_numbers_that_are_not_there(client, multipart, method):
    for number in (1, 3, 10, 10_000):
        answer = client.request(method, f"{multipart}?partNumber={number}")
        assert answer.status == 416
        assert method == "HEAD" or answer.code == "InvalidPartNumber"
    for number in ("0", "10001", "x", "", "-1"):
        assert client.request(method, f"{multipart}?partNumber={number}").status == 400
    ranged = client.request("GET", f"{multipart}?partNumber=2", {"Range": "bytes=0-1"})
    assert (ranged.status, ranged.code) == (400, "InvalidRequest")


def test_the_part_of_an_object_without_parts(client, bucket):
    assert client.request("PUT", f"/{bucket}/k", body=b"hello").status == 200
    answer = client.request("GET", f"/{bucket}/k?partNumber=1")
    assert (answer.status, answer.body) == (206, b"hello")
    assert answer.headers["content-range"] == "bytes 0-4/5"
    assert "x-amz-mp-parts-count" not in answer.headers
    assert client.request("GET", f"/{bucket}/k?partNumber=2").code == "InvalidPartNumber"
    client.request("PUT", f"/{bucket}/empty")
    empty = client.request("GET", f"/{bucket}/empty?partNumber=1")
    assert (empty.status, empty.body, empty.headers["content-length"]) == (206, b"", "0")


def test_conditions_of_a_part(client, multipart):
    etag = client.request("HEAD", multipart).headers["etag"]
    assert client.request("GET", f"{multipart}?partNumber=9", {"If-Match": etag}).body == PARTS[9]
    assert client.request("GET", f"{multipart}?partNumber=9", {"If-None-Match": etag}).status == 304
    assert client.request("GET", f"{multipart}?partNumber=9", {"If-Match": '"other"'}).status == 412
    assert client.request("GET", f"{multipart}?partNumber=9", {"If-Range": '"other"'}).body == PARTS[9]


def test_copies_keep_their_parts(client, bucket, multipart):
    assert client.request("PUT", f"/{bucket}/copy", {"x-amz-copy-source": multipart}).status == 200
    assert client.request("GET", f"/{bucket}/copy?partNumber=9").body == PARTS[9]
    assert client.request("PUT", f"/{bucket}/copy", body=b"plain").status == 200
    assert client.request("GET", f"/{bucket}/copy?partNumber=9").status == 416


def attributes(client, target, names, headers=()):
    lines = {"x-amz-object-attributes": names, **dict(headers)}
    answer = client.request("GET", f"{target}?attributes", lines)
    assert answer.status == 200, answer
    return answer, answer.xml()


def test_attributes(client, bucket):
    client.request("PUT", f"/{bucket}/k", {"x-amz-checksum-crc32": crc32(b"hello")}, b"hello")
    head = client.request("HEAD", f"/{bucket}/k").headers
    answer, document = attributes(
        client, f"/{bucket}/k", "ETag,Checksum,ObjectParts,StorageClass, ObjectSize"
    )
    assert answer.headers["last-modified"] == head["last-modified"]
    assert document.tag == "{http://s3.amazonaws.com/doc/2006-03-01/}GetObjectAttributesResponse"
    found = {element.tag.partition("}")[2]: element.text for element in document.iter()}
    assert found["ETag"] == head["etag"].strip('"')
    assert (found["ChecksumCRC32"], found["ChecksumType"]) == (crc32(b"hello"), "FULL_OBJECT")
    assert (found["StorageClass"], found["ObjectSize"]) == ("STANDARD", "5")
    assert "ObjectParts" not in found
    _, only = attributes(client, f"/{bucket}/k", "ObjectSize")
    assert [element.tag.partition("}")[2] for element in only] == ["ObjectSize"]


def test_attributes_of_parts(client, multipart):
    _, document = attributes(client, multipart, "ObjectParts", {"x-amz-max-parts": "2"})
    parts = document.find("{*}ObjectParts")
    fields = ("PartsCount", "PartNumberMarker", "NextPartNumberMarker", "MaxParts", "IsTruncated")
    assert [parts.findtext(f"{{*}}{name}") for name in fields] == ["3", "0", "5", "2", "true"]
    shown = [
        [part.findtext(f"{{*}}{n}") for n in ("PartNumber", "Size", "ChecksumCRC32")]
        for part in parts.findall("{*}Part")
    ]
    assert shown == [[str(n), str(len(PARTS[n])), crc32(PARTS[n])] for n in (2, 5)]
    _, document = attributes(client, multipart, "ObjectParts", {"x-amz-part-number-marker": "5"})
    parts = document.find("{*}ObjectParts")
    assert [parts.findtext(f"{{*}}{name}") for name in fields] == ["3", "5", "9", "1000", "false"]
    assert [part.findtext("{*}PartNumber") for part in parts.findall("{*}Part")] == ["9"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "InvalidRequest"),
        ({"x-amz-object-attributes": ""}, "InvalidArgument"),
        ({"x-amz-object-attributes": "Owner"}, "InvalidArgument"),
        ({"x-amz-object-attributes": "ObjectParts", "x-amz-max-parts": "-1"}, "InvalidArgument"),
        ({"x-amz-object-attributes": "ObjectParts", "x-amz-part-number-marker": "x"}, "InvalidArgument"),
        ({"x-amz-object-attributes": "ETag", "If-Match": '"other"'}, "PreconditionFailed"),
    ],
)
def test_attributes_that_cannot_be_given(client, multipart, headers, code):
    assert client.request("GET", f"{multipart}?attributes", headers).code == code
    assert (
        client.request("GET", f"{multipart}-absent?attributes", {"x-amz-object-attributes": "ETag"}).code
        == "NoSuchKey"
    )
