"""Presigned URLs: what they allow, and every way in which one is not right."""

import hashlib
import re
import time

import pytest

from tests.wire.refusal import VICTIM, Probe
from tests.wire.signing import Draft, Signer, stamp

SECRET = "main-secret-main-secret"
HOST = ("Host", "s3.example:9000")
EVIL_HASH = hashlib.sha256(b"evil").hexdigest()
OTHER_HASH = hashlib.sha256(b"other bytes").hexdigest()


@pytest.fixture(params=[True, False], ids=["raw headers", "folded headers"])
def probe(request, app, signed, bucket):
    """A probe behind a server that gives raw headers, and behind one that does not."""
    return Probe(signed(app, raw_headers=request.param), app.backend)


def sent(target, method="PUT", headers=()):
    """Return a request without an Authorization header; a PUT would overwrite."""
    body = b"evil" if method == "PUT" else b""
    lines = [HOST, *headers, *([("Content-Length", "4")] if body else [])]
    return Draft(method, target, lines, body)


def presigned(probe, method="PUT", target=VICTIM, headers=(), **options):
    """Return a presigned request that sends the headers it was signed for."""
    return sent(probe.client.presign(method, target, headers, **options), method, headers)


@pytest.mark.parametrize("expires", [60, 3600, 604_800])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_right(probe, method, expires):
    answer = probe.accepted(presigned(probe, method, expires=expires), 204 if method == "DELETE" else 200)
    if method == "GET":
        assert answer.body == b"precious"
    stored = probe.client.send(probe.get())
    assert (stored.status, stored.body[:8]) == {
        "GET": (200, b"precious"),
        "HEAD": (200, b"precious"),
        "PUT": (200, b"evil"),
        "DELETE": (404, b"<?xml ve"),
    }[method]


@pytest.mark.parametrize(
    "name",
    [
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Signature",
        "X-Amz-Date",
        "X-Amz-SignedHeaders",
        "X-Amz-Expires",
    ],
)
@pytest.mark.parametrize("how", ["missing", "empty", "missing after signing"])
def test_parameter_missing(probe, name, how):
    if name == "X-Amz-Signature" or how != "missing":
        replacement = f"&{name}=" if how == "empty" else ""
        target = re.sub(
            rf"[&]{name}=[^&]*", replacement, probe.client.presign("PUT", f"{VICTIM}?x-id=PutObject")
        )
    else:
        target = probe.client.presign("PUT", VICTIM, change=lambda items: items.pop(name))
    answer = probe.refused(sent(target), 400, "AuthorizationQueryParametersError")
    assert name in answer.detail("Message")


def with_items(**items):
    """Return a change of the presigned items ``X-Amz-`` + name."""
    return lambda present: present.update({f"X-Amz-{name}": value for name, value in items.items()})


@pytest.mark.parametrize(
    "algorithm", ["AWS4-HMAC-SHA1", "AWS4-ECDSA-P256-SHA256", "aws4-hmac-sha256", "none"]
)
def test_algorithm(probe, algorithm):
    draft = presigned(probe, change=with_items(Algorithm=algorithm))
    probe.refused(draft, 400, "AuthorizationQueryParametersError")


TODAY = "TODAY"


@pytest.mark.parametrize(
    "credential",
    [
        "MAINACCESSKEY",
        f"{TODAY}/us-east-1/s3/aws4_request",
        f"MAINACCESSKEY/{TODAY}/us-east-1/aws4_request",
        f"MAINACCESSKEY/extra/{TODAY}/us-east-1/s3/aws4_request",
        f"/{TODAY}/us-east-1/s3/aws4_request",
        f"MAINACCESSKEY/{TODAY}/us-east-1/s3/aws_request",
        f"MAINACCESSKEY/{TODAY}/us-east-1/ec2/aws4_request",
        f"MAINACCESSKEY/{TODAY}/eu-west-1/s3/aws4_request",
        f"MAINACCESSKEY/{TODAY}//s3/aws4_request",
        "MAINACCESSKEY/3223423234/us-east-1/s3/aws4_request",
        "MAINACCESSKEY/20130524/us-east-1/s3/aws4_request",
    ],
)
def test_credential(probe, credential):
    credential = credential.replace(TODAY, stamp()[:8])
    draft = presigned(probe, change=with_items(Credential=credential))
    probe.refused(draft, 400, "AuthorizationQueryParametersError")


