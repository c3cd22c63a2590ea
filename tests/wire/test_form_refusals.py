"""PostObject: what is refused, with which code, and that nothing is stored then."""

import time
from base64 import b64encode

import pytest

from tests.wire.conftest import MAIN, OTHER
from tests.wire.fenced import Fenced
from tests.wire.forms import (
    ANY_KEY,
    BOUNDARY,
    BUCKET,
    KEY,
    TYPE,
    encoded,
    expiration,
    form_body,
    post,
    signed_fields,
    upload,
)
from tests.wire.signing import stamp


def test_without_a_signature(refused):
    client = refused.client
    policy = {"policy": encoded({"expiration": expiration(), "conditions": [BUCKET, ANY_KEY]})}
    for fields in (KEY, {**KEY, **policy}, {**KEY, "policy": ""}):
        refused(post(client, "/full-bucket", form_body(fields)), 403, "AccessDenied", "Access Denied")
        # Whether a bucket is there is not told.
        refused(post(client, "/missing-bucket", form_body(fields)), 403, "AccessDenied", "Access Denied")


@pytest.mark.parametrize("sign", ["header", "presigned"])
def test_a_form_is_signed_by_its_fields_alone(refused, sign):
    client = refused.client
    body = form_body(signed_fields(client, "full-bucket", KEY))
    if sign == "header":
        answer = client.request("POST", "/full-bucket", {"Content-Type": TYPE}, body)
    else:
        target = client.presign("POST", "/full-bucket", {"Content-Type": TYPE})
        answer = client.request("POST", target, {"Content-Type": TYPE}, body, sign=False)
    refused(answer, 400, "InvalidArgument")


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("x-amz-algorithm", "X-Amz-Algorithm"),
        ("x-amz-credential", "X-Amz-Credential"),
        ("x-amz-date", "X-Amz-Date"),
        ("x-amz-signature", "X-Amz-Signature"),
        ("policy", "Policy"),
        ("key", "key"),
    ],
)
def test_a_field_that_is_missing(refused, field, named):
    fields = signed_fields(refused.client, "full-bucket", KEY)
    del fields[field]
    message = (
        f"Bucket POST must contain a field named '{named}'.  "
        "If it is specified, please check the order of the fields."
    )
    answer = refused(post(refused.client, "/full-bucket", form_body(fields)), 400, "InvalidArgument", message)
    assert (answer.detail("ArgumentName"), answer.detail("ArgumentValue")) == (named, "")
    # After the file a field is none.
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\nk\r\n'.encode()
    answer = post(refused.client, "/full-bucket", form_body(fields, after=part))
    refused(answer, 400, "InvalidArgument", message)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"x-amz-signature": "0" * 64}, 403, "SignatureDoesNotMatch"),
        ({"x-amz-signature": ""}, 403, "SignatureDoesNotMatch"),
        ({"x-amz-signature": "\u00e9"}, 403, "SignatureDoesNotMatch"),
        ({"policy": "e30="}, 403, "SignatureDoesNotMatch"),
        ({"x-amz-algorithm": "AWS4-HMAC-SHA1"}, 400, "InvalidArgument"),
        ({"x-amz-credential": MAIN[0]}, 400, "InvalidArgument"),
        (
            {"x-amz-credential": f"{MAIN[0]}/{stamp(None)[:8]}/us-east-1/sqs/aws4_request"},
            400,
            "InvalidArgument",
        ),
        (
            {"x-amz-credential": f"{MAIN[0]}/{stamp(None)[:8]}/eu-west-1/s3/aws4_request"},
            400,
            "InvalidArgument",
        ),
        (
            {"x-amz-credential": f"{OTHER[0]}/{stamp(None)[:8]}/us-east-1/s3/aws4_request"},
            403,
            "SignatureDoesNotMatch",
        ),
        (
            {"x-amz-credential": f"NOBODY/{stamp(None)[:8]}/us-east-1/s3/aws4_request"},
            403,
            "InvalidAccessKeyId",
        ),
        ({"x-amz-credential": f"{MAIN[0]}/20200101/us-east-1/s3/aws4_request"}, 400, "InvalidArgument"),
        ({"x-amz-date": "20200101T000000Z"}, 400, "InvalidArgument"),
        ({"x-amz-date": "now"}, 400, "InvalidArgument"),
        ({"x-amz-security-token": "t"}, 400, "InvalidToken"),
        ({"AWSAccessKeyId": MAIN[0]}, 400, "InvalidRequest"),
        ({"signature": "AAAA"}, 400, "InvalidRequest"),
    ],
)
def test_a_signature_that_is_not_right(refused, changes, status, code):
    fields = {**signed_fields(refused.client, "full-bucket", KEY), **changes}
    answer = refused(post(refused.client, "/full-bucket", form_body(fields)), status, code)
    if code == "SignatureDoesNotMatch":
        assert answer.detail("StringToSign") == fields["policy"]
        assert answer.detail("StringToSignBytes") == fields["policy"].encode().hex(" ")
        assert answer.detail("SignatureProvided") == fields["x-amz-signature"]


