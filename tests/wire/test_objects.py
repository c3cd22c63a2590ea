"""Objects: put, get, head, delete, with everything that goes along."""

import base64
import hashlib
import io
import zlib

import pytest

from s3shim import checksums

DATA = b"the quick brown fox"
MD5 = hashlib.md5(DATA).hexdigest()


def checksum(algorithm, data):
    hasher = checksums.new(algorithm)
    hasher.update(data)
    return checksums.encode(hasher.digest())


def test_put_get_head_delete(client, bucket):
    put = client.request("PUT", f"/{bucket}/k", body=DATA)
    assert (put.status, put.body, put.headers["etag"]) == (200, b"", f'"{MD5}"')
    get = client.request("GET", f"/{bucket}/k")
    assert (get.status, get.body) == (200, DATA)
    expected = {
        "etag": f'"{MD5}"',
        "content-type": "binary/octet-stream",
        "content-length": str(len(DATA)),
        "accept-ranges": "bytes",
    }
    assert {name: get.headers[name] for name in expected} == expected
    head = client.request("HEAD", f"/{bucket}/k")
    assert (head.status, head.body) == (200, b"")
    ids = ("x-amz-request-id", "x-amz-id-2")
    assert {n.lower(): v for n, v in head.headers.items() if n.lower() not in ids} == {
        n.lower(): v for n, v in get.headers.items() if n.lower() not in ids
    }
    deleted = client.request("DELETE", f"/{bucket}/k")
    assert (deleted.status, deleted.body) == (204, b"")
    assert client.request("DELETE", f"/{bucket}/k").status == 204
    assert client.request("GET", f"/{bucket}/k").code == "NoSuchKey"
    assert client.request("HEAD", f"/{bucket}/k").status == 404
    assert client.request("DELETE", "/missing-bucket/k").code == "NoSuchBucket"


def test_empty_object(client, bucket):
    assert client.request("PUT", f"/{bucket}/k").headers["etag"] == '"d41d8cd98f00b204e9800998ecf8427e"'
    assert client.request("GET", f"/{bucket}/k").headers["content-length"] == "0"
    answer = client.request("GET", f"/{bucket}/k", headers={"Range": "bytes=-5"})
    assert (answer.status, answer.code) == (416, "InvalidRange")


def test_system_headers_come_back(client, bucket):
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "max-age=60",
        "Content-Disposition": 'attachment; filename="a b"',
        "Content-Encoding": "gzip",
        "Content-Language": "de, en",
        "Expires": "Thu, 01 Dec 2033 16:00:00 GMT",
        "x-amz-meta-Mixed-Case": "Value",
        "x-amz-storage-class": "STANDARD",
    }
    assert client.request("PUT", f"/{bucket}/k", headers=headers, body=DATA).status == 200
    for method in ("GET", "HEAD"):
        shown = client.request(method, f"/{bucket}/k").headers
        for name, value in headers.items():
            if name != "x-amz-storage-class":
                assert shown[name] == value
        assert "x-amz-storage-class" not in shown
    client.request("PUT", f"/{bucket}/k", body=DATA)
    assert "cache-control" not in client.request("GET", f"/{bucket}/k").headers


@pytest.mark.parametrize("algorithm", checksums.SIZES)
def test_checksum_header(client, bucket, algorithm):
    name = f"x-amz-checksum-{algorithm}"
    good = checksum(algorithm, DATA)
    headers = {name: good, "x-amz-sdk-checksum-algorithm": algorithm.upper()}
    put = client.request("PUT", f"/{bucket}/k", headers=headers, body=DATA)
    assert (put.status, put.headers[name], put.headers["x-amz-checksum-type"]) == (200, good, "FULL_OBJECT")
    assert name not in client.request("GET", f"/{bucket}/k").headers
    mode = {"x-amz-checksum-mode": "ENABLED"}
    for method in ("GET", "HEAD"):
        assert client.request(method, f"/{bucket}/k", headers=mode).headers[name] == good
        part = client.request(method, f"/{bucket}/k", headers=mode | {"Range": "bytes=0-3"})
        assert part.status == 206
        assert name not in part.headers
    for value, code in [
        (checksum(algorithm, b"other"), "BadDigest"),
        ("AA==", "InvalidRequest"),
        ("!", "InvalidRequest"),
        ("", "InvalidRequest"),
    ]:
        answer = client.request("PUT", f"/{bucket}/k", headers={name: value}, body=b"new")
        assert (answer.status, answer.code) == (400, code)
    assert client.request("GET", f"/{bucket}/k").body == DATA


