"""Copies, tags and deletes of many: exact statuses and documents."""

import base64
import hashlib
import re

import pytest

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
DATA = b"0123456789"
MD5 = hashlib.md5(DATA).hexdigest()


def without_times(document):
    return re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME", document.decode())


@pytest.fixture
def source(client, bucket):
    """An object with metadata and a tag; its copy-source value."""
    headers = {
        "Content-Type": "text/a",
        "x-amz-meta-a": "1",
        "Cache-Control": "no-store",
        "x-amz-tagging": "t=1",
    }
    assert client.request("PUT", f"/{bucket}/a%20%2Bb", headers=headers, body=DATA).status == 200
    return f"/{bucket}/a%20%2Bb"


def copy(client, target, source, headers=()):
    return client.request("PUT", target, headers={"x-amz-copy-source": source, **dict(headers)})


def tags_of(client, target):
    document = client.request("GET", f"{target}?tagging").xml()
    return {t.findtext("{*}Key"): t.findtext("{*}Value") for t in document.iter() if t.tag.endswith("}Tag")}


def test_copy_takes_everything_along(client, bucket, source):
    for sent in (source, source.lstrip("/"), source.replace("/a%20", "%2Fa%20")):
        answer = copy(client, f"/{bucket}/copy", sent, {"x-amz-meta-ignored": "1", "Content-Type": "text/b"})
        checksum = client.request(
            "HEAD", f"/{bucket}/copy", headers={"x-amz-checksum-mode": "ENABLED"}
        ).headers["x-amz-checksum-crc64nvme"]
        assert without_times(answer.body) == (
            f'{DECLARATION}<CopyObjectResult xmlns="{NAMESPACE}"><LastModified>TIME</LastModified>'
            f"<ETag>&quot;{MD5}&quot;</ETag><ChecksumCRC64NVME>{checksum}</ChecksumCRC64NVME>"
            "<ChecksumType>FULL_OBJECT</ChecksumType></CopyObjectResult>"
        )
        shown = client.request("GET", f"/{bucket}/copy")
        assert shown.body == DATA
        assert (shown.headers["content-type"], shown.headers["x-amz-meta-a"]) == ("text/a", "1")
        assert "x-amz-meta-ignored" not in shown.headers
        assert tags_of(client, f"/{bucket}/copy") == {"t": "1"}
        client.request("DELETE", f"/{bucket}/copy")


def test_directives(client, bucket, source):
    new = {"Content-Type": "text/b", "x-amz-meta-b": "2", "x-amz-tagging": "u=2"}
    copy(client, f"/{bucket}/c1", source, new | {"x-amz-metadata-directive": "REPLACE"})
    shown = client.request("HEAD", f"/{bucket}/c1").headers
    assert (shown["content-type"], shown["x-amz-meta-b"]) == ("text/b", "2")
    assert "x-amz-meta-a" not in shown
    assert "cache-control" not in shown
    assert tags_of(client, f"/{bucket}/c1") == {"t": "1"}
    copy(client, f"/{bucket}/c2", source, new | {"x-amz-tagging-directive": "REPLACE"})
    assert client.request("HEAD", f"/{bucket}/c2").headers["x-amz-meta-a"] == "1"
    assert tags_of(client, f"/{bucket}/c2") == {"u": "2"}
    for name in ("x-amz-metadata-directive", "x-amz-tagging-directive"):
        for value in ("replace", "", "MOVE"):
            answer = copy(client, f"/{bucket}/c3", source, {name: value})
            assert (answer.status, answer.code) == (400, "InvalidArgument")


def test_copy_onto_itself(client, bucket, source):
    for headers in ({}, {"x-amz-meta-b": "2"}, {"x-amz-metadata-directive": "COPY"}):
        answer = copy(client, source, source, headers)
        assert (answer.status, answer.code) == (400, "InvalidRequest")
    answer = copy(client, source, source, {"x-amz-metadata-directive": "REPLACE", "x-amz-meta-b": "2"})
    assert answer.status == 200
    shown = client.request("GET", source)
    assert (shown.body, shown.headers["x-amz-meta-b"]) == (DATA, "2")
    assert copy(client, source, source, {"x-amz-tagging-directive": "REPLACE"}).status == 200
    assert tags_of(client, source) == {}