@pytest.mark.parametrize(
    "content_type", [None, "", "text/html", "multipart/mixed; boundary=a", "multipart/form-datax"]
)
def test_what_is_no_form(refused, content_type):
    for target in ("/full-bucket", "/missing-bucket"):
        headers = {"Content-Type": content_type}
        body = form_body(signed_fields(refused.client, "full-bucket", KEY))
        answer = refused.client.request("POST", target, headers, body, sign=False)
        refused(answer, 412, "PreconditionFailed")
        assert answer.detail("Condition") == "Bucket POST must be of the enclosure-type multipart/form-data"


@pytest.mark.parametrize(
    "parameters",
    [
        "",
        ";",
        "; boundary",
        "; boundary=",
        '; boundary=""',
        "; boundary=" + "a" * 71,
        "; boundary=" + "a" * 300,
        '; boundary="a',
        "; boundary=a b",
        '; boundary="a "',
        "; boundary=\u00e9",
        "; xboundary=a",
    ],
)
def test_a_boundary_that_is_none(refused, parameters):
    body = form_body(signed_fields(refused.client, "full-bucket", KEY))
    answer = post(refused.client, "/full-bucket", body, Content_Type=f"multipart/form-data{parameters}")
    refused(answer, 400, "MalformedPOSTRequest")


DISPOSITION = b'Content-Disposition: form-data; name="key"'
OPEN = b"--" + BOUNDARY.encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda body: b"",
        lambda body: b"null",
        lambda body: b"preamble\r\n" + body,
        lambda body: body[2:],
        lambda body: body.replace(b"\r\n", b"\n"),
        lambda body: body.replace(OPEN + b"\r\n", OPEN + b"x\r\n", 1),
        lambda body: body.replace(OPEN + b"\r\n", OPEN + b"\n", 1),
        lambda body: body.replace(DISPOSITION, b"X: y"),
        lambda body: body.replace(DISPOSITION, DISPOSITION + b"\r\n" + DISPOSITION),
        lambda body: body.replace(DISPOSITION, b"Content-Disposition: attachment; name=key"),
        lambda body: body.replace(DISPOSITION, b'Content-Disposition: form-data; filename="key"'),
        lambda body: body.replace(DISPOSITION, b'Content-Disposition: form-data; name=""'),
        lambda body: body.replace(DISPOSITION, DISPOSITION + b'; name="key"'),
        lambda body: body.replace(DISPOSITION, DISPOSITION + b"; filename*=utf-8''x"),
        lambda body: body.replace(DISPOSITION, DISPOSITION + b"; size=3"),
        lambda body: body.replace(DISPOSITION, DISPOSITION + b'; filename="'),
        lambda body: body.replace(DISPOSITION, b"Content-Disposition : form-data; name=key"),
        lambda body: body.replace(DISPOSITION, b"Content-Disposition: form-data;\r\n name=key"),
        lambda body: body.replace(DISPOSITION, DISPOSITION + b"\r\nContent-Transfer-Encoding: base64"),
        lambda body: body.replace(DISPOSITION, b'Content-Disposition: form-data; name="\xff"'),
        lambda body: body.replace(DISPOSITION + b"\r\n\r\nk", DISPOSITION + b"\r\n\r\n\xff"),
        lambda body: body.replace(b"data", b"da\r\n" + OPEN + b"xta"),
        lambda body: body.removesuffix(b"--\r\n"),
        lambda body: body.removesuffix(b"--\r\n") + b"\r",
        lambda body: body.removesuffix(b"\r\n" + OPEN + b"--\r\n"),
        lambda body: body.removesuffix(OPEN + b"--\r\n"),
        lambda body: body[: body.index(b'name="file"')],
    ],
)
def test_a_form_that_is_not_well_formed(refused, damage):
    body = form_body(signed_fields(refused.client, "full-bucket", KEY))
    damaged = damage(body)
    assert damaged != body
    refused(post(refused.client, "/full-bucket", damaged), 400, "MalformedPOSTRequest")


