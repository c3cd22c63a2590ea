"""Buckets, their owners and their small documents."""

import re

import pytest

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


def test_create_head_delete(client):
    created = client.request("PUT", "/a-bucket")
    assert (created.status, created.headers["location"], created.body) == (200, "/a-bucket", b"")
    head = client.request("HEAD", "/a-bucket")
    assert (head.status, head.headers["x-amz-bucket-region"], head.body) == (200, "us-east-1", b"")
    assert client.request("PUT", "/a-bucket").code == "BucketAlreadyOwnedByYou"
    deleted = client.request("DELETE", "/a-bucket")
    assert (deleted.status, deleted.body) == (204, b"")
    assert client.request("HEAD", "/a-bucket").status == 404
    assert client.request("DELETE", "/a-bucket").code == "NoSuchBucket"


def test_list_buckets_is_this_document(client, stranger):
    for name in ("b-two", "a-one"):
        client.request("PUT", f"/{name}")
    stranger.request("PUT", "/not-mine")
    answer = client.request("GET", "/")
    assert answer.headers["content-type"] == "application/xml"
    document = answer.body.decode()
    assert re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME", document) == (
        f'{DECLARATION}<ListAllMyBucketsResult xmlns="{NAMESPACE}"><Owner><ID>main</ID>'
        "<DisplayName>Main</DisplayName></Owner><Buckets>"
        "<Bucket><Name>a-one</Name><CreationDate>TIME</CreationDate></Bucket>"
        "<Bucket><Name>b-two</Name><CreationDate>TIME</CreationDate></Bucket>"
        "</Buckets></ListAllMyBucketsResult>"
    )
    assert client.request("GET", "/").body == answer.body


def test_list_buckets_pages(client):
    names = [f"bucket-{number:02d}" for number in range(7)]
    for name in [*names, "other"]:
        client.request("PUT", f"/{name}")
    seen, token = [], ""
    while True:
        page = client.request("GET", f"/?max-buckets=3&prefix=bucket-{token}").xml()
        seen += [name.text for name in page.iter(f"{{{NAMESPACE}}}Name")]
        assert page.findtext("{*}Prefix") == "bucket-"
        assert page.findtext("{*}Buckets/{*}Bucket/{*}BucketRegion") == "us-east-1"
        sealed = page.findtext("{*}ContinuationToken")
        if sealed is None:
            break
        token = f"&continuation-token={sealed}"
    assert seen == names
    for value in ("0", "-1", "x", ""):
        assert client.request("GET", f"/?max-buckets={value}").code == "InvalidArgument"
    assert client.request("GET", "/?bucket-region=eu-west-1").xml().find("{*}Buckets/{*}Bucket") is None


def test_another_accounts_bucket(client, stranger, bucket):
    client.request("PUT", f"/{bucket}/k", body=b"mine")
    for method, target in [
        ("HEAD", f"/{bucket}"),
        ("GET", f"/{bucket}"),
        ("GET", f"/{bucket}?acl"),
        ("GET", f"/{bucket}?location"),
        ("GET", f"/{bucket}/k"),
        ("GET", f"/{bucket}/missing"),
        ("PUT", f"/{bucket}/k"),
        ("PUT", f"/{bucket}/k?tagging"),
        ("PUT", f"/{bucket}?nonsense"),
        ("DELETE", f"/{bucket}/k"),
        ("DELETE", f"/{bucket}"),
    ]:
        answer = stranger.request(method, target)
        assert answer.status == 403, (method, target)
        assert method == "HEAD" or answer.code == "AccessDenied"
    assert stranger.request("PUT", f"/{bucket}").code == "BucketAlreadyExists"
    assert client.request("GET", f"/{bucket}/k").body == b"mine"
    assert stranger.request("GET", "/").xml().find("{*}Buckets/{*}Bucket") is None


@pytest.mark.parametrize(
    ("constraint", "status", "code"),
    [
        ("<LocationConstraint>us-east-1</LocationConstraint>", 200, None),
        ("<LocationConstraint/>", 200, None),
        ("", 200, None),
        ("<LocationConstraint>eu-west-1</LocationConstraint>", 400, "IllegalLocationConstraintException"),
        ("<Tags><Tag/></Tags>", 501, "NotImplemented"),
        ("<Surprise/>", 400, "MalformedXML"),
        ("<LocationConstraint>", 400, "MalformedXML"),
        ("<LocationConstraint><a/></LocationConstraint>", 400, "MalformedXML"),
    ],
)
def test_location_constraint(client, constraint, status, code):
    body = f'<CreateBucketConfiguration xmlns="{NAMESPACE}">{constraint}</CreateBucketConfiguration>'
    answer = client.request("PUT", "/a-bucket", body=body.encode())
    assert (answer.status, answer.code) == (status, code)
    assert client.request("HEAD", "/a-bucket").status == (200 if status == 200 else 404)