def test_wrong_region_is_named(probe):
    draft = presigned(probe, signer=Signer("MAINACCESSKEY", SECRET, "eu-west-1"))
    answer = probe.refused(draft, 400, "AuthorizationQueryParametersError")
    assert answer.detail("Region") == "us-east-1"


@pytest.mark.parametrize(
    "expires",
    ["abc", "-1", "0", "604801", "1000000000", "1e9", " 60", "60 ", "+60", "6\u0660", "60.5", "9" * 5000],
)
def test_expires(probe, expires):
    probe.refused(presigned(probe, expires=expires), 400, "AuthorizationQueryParametersError")


@pytest.mark.parametrize(
    "date", ["yesterday", "20130524", "20131324T000000Z", "Fri, 24 May 2013 00:00:00 GMT"]
)
def test_date(probe, date):
    draft = presigned(probe, change=with_items(Date=date))
    probe.refused(draft, 400, "AuthorizationQueryParametersError")


@pytest.mark.parametrize(("age", "expires"), [(61, 60), (60, 60), (604_801, 604_800), (10**9, 604_800)])
def test_expired(probe, age, expires):
    draft = presigned(probe, date=int(time.time()) - age, expires=expires)
    answer = probe.refused(draft, 403, "AccessDenied")
    assert answer.detail("Message") == "Request has expired"
    assert answer.detail("Expires")
    assert answer.detail("ServerTime")


def test_old_but_not_expired(probe):
    probe.accepted(presigned(probe, date=time.time() - 600_000, expires=604_800))


def test_before_the_epoch(probe):
    probe.refused(presigned(probe, date="19691231T235959Z"), 403, "AccessDenied")


@pytest.mark.parametrize("date", [20 * 60, "99991231T235959Z"])
def test_in_the_future(probe, date):
    when = date if isinstance(date, str) else time.time() + date
    answer = probe.refused(presigned(probe, date=when), 403, "AccessDenied")
    assert answer.detail("Message") == "Request is not valid yet"


def test_a_little_in_the_future(probe):
    probe.accepted(presigned(probe, date=time.time() + 14 * 60))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-tagging", "a=b"),
        ("x-amz-copy-source", "/a-bucket/a/b"),
        ("x-amz-meta-a", "1"),
        ("x-amz-acl", "private"),
        ("x-amz-storage-class", "STANDARD"),
    ],
)
def test_header_is_not_signed(probe, name, value):
    answer = probe.refused(
        sent(probe.client.presign("PUT", VICTIM), headers=[(name, value)]), 403, "AccessDenied"
    )
    assert answer.detail("HeadersNotSigned") == name


def test_host_is_not_signed(probe):
    draft = presigned(probe, change=with_items(SignedHeaders="x-amz-date"))
    assert probe.refused(draft, 403, "AccessDenied").detail("HeadersNotSigned") == "host"


@pytest.mark.parametrize("names", ["host;x-amz-meta-absent", "Host", "host;host", "host;", "\u20ac;host"])
def test_list_of_signed_headers(probe, names):
    draft = presigned(probe, change=with_items(SignedHeaders=names))
    probe.refused(draft, 403, "SignatureDoesNotMatch")


def test_signed_header(probe):
    headers = [("x-amz-meta-a_b", "1"), ("x-amz-meta-c", "a  b")]
    probe.accepted(presigned(probe, headers=headers))
    stored = probe.client.request("HEAD", VICTIM)
    assert (stored.headers["x-amz-meta-a_b"], stored.headers["x-amz-meta-c"]) == ("1", "a  b")


def test_query_item_counts_as_a_header(probe):
    target = probe.client.presign("PUT", f"{VICTIM}?x-amz-meta-a=1&X-Amz-Meta-B=2")
    probe.accepted(sent(target))
    stored = probe.client.request("HEAD", VICTIM)
    assert (stored.headers["x-amz-meta-a"], stored.headers["x-amz-meta-b"]) == ("1", "2")