def test_a_form_without_a_file(refused):
    fields = signed_fields(refused.client, "full-bucket", KEY)
    body = form_body(fields).partition(b'--XX-boundary-XX\r\nContent-Disposition: form-data; name="file"')[0]
    answer = post(refused.client, "/full-bucket", body + b"--XX-boundary-XX--\r\n")
    refused(answer, 400, "InvalidArgument", "POST requires exactly one file upload per request.")
    assert (answer.detail("ArgumentName"), answer.detail("ArgumentValue")) == ("file", "0")


def test_a_field_that_is_there_twice(refused):
    for name in ("key", "KEY", "policy", "x-amz-meta-a"):
        fields = [*signed_fields(refused.client, "full-bucket", KEY).items(), (name, "k"), (name, "k")]
        answer = post(refused.client, "/full-bucket", form_body(fields))
        refused(answer, 400, "InvalidArgument", "A form field was sent more than once.")


@pytest.mark.parametrize(
    "fields",
    [
        [("x-ignore-a", "a" * 40_000)],
        [("x-ignore-a", "a" * 10_000_000)],
        [(f"x-ignore-{n}", "") for n in range(100_000)],
        [("x" * 40_000, "")],
    ],
    ids=["field", "large field", "many fields", "name"],
)
def test_too_much_before_the_file(refused, fields):
    signed = signed_fields(refused.client, "full-bucket", KEY)
    body = form_body([*signed.items(), *fields])
    began = time.perf_counter()
    answer = post(refused.client, "/full-bucket", body)
    assert time.perf_counter() - began < 1
    refused(answer, 400, "MaxPostPreDataLengthExceededError")


def test_too_much_after_the_file(refused):
    part = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="a"\r\n\r\n'.encode()
    body = form_body(signed_fields(refused.client, "full-bucket", KEY), after=part + b"x" * 70_000 + b"\r\n")
    refused(post(refused.client, "/full-bucket", body), 400, "MaxMessageLengthExceeded")