def test_default_checksum(client, bucket):
    client.request("PUT", f"/{bucket}/k", body=DATA)
    head = client.request("HEAD", f"/{bucket}/k", headers={"x-amz-checksum-mode": "ENABLED"})
    assert head.headers["x-amz-checksum-crc64nvme"] == checksum("crc64nvme", DATA)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-checksum-crc32": checksum("crc32", DATA), "x-amz-checksum-sha1": checksum("sha1", DATA)},
        {"x-amz-sdk-checksum-algorithm": "CRC32"},
        {"x-amz-sdk-checksum-algorithm": "CRC32", "x-amz-checksum-sha1": checksum("sha1", DATA)},
        {"x-amz-sdk-checksum-algorithm": "FNORD", "x-amz-checksum-sha1": checksum("sha1", DATA)},
    ],
)
def test_checksum_headers_that_contradict(client, bucket, headers):
    answer = client.request("PUT", f"/{bucket}/k", headers=headers, body=DATA)
    assert (answer.status, answer.code) == (400, "InvalidRequest")
    assert client.request("GET", f"/{bucket}/k").status == 404


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (base64.b64encode(hashlib.md5(DATA).digest()).decode(), None),
        (base64.b64encode(hashlib.md5(b"other").digest()).decode(), "BadDigest"),
        ("AAAA", "InvalidDigest"),
        ("", "InvalidDigest"),
        (hashlib.md5(DATA).hexdigest(), "InvalidDigest"),
    ],
)
def test_content_md5(client, bucket, value, code):
    client.request("PUT", f"/{bucket}/k", body=b"old")
    answer = client.request("PUT", f"/{bucket}/k", headers={"Content-MD5": value}, body=DATA)
    assert (answer.status, answer.code) == (400 if code else 200, code)
    assert client.request("GET", f"/{bucket}/k").body == (b"old" if code else DATA)


@pytest.mark.parametrize("declared", [len(DATA) + 1, 10**6])
@pytest.mark.parametrize("payload", ["sign", "unsigned"])
def test_body_cut_short(client, bucket, declared, payload):
    client.request("PUT", f"/{bucket}/k", body=b"old")
    answer = client.request(
        "PUT", f"/{bucket}/k", headers={"Content-Length": str(declared)}, body=DATA, payload=payload
    )
    assert (answer.status, answer.code) == (400, "IncompleteBody")
    assert client.request("GET", f"/{bucket}/k").body == b"old"


def test_chunked_transfer(client, bucket):
    answer = client.request(
        "PUT",
        f"/{bucket}/k",
        headers={"Transfer-Encoding": "chunked", "Content-Length": None},
        body=DATA,
        payload="unsigned",
    )
    assert answer.status == 200
    assert client.request("GET", f"/{bucket}/k").body == DATA


def test_length_rules(client, bucket):
    answer = client.request("PUT", f"/{bucket}/k", headers={"Content-Length": None}, payload="unsigned")
    assert (answer.status, answer.code) == (411, "MissingContentLength")
    stream = io.BytesIO(b"x")
    answer = client.request(
        "PUT",
        f"/{bucket}/k",
        headers={"Content-Length": str(5 * 1024**3 + 1)},
        body=stream,
        payload="unsigned",
    )
    assert (answer.status, answer.code) == (400, "EntityTooLarge")
    assert stream.tell() == 0