def test_query_item_beside_a_header_with_an_underscore(probe):
    target = f"{VICTIM}?x-amz-meta-c=2"
    probe.accepted(presigned(probe, target=target, headers=[("x-amz-meta-a_b", "1")]))
    stored = probe.client.request("HEAD", VICTIM)
    assert (stored.headers["x-amz-meta-a_b"], stored.headers["x-amz-meta-c"]) == ("1", "2")
    assert "x-amz-meta-a-b" not in stored.headers


def test_query_item_and_header_agree(probe):
    target = f"{VICTIM}?x-amz-meta-a=1"
    probe.accepted(presigned(probe, target=target, headers=[("x-amz-meta-a", "1")]))


def test_query_item_and_header_differ(probe):
    draft = presigned(probe, target=f"{VICTIM}?x-amz-meta-a=1", headers=[("x-amz-meta-a", "2")])
    probe.refused(draft, 400, "InvalidRequest")


@pytest.mark.parametrize(
    "extra",
    [
        "response-content-type=text/html",
        "uploads",
        "acl",
        "tagging=",
        "versionId=null",
        "x-amz-meta-a=1",
        "a=b",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_query_item_added(probe, method, extra):
    target = probe.client.presign(method, VICTIM)
    for changed in (f"{target}&{extra}", target.replace("?", f"?{extra}&", 1)):
        probe.refused(sent(changed, method), 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("X-Amz-Expires=3600", "X-Amz-Expires=3601"),
        ("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=content-length%3Bhost"),
        ("victim", "a/b"),
        ("/a-bucket/", "/b-bucket/"),
    ],
)
def test_changed(probe, old, new):
    target = probe.client.presign("PUT", VICTIM)
    assert old in target
    probe.refused(sent(target.replace(old, new, 1)), 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("signature", ["0" * 64, "abc", "%C3%A9" * 64, "%E2%82%AC", "%00", "A" * 5000])
def test_wrong_signature(probe, signature):
    target = probe.client.presign("PUT", VICTIM)[:-64] + signature
    answer = probe.refused(sent(target), 403, "SignatureDoesNotMatch")
    assert len(answer.detail("SignatureProvided")) <= 256


def test_wrong_secret(probe):
    draft = presigned(probe, signer=Signer("MAINACCESSKEY", "not-the-secret-of-main"))
    probe.refused(draft, 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("access_key", ["AKIAUNKNOWN", "*)(uid=*", "<script>", "\u20ac", "k" * 5000])
def test_unknown_access_key(probe, access_key):
    draft = presigned(probe, signer=Signer(access_key, SECRET))
    answer = probe.refused(draft, 403, "InvalidAccessKeyId")
    assert answer.detail("AWSAccessKeyId") == access_key[:256]


def test_host_changed(probe):
    draft = presigned(probe)
    draft.set("Host", "other.example:9000")
    probe.refused(draft, 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("signed_for", "used_for"),
    [("GET", "PUT"), ("GET", "DELETE"), ("GET", "HEAD"), ("HEAD", "GET"), ("PUT", "GET"), ("PUT", "DELETE")],
)
def test_another_method(probe, signed_for, used_for):
    target = probe.client.presign(signed_for, VICTIM)
    probe.refused(sent(target, used_for), 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("stated", [OTHER_HASH, EVIL_HASH])
@pytest.mark.parametrize("place", ["header", "query"])
def test_signed_payload_hash(probe, stated, place):
    if place == "header":
        draft = presigned(probe, headers=[("x-amz-content-sha256", stated)], payload=stated)
    else:
        target = f"{VICTIM}?X-Amz-Content-Sha256={stated}"
        draft = presigned(probe, target=target, payload=stated)
    if stated == EVIL_HASH:
        probe.accepted(draft)
    else:
        probe.refused(draft, 400, "XAmzContentSHA256Mismatch")


def test_payload_hash_that_is_not_signed_is_held_against_the_body(probe):
    target = probe.client.presign("PUT", VICTIM)
    draft = sent(target, headers=[("x-amz-content-sha256", OTHER_HASH)])
    probe.refused(draft, 400, "XAmzContentSHA256Mismatch")
    probe.accepted(sent(target, headers=[("x-amz-content-sha256", EVIL_HASH)]))


def test_payload_hashes_differ(probe):
    target = f"{VICTIM}?X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"
    draft = presigned(probe, target=target, headers=[("x-amz-content-sha256", EVIL_HASH)])
    probe.refused(draft, 400, "InvalidRequest")


@pytest.mark.parametrize("place", ["header", "query"])
def test_payload_hash_malformed(probe, place):
    headers = [("x-amz-content-sha256", "sha")] if place == "header" else []
    target = f"{VICTIM}?X-Amz-Content-Sha256=sha" if place == "query" else VICTIM
    draft = presigned(probe, target=target, headers=headers, payload="sha")
    probe.refused(draft, 400, "InvalidArgument")


@pytest.mark.parametrize(
    "payload", ["STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"]
)
def test_streaming_payload(probe, payload):
    line = ("x-amz-content-sha256", payload)
    probe.refused(presigned(probe, headers=[line], payload=payload), 501, "NotImplemented")
    probe.refused(sent(probe.client.presign("PUT", VICTIM), headers=[line]), 501, "NotImplemented")
    in_query = f"{VICTIM}?X-Amz-Content-Sha256={payload}"
    probe.refused(presigned(probe, target=in_query, payload=payload), 501, "NotImplemented")


@pytest.mark.parametrize("name", ["X-Amz-Security-Token", "x-amz-security-token"])
def test_security_token_of_a_static_key(probe, name):
    draft = presigned(probe, target=f"{VICTIM}?{name}=session")
    probe.refused(draft, 400, "AuthorizationQueryParametersError")
    in_header = presigned(probe, headers=[("x-amz-security-token", "session")])
    probe.refused(in_header, 400, "AuthorizationQueryParametersError")


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_signature_version_2(probe, method):
    target = f"{VICTIM}?AWSAccessKeyId=MAINACCESSKEY&Expires={int(time.time()) + 60}&Signature=c2ln%3D"
    answer = probe.refused(sent(target, method), 400, "InvalidRequest")
    assert "AWS4-HMAC-SHA256" in answer.detail("Message")


@pytest.mark.parametrize(
    "again", ["X-Amz-Signature", "X-Amz-Date", "X-Amz-Expires", "x-amz-signature", "X-AMZ-DATE"]
)
def test_parameter_twice(probe, again):
    target = probe.client.presign("PUT", VICTIM)
    value = re.search(rf"(?i){again}=([^&]*)", target)[1]
    probe.refused(sent(f"{target}&{again}={value}"), 400, "AuthorizationQueryParametersError")


@pytest.mark.parametrize(
    "name", ["X-Amz-Signature", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-"]
)
def test_parameter_in_another_case(probe, name):
    target = probe.client.presign("PUT", VICTIM).replace(name, name.lower())
    probe.refused(sent(target), 400, "AuthorizationQueryParametersError")


@pytest.mark.parametrize(
    "spell",
    [
        lambda name: name.replace("-", "%2D"),
        lambda name: name.replace("-", "%2d"),
        lambda name: "".join(f"%{ord(letter):02X}" for letter in name),
    ],
)
def test_encoded_parameter_names(probe, spell):
    target = re.sub(
        r"X-Amz-[A-Za-z]+(?==)", lambda match: spell(match[0]), probe.client.presign("PUT", VICTIM)
    )
    assert "X-Amz-" not in target
    forged = target[:-64] + "0" * 64
    probe.refused(sent(forged), 403, "SignatureDoesNotMatch")
    probe.accepted(sent(target))


def test_order_of_the_parameters(probe):
    path, _, query = probe.client.presign("PUT", VICTIM).partition("?")
    probe.accepted(sent(f"{path}?{'&'.join(reversed(query.split('&')))}"))


@pytest.mark.parametrize("scheme", ["Bearer x", "Basic dXNlcjpwYXNz", ""])
def test_foreign_scheme_beside_a_presigned_query(probe, scheme):
    target = probe.client.presign("PUT", VICTIM)
    line = ("Authorization", scheme)
    probe.refused(sent(target[:-64] + "0" * 64, headers=[line]), 403, "SignatureDoesNotMatch")
    probe.accepted(sent(target, headers=[line]))