@pytest.mark.parametrize("filler", [b"\r\n", b"\r", b"\r\n-", b"\r\n--XX-boundary-X"])
def test_a_file_of_almost_delimiters_takes_linear_time(client, bucket, filler):
    file = filler * (4_000_000 // len(filler))
    body = form_body(signed_fields(client, bucket, KEY), file)
    began = time.perf_counter()
    assert post(client, f"/{bucket}", body).status == 204
    assert time.perf_counter() - began < 4


@pytest.mark.parametrize("cut", [1, 4, 5, 30, 200, 900])
def test_a_form_that_is_cut_short(refused, cut):
    body = form_body(signed_fields(refused.client, "full-bucket", KEY), b"x" * 100)
    answer = post(refused.client, "/full-bucket", body[:-cut], Content_Length=str(len(body)))
    refused(answer, 400, "IncompleteBody")


def test_a_form_whose_length_nobody_tells(refused):
    body = form_body(signed_fields(refused.client, "full-bucket", KEY))
    headers = {"Content-Type": TYPE, "Content-Length": None}
    answer = refused.client.request("POST", "/full-bucket", headers, body, sign=False)
    refused(answer, 411, "MissingContentLength")


@pytest.mark.parametrize(
    ("name", "value", "status", "code"),
    [
        ("tagging", "not-xml", 400, "MalformedXML"),
        ("tagging", "<Tagging>", 400, "MalformedXML"),
        ("tagging", "<!DOCTYPE a [<!ENTITY b 'c'>]><Tagging>&b;</Tagging>", 400, "MalformedXML"),
        ("tagging", "<Other/>", 400, "MalformedXML"),
        (
            "tagging",
            "<Tagging><TagSet><Tag><Key>aws:a</Key><Value/></Tag></TagSet></Tagging>",
            400,
            "InvalidTag",
        ),
        ("acl", "public-read", 400, "AccessControlListNotSupported"),
        ("acl", "", 400, "AccessControlListNotSupported"),
        ("x-amz-storage-class", "FakeClass", 400, "InvalidStorageClass"),
        ("x-amz-storage-class", "GLACIER", 400, "InvalidStorageClass"),
        ("x-amz-checksum-crc32", "AAAAAA==", 400, "BadDigest"),
        ("x-amz-checksum-crc32", "sailorjerry", 400, "InvalidRequest"),
        ("x-amz-checksum-algorithm", "CRC32", 400, "InvalidRequest"),
        ("Content-MD5", b64encode(bytes(16)).decode(), 400, "BadDigest"),
        ("Content-MD5", "AAAA", 400, "InvalidDigest"),
        ("x-amz-meta-a", "a\r\nb", 400, "InvalidArgument"),
        ("x-amz-meta-", "a", 400, "InvalidArgument"),
        ("x-amz-meta-a", "a" * 2048, 400, "MetadataTooLarge"),
        ("Content-Type", "a/b\r\nX: y", 400, "InvalidArgument"),
        ("x-amz-unheard-of", "a", 501, "NotImplemented"),
        ("x_amz_acl", "private", 501, "NotImplemented"),
        ("x-amz-acl", "private", 501, "NotImplemented"),
        ("x-amz-tagging", "a=b", 501, "NotImplemented"),
        ("x-amz-website-redirect-location", "/a", 501, "NotImplemented"),
        ("x-amz-server-side-encryption", "AES256", 501, "NotImplemented"),
        ("x-amz-server-side-encryption-customer-key", "a", 501, "NotImplemented"),
        ("x-amz-object-lock-mode", "GOVERNANCE", 501, "NotImplemented"),
        ("x-amz-write-offset-bytes", "0", 501, "NotImplemented"),
        ("x-amz-copy-source", "/full-bucket/large", 501, "NotImplemented"),
        ("If-None-Match", "*", 501, "NotImplemented"),
        ("if_match", "a", 501, "NotImplemented"),
        ("Content-Range", "bytes 0-1/2", 501, "NotImplemented"),
    ],
)
def test_a_field_that_is_not_honoured(refused, name, value, status, code):
    """That the policy lets it pass is not enough."""
    answer = upload(
        refused.client, "full-bucket", {**KEY, name: value}, [ANY_KEY, ["starts-with", f"${name}", ""]]
    )
    refused(answer, status, code)
    if code == "NotImplemented":
        assert answer.detail("Header") == name.lower()


@pytest.mark.parametrize(
    ("key", "code"), [("", "InvalidArgument"), ("k" * 1025, "KeyTooLongError"), ("a\0b", "InvalidArgument")]
)
def test_a_key_that_is_none(refused, key, code):
    refused(upload(refused.client, "full-bucket", {"key": key}), 400, code)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-acl": "public-read"},
        {"x-amz-unheard-of": "1"},
        {"x-amz-copy-source": "/full-bucket/large"},
        {"If-None-Match": "*"},
        {"x-amz-expected-bucket-owner": "other"},
    ],
)
def test_headers_that_are_not_honoured(refused, headers):
    body = form_body(signed_fields(refused.client, "full-bucket", KEY))
    lines = {"Content-Type": TYPE, **headers}
    answer = refused.client.request("POST", "/full-bucket", lines, body, sign=False)
    owner = "x-amz-expected-bucket-owner" in headers
    refused(answer, *((403, "AccessDenied") if owner else (501, "NotImplemented")))


@pytest.mark.parametrize(
    "query", ["?unheard-of", "?x-id=PostObject", "?delete", "?policy", "?uploads", "?acl"]
)
def test_a_query_makes_it_another_request(refused, query):
    """What a form allows is a form upload and nothing else."""
    body = form_body(signed_fields(refused.client, "full-bucket", KEY))
    refused(post(refused.client, f"/full-bucket{query}", body), 403, "AccessDenied")
    refused(post(refused.client, "/full-bucket/small", body), 403, "AccessDenied")


def test_the_fence_passes_what_changes_nothing(app, client):
    fenced = Fenced(app.backend, client)
    body = form_body(signed_fields(client, "full-bucket", KEY))
    harmless = {
        "Content-Type": TYPE,
        "x-amz-acl": "private",
        "x-amz-storage-class": "STANDARD",
        "x-amz-request-payer": "requester",
        "x-amz-expected-bucket-owner": "main",
    }
    assert client.request("POST", "/full-bucket", harmless, body, sign=False).status == 204
    assert fenced.digest() != fenced.before