@pytest.mark.parametrize(
    ("condition", "good", "bad"),
    [
        ("if-match", f'"{MD5}"', '"other"'),
        ("if-none-match", '"other"', f'"{MD5}"'),
        ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"),
        ("if-unmodified-since", "Fri, 01 Jan 2100 00:00:00 GMT", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ],
)
def test_source_conditions(client, bucket, source, condition, good, bad):
    name = f"x-amz-copy-source-{condition}"
    answer = copy(client, f"/{bucket}/copy", source, {name: bad})
    assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert client.request("GET", f"/{bucket}/copy").status == 404
    assert copy(client, f"/{bucket}/copy", source, {name: good}).status == 200


@pytest.mark.parametrize(
    ("condition", "value", "status", "code"),
    [
        ("if-match", "", 412, "PreconditionFailed"),
        ("if-modified-since", "", 400, "InvalidArgument"),
        ("if-modified-since", "yesterday", 400, "InvalidArgument"),
        ("if-unmodified-since", "1994", 400, "InvalidArgument"),
    ],
)
def test_a_source_condition_that_cannot_be_read_is_not_passed_over(
    client, bucket, source, condition, value, status, code
):
    answer = copy(client, f"/{bucket}/copy", source, {f"x-amz-copy-source-{condition}": value})
    assert (answer.status, answer.code) == (status, code)
    assert client.request("GET", f"/{bucket}/copy").status == 404


def test_target_conditions(client, bucket, source):
    assert copy(client, f"/{bucket}/copy", source, {"If-None-Match": "*"}).status == 200
    assert copy(client, f"/{bucket}/copy", source, {"If-None-Match": "*"}).status == 412
    assert copy(client, f"/{bucket}/copy", source, {"If-Match": '"other"'}).status == 412


def test_copy_between_buckets_and_accounts(client, stranger, bucket, source):
    client.request("PUT", "/second-bucket")
    assert copy(client, "/second-bucket/k", source).status == 200
    stranger.request("PUT", "/strange-bucket")
    assert copy(stranger, "/strange-bucket/k", source).code == "AccessDenied"
    assert copy(client, "/strange-bucket/k", source).code == "AccessDenied"
    assert copy(client, f"/{bucket}/k", "/missing-bucket/k").code == "NoSuchBucket"
    assert copy(client, f"/{bucket}/k", f"/{bucket}/missing").code == "NoSuchKey"
    assert copy(client, f"/{bucket}/k", f"{source}?versionId=other").code == "NoSuchVersion"
    assert copy(client, f"/{bucket}/k", f"{source}?versionId=null").status == 200
    for owner, status in (("main", 200), ("other", 403)):
        headers = {"x-amz-source-expected-bucket-owner": owner}
        assert copy(client, f"/{bucket}/k", source, headers).status == status


def test_part_copies(client, bucket, source):
    upload_id = client.request("POST", f"/{bucket}/k?uploads").xml().findtext("{*}UploadId")
    target = f"/{bucket}/k?partNumber=1&uploadId={upload_id}"
    for value, status, code in [
        ("bytes=0-10", 416, "InvalidRange"),
        ("bytes=10-12", 416, "InvalidRange"),
        ("bytes=5-1", 400, "InvalidArgument"),
        ("bytes=0-", 400, "InvalidArgument"),
        ("bytes=-5", 400, "InvalidArgument"),
        ("0-5", 400, "InvalidArgument"),
        ("bytes=0-1,3-4", 400, "InvalidArgument"),
    ]:
        answer = copy(client, target, source, {"x-amz-copy-source-range": value})
        assert (answer.status, answer.code) == (status, code), value
    answer = copy(client, target, source, {"x-amz-copy-source-range": "bytes=2-5"})
    etag = answer.xml().findtext("{*}ETag")
    assert re.fullmatch(r'"[0-9a-f]{32}"', etag)
    assert without_times(answer.body) == (
        f'{DECLARATION}<CopyPartResult xmlns="{NAMESPACE}"><LastModified>TIME</LastModified>'
        f"<ETag>&quot;{etag[1:-1]}&quot;</ETag></CopyPartResult>"
    )
    part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    body = f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>"
    assert client.request("POST", f"/{bucket}/k?uploadId={upload_id}", body=body.encode()).status == 200
    assert client.request("GET", f"/{bucket}/k").body == b"2345"


TAGS = "<Tag><Key>a b</Key><Value>1&amp;2</Value></Tag><Tag><Key>\u00e9</Key><Value></Value></Tag>"


@pytest.mark.parametrize("namespace", ["", f' xmlns="{NAMESPACE}"'])
def test_tagging(client, bucket, source, namespace):
    before = client.request("HEAD", source).headers
    body = f"<Tagging{namespace}><TagSet>{TAGS}</TagSet></Tagging>".encode()
    put = client.request("PUT", f"{source}?tagging", body=body)
    assert (put.status, put.body) == (200, b"")
    shown = client.request("GET", f"{source}?tagging")
    assert shown.body.decode() == (
        f'{DECLARATION}<Tagging xmlns="{NAMESPACE}"><TagSet>{TAGS}</TagSet></Tagging>'
    )
    after = client.request("HEAD", source).headers
    assert after["x-amz-tagging-count"] == "2"
    assert (after["etag"], after["last-modified"]) == (before["etag"], before["last-modified"])
    assert client.request("DELETE", f"{source}?tagging").status == 204
    assert tags_of(client, source) == {}
    assert client.request("GET", source).body == DATA
    missing = f"/{bucket}/missing?tagging"
    for answer in (client.request("GET", missing), client.request("PUT", missing, body=body)):
        assert answer.code == "NoSuchKey"


def a_tag(key, value="v"):
    return f"<Tag><Key>{key}</Key><Value>{value}</Value></Tag>"


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ("".join(a_tag(f"k{n}") for n in range(10)), None),
        (a_tag("\u20ac" * 128, "\u20ac" * 256), None),
        ("".join(a_tag(f"k{n}") for n in range(11)), "InvalidTag"),
        (a_tag("k" * 129), "InvalidTag"),
        (a_tag("k", "v" * 257), "InvalidTag"),
        (a_tag("k") + a_tag("k"), "InvalidTag"),
        (a_tag("aws:k"), "InvalidTag"),
        (a_tag(""), "InvalidTag"),
        ("<Tag><Key>k</Key></Tag>", "MalformedXML"),
        ("<Tag/>", "MalformedXML"),
    ],
)
def test_tag_rules(client, source, tags, code):
    body = f"<Tagging><TagSet>{tags}</TagSet></Tagging>".encode()
    answer = client.request("PUT", f"{source}?tagging", body=body)
    assert (answer.status, answer.code) == (400 if code else 200, code)
    if code:
        assert tags_of(client, source) == {"t": "1"}