def test_document_limits(client):
    answer = client.request("PUT", "/a-bucket", body=b" " * (1024 * 1024 + 1))
    assert (answer.status, answer.code) == (400, "MaxMessageLengthExceeded")
    bomb = b'<!DOCTYPE a [<!ENTITY b "c">]><CreateBucketConfiguration>&b;</CreateBucketConfiguration>'
    assert client.request("PUT", "/a-bucket", body=bomb).code == "MalformedXML"
    assert client.request("HEAD", "/a-bucket").status == 404


def test_small_documents(client, bucket):
    assert client.request("GET", f"/{bucket}?location").body.decode() == (
        f'{DECLARATION}<LocationConstraint xmlns="{NAMESPACE}"></LocationConstraint>'
    )
    assert client.request("GET", f"/{bucket}?versioning").body.decode() == (
        f'{DECLARATION}<VersioningConfiguration xmlns="{NAMESPACE}"/>'
    )
    assert client.request("GET", "/missing-bucket?location").code == "NoSuchBucket"


ACL = (
    f'<AccessControlPolicy xmlns="{NAMESPACE}"><Owner><ID>main</ID><DisplayName>Main</DisplayName></Owner>'
    '<AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xsi:type="CanonicalUser"><ID>main</ID><DisplayName>Main</DisplayName></Grantee>'
    "<Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>"
)


@pytest.mark.parametrize("target", ["/a-bucket?acl", "/a-bucket/k?acl"])
def test_acl(client, bucket, target):
    client.request("PUT", f"/{bucket}/k", body=b"content")
    assert client.request("GET", target).body.decode() == DECLARATION + ACL
    for headers, body, status, code in [
        ({"x-amz-acl": "private"}, "", 200, None),
        ({"x-amz-acl": "bucket-owner-full-control"}, "", 200, None),
        ({}, ACL, 200, None),
        ({"x-amz-acl": "public-read"}, "", 400, "AccessControlListNotSupported"),
        ({"x-amz-grant-read": "id=other"}, "", 400, "AccessControlListNotSupported"),
        ({}, ACL.replace("FULL_CONTROL", "READ"), 400, "AccessControlListNotSupported"),
        ({}, ACL.replace("<ID>main</ID>", "<ID>other</ID>"), 403, "AccessDenied"),
        ({}, ACL.replace("AccessControlList>", "Other>"), 400, "MalformedACLError"),
        ({}, "<AccessControlPolicy>", 400, "MalformedXML"),
        ({}, "", 400, "MissingSecurityHeader"),
        ({"x-amz-acl": "private"}, ACL, 400, "UnexpectedContent"),
    ]:
        answer = client.request("PUT", target, headers=headers, body=body.encode())
        assert (answer.status, answer.code) == (status, code), (headers, body)
    assert client.request("GET", f"/{bucket}/k").body == b"content"
    missing = target.replace("/k?", "/missing?").replace("a-bucket?", "missing-bucket?")
    assert client.request("GET", missing).status == client.request("PUT", missing).status == 404


def test_expected_bucket_owner(client, bucket):
    for owner, status in (("main", 200), ("other", 403), ("", 403)):
        headers = {"x-amz-expected-bucket-owner": owner}
        assert client.request("PUT", f"/{bucket}/k", headers=headers, body=b"x").status == status
        assert client.request("GET", f"/{bucket}/k", headers=headers).status == status
        assert client.request("HEAD", f"/{bucket}", headers=headers).status == status


def test_delete_of_a_bucket_with_objects(client, bucket):
    client.request("PUT", f"/{bucket}/k", body=b"x")
    answer = client.request("DELETE", f"/{bucket}")
    assert (answer.status, answer.code) == (409, "BucketNotEmpty")
    assert client.request("GET", f"/{bucket}/k").body == b"x"


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("PATCH", "/a-bucket/k", {"GET", "HEAD", "PUT", "DELETE"}),
        ("POST", "/", {"GET"}),
        ("POST", "/a-bucket/k", {"GET", "HEAD", "PUT", "DELETE"}),
        ("PATCH", "/a-bucket", {"GET", "HEAD", "PUT", "DELETE"}),
        ("DELETE", "/", {"GET"}),
    ],
)
def test_method_not_allowed(client, bucket, method, target, allowed):
    answer = client.request(method, target)
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert allowed <= set(re.split(r",\s*", answer.headers["allow"]))