def test_conditional_put(client, bucket):
    target = f"/{bucket}/k"
    assert client.request("PUT", target, headers={"If-Match": '"x"'}, body=b"0").code == "NoSuchKey"
    first = client.request("PUT", target, headers={"If-None-Match": "*"}, body=b"1")
    assert first.status == 200
    assert client.request("PUT", target, headers={"If-None-Match": "*"}, body=b"2").status == 412
    assert client.request("PUT", target, headers={"If-Match": '"x"'}, body=b"3").status == 412
    assert client.request("PUT", target, headers={"If-Match": first.headers["etag"]}, body=b"4").status == 200
    for headers in (
        {"If-None-Match": '"x"'},
        {"If-None-Match": "*", "If-Match": "*"},
        {"If-Modified-Since": "x"},
    ):
        assert client.request("PUT", target, headers=headers, body=b"5").status == 501
    assert client.request("DELETE", target, headers={"If-Match": '"x"'}).status == 412
    assert client.request("GET", target).body == b"4"
    assert client.request("DELETE", target, headers={"If-Match": "*"}).status == 204


def test_if_range(client, bucket):
    etag = client.request("PUT", f"/{bucket}/k", body=DATA).headers["etag"]
    modified = client.request("HEAD", f"/{bucket}/k").headers["last-modified"]
    for value, status in ((etag, 206), ('"other"', 200), (modified, 206), (f"W/{etag}", 200)):
        for method in ("GET", "HEAD"):
            headers = {"Range": "bytes=0-3", "If-Range": value}
            assert client.request(method, f"/{bucket}/k", headers=headers).status == status


def test_dates(client, bucket):
    client.request("PUT", f"/{bucket}/k", body=DATA)
    modified = client.request("HEAD", f"/{bucket}/k").headers["last-modified"]
    listed = client.request("GET", f"/{bucket}").xml().findtext("{*}Contents/{*}LastModified")
    assert listed.endswith("Z")
    for headers, status in (
        ({"If-Modified-Since": modified}, 304),
        ({"If-Unmodified-Since": modified}, 200),
        ({"If-Modified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 200),
        ({"If-Unmodified-Since": "Sun, 06 Nov 1994 08:49:37 GMT"}, 412),
        ({"If-Modified-Since": "nonsense"}, 200),
    ):
        assert client.request("GET", f"/{bucket}/k", headers=headers).status == status


def test_null_version(client, bucket):
    client.request("PUT", f"/{bucket}/k", body=DATA)
    assert client.request("GET", f"/{bucket}/k?versionId=null").body == DATA
    assert client.request("GET", f"/{bucket}/k?versionId=other").code == "NoSuchVersion"
    other = client.request("DELETE", f"/{bucket}/k?versionId=other")
    assert other.status == 204
    assert client.request("GET", f"/{bucket}/k").body == DATA
    assert client.request("DELETE", f"/{bucket}/k?versionId=null").status == 204
    assert client.request("GET", f"/{bucket}/k").status == 404


def test_error_document(client, bucket):
    answer = client.request("GET", f"/{bucket}/a%26%3Cb")
    error = answer.xml()
    assert answer.headers["content-type"] == "application/xml"
    assert {child.tag: child.text for child in error} == {
        "Code": "NoSuchKey",
        "Message": "The specified key does not exist.",
        "BucketName": bucket,
        "Key": "a&<b",
        "Resource": f"/{bucket}/a%26%3Cb",
        "RequestId": answer.headers["x-amz-request-id"],
        "HostId": answer.headers["x-amz-id-2"],
    }


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/livez", "/minio/health/live"])
def test_health(client, path):
    for method in ("GET", "HEAD"):
        answer = client.request(method, path, sign=False)
        assert (answer.status, answer.body) == (200, b"")
    assert client.request("PUT", path, sign=False).status == 403
    assert client.request("GET", path + "/x", sign=False).status == 403
    assert client.request("GET", path).code == "NoSuchBucket"


def test_crc32_is_zlibs(client, bucket):
    headers = {"x-amz-checksum-crc32": base64.b64encode(zlib.crc32(DATA).to_bytes(4, "big")).decode()}
    assert client.request("PUT", f"/{bucket}/k", headers=headers, body=DATA).status == 200