@pytest.mark.parametrize("body", [b"", b"<Tagging/>", b"<Tagging>", b"<Other/>"])
def test_bad_tagging_document(client, source, body):
    assert client.request("PUT", f"{source}?tagging", body=body).code == "MalformedXML"
    assert tags_of(client, source) == {"t": "1"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a%26b=c%2Bd", {"a&b": "c+d"}),
        ("a=1&b=", {"a": "1", "b": ""}),
        ("z=1&a", {"a": "", "z": "1"}),
        ("", {}),
        ("a=1&a=2", "InvalidTag"),
        ("&".join(f"k{n}=v" for n in range(11)), "InvalidTag"),
        ("a=%ff", "InvalidArgument"),
    ],
)
def test_tagging_header(client, bucket, value, expected):
    answer = client.request("PUT", f"/{bucket}/tagged", headers={"x-amz-tagging": value}, body=b"x")
    if isinstance(expected, str):
        assert answer.code == expected
        assert client.request("GET", f"/{bucket}/tagged").status == 404
    else:
        assert tags_of(client, f"/{bucket}/tagged") == expected


def delete(client, bucket, content, headers=None):
    body = f"<Delete>{content}</Delete>".encode()
    digest = {"Content-MD5": base64.b64encode(hashlib.md5(body).digest()).decode()}
    return client.request(
        "POST", f"/{bucket}?delete", headers=digest if headers is None else headers, body=body
    )


def an_object(key, more=""):
    return f"<Object><Key>{key}</Key>{more}</Object>"


def test_delete_objects(client, bucket):
    for key in ("a", "%20lead%20", "c", "d"):
        client.request("PUT", f"/{bucket}/{key}", body=b"x")
    etag = client.request("HEAD", f"/{bucket}/d").headers["etag"]
    content = "".join(
        [
            an_object("c"),
            an_object(" lead "),
            an_object("missing"),
            an_object(""),
            an_object("k" * 1025),
            an_object("a", "<ETag>other</ETag>"),
            an_object("a", "<Size>2</Size>"),
            an_object("a", "<Size>x</Size>"),
            an_object("a", "<LastModifiedTime>2001-01-01T00:00:00Z</LastModifiedTime>"),
            an_object("a", "<LastModifiedTime>yesterday</LastModifiedTime>"),
            an_object("absent", "<Size>1</Size>"),
            an_object("d", f"<ETag>{etag}</ETag>"),
            an_object("a", "<VersionId>other</VersionId>"),
        ]
    )
    answer = delete(client, bucket, content)
    entries = [
        (child.tag.partition("}")[2], (child.findtext("{*}Key") or "")[:10], child.findtext("{*}Code"))
        for child in answer.xml()
    ]
    assert entries == [
        ("Deleted", "c", None),
        ("Deleted", " lead ", None),
        ("Deleted", "missing", None),
        ("Error", "", "InvalidArgument"),
        ("Error", "k" * 10, "KeyTooLongError"),
        ("Error", "a", "PreconditionFailed"),
        ("Error", "a", "PreconditionFailed"),
        ("Error", "a", "InvalidArgument"),
        ("Error", "a", "PreconditionFailed"),
        ("Error", "a", "InvalidArgument"),
        ("Error", "absent", "NoSuchKey"),
        ("Deleted", "d", None),
        ("Deleted", "a", None),
    ]
    assert [k.text for k in client.request("GET", f"/{bucket}").xml().findall("{*}Contents/{*}Key")] == ["a"]
    quiet = delete(client, bucket, "<Quiet>true</Quiet>" + an_object("a"))
    assert quiet.body.decode() == f'{DECLARATION}<DeleteResult xmlns="{NAMESPACE}"></DeleteResult>'
    assert client.request("DELETE", f"/{bucket}").status == 204


def test_delete_objects_limits(client, bucket):
    client.request("PUT", f"/{bucket}/k", body=b"x")
    most = "".join(an_object(f"k{n}") for n in range(1000))
    assert len(delete(client, bucket, most).xml().findall("{*}Deleted")) == 1000
    for content, headers, code in [
        (most + an_object("k"), None, "MalformedXML"),
        ("", None, "MalformedXML"),
        ("<Object/>", None, "MalformedXML"),
        (an_object("k", "<Key>other</Key>"), None, "MalformedXML"),
        (an_object("k"), {}, "InvalidRequest"),
        (an_object("k"), {"x-amz-checksum-mode": "ENABLED"}, "InvalidRequest"),
        (an_object("k"), {"Content-MD5": "AAAA"}, "InvalidDigest"),
        (an_object("k"), {"Content-MD5": base64.b64encode(bytes(16)).decode()}, "BadDigest"),
        (an_object("k"), {"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
        (" " * (2 << 20) + an_object("k"), None, "MaxMessageLengthExceeded"),
    ]:
        answer = delete(client, bucket, content, headers)
        assert (answer.status, answer.code) == (400, code)
    assert client.request("GET", f"/{bucket}/k").body == b"x"
    assert delete(client, "missing-bucket", an_object("k")).code == "NoSuchBucket"
