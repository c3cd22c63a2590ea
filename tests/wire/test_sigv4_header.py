"""Bad signatures in the Authorization header: each has its code, and none has an effect."""

import hashlib
import json
import re
import time

import pytest

from s3shim.auth.credentials import load as load_credentials
from s3shim.backends.memory import MemoryBackend
from s3shim.config import load
from s3shim.wsgi import create_app
from tests.wire.client import Client
from tests.wire.refusal import VICTIM, Probe
from tests.wire.signing import Signer, stamp

SECRET = "main-secret-main-secret"


@pytest.fixture(params=[True, False], ids=["raw headers", "folded headers"])
def probe(request, app, signed, bucket):
    """A probe behind a server that gives raw headers, and behind one that does not."""
    return Probe(signed(app, raw_headers=request.param), app.backend)


def edited(probe, old, new, **options):
    """Return a signed request with ``old`` replaced in its Authorization header."""
    draft = probe.put(**options)
    value = draft.header("Authorization")
    assert old in value
    draft.set("Authorization", value.replace(old, new))
    return draft


def parts_of(draft):
    """Return (Credential=.., SignedHeaders=.., Signature=..) of a signed request."""
    return draft.header("Authorization").partition(" ")[2].split(", ")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "POST"])
@pytest.mark.parametrize("target", ["/", "/a-bucket", VICTIM, "/a-bucket/missing", "/missing-bucket/k"])
@pytest.mark.parametrize("header", [None, ""])
def test_no_signature(probe, method, target, header):
    draft = probe.client.draft(method, target, {"Authorization": header}, sign=False)
    if (method, target, header) == ("POST", "/a-bucket", None):
        # It would have to be a form, which carries its signature itself.
        probe.refused(draft, 412, "PreconditionFailed")
    else:
        probe.refused(draft, 403, "AccessDenied")


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("garbage", "InvalidArgument"),
        ("Bearer token", "InvalidArgument"),
        ("Basic dXNlcjpwYXNz", "InvalidArgument"),
        ("AWS2-HMAC-SHA1 Credential=a/b", "InvalidArgument"),
        ("AWS4-ECDSA-P256-SHA256 Credential=a/b", "InvalidArgument"),
        ("aws4-hmac-sha256 Credential=a/b", "InvalidArgument"),
        ("AWS MAINACCESSKEY:c2lnbmF0dXJl", "InvalidRequest"),
        ("AWS", "InvalidRequest"),
        ("AWS4-HMAC-SHA256", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 ", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 garbage", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Signature=abc", "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 ,,,", "AuthorizationHeaderMalformed"),
    ],
)
def test_other_schemes(probe, value, code):
    draft = probe.put()
    draft.set("Authorization", value)
    answer = probe.refused(draft, 400, code)
    if code == "InvalidRequest":
        assert "AWS4-HMAC-SHA256" in answer.detail("Message")


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_component_missing(probe, missing):
    draft = probe.put()
    parts = parts_of(draft)
    del parts[missing]
    draft.set("Authorization", f"AWS4-HMAC-SHA256 {', '.join(parts)}")
    probe.refused(draft, 400, "AuthorizationHeaderMalformed")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Signature=", "Signature"),
        ("Credential=", "Credential"),
        ("Signature=", "Signatures="),
        (", Signature=", ", Signature=0, Signature="),
        (", Signature=", ", Extra=1, Signature="),
        ("/20", "20"),
        ("/us-east-1/s3/", "/s3/"),
        ("Credential=", "Credential=extra/"),
        ("Credential=MAINACCESSKEY", "Credential=MAIN/ACCESSKEY"),
        ("Credential=MAINACCESSKEY", "Credential="),
        ("aws4_request", "aws_request"),
        ("/s3/", "/ec2/"),
        ("/us-east-1/", "//"),
        ("/us-east-1/", f"/{'r' * 65}/"),
    ],
)
def test_malformed(probe, old, new):
    probe.refused(edited(probe, old, new), 400, "AuthorizationHeaderMalformed")


@pytest.mark.parametrize("day", ["3223423234", "2013052", "tomorrow", "20130524", ""])
def test_scope_of_another_day(probe, day):
    draft = edited(probe, f"/{stamp()[:8]}/", f"/{day}/")
    probe.refused(draft, 400, "AuthorizationHeaderMalformed")


def test_wrong_region(probe):
    draft = probe.put(signer=Signer("MAINACCESSKEY", SECRET, "eu-west-1"))
    answer = probe.refused(draft, 400, "AuthorizationHeaderMalformed")
    assert answer.detail("Region") == "us-east-1"
    assert "'eu-west-1' is wrong; expecting 'us-east-1'" in answer.detail("Message")


@pytest.mark.parametrize(
    "access_key",
    [
        "AKIAUNKNOWN",
        "mainaccesskey",
        "*)(uid=*",
        "a\0b",
        "a\r\nX-Evil: 1",
        "k" * 10_000,
        "<script>alert(1)</script>".replace("/", ""),
        "]]>&<!--",
        "\xff\xfe\x00",
        "../../etc/passwd".replace("/", "\\"),
    ],
)
def test_unknown_access_key(probe, access_key):
    draft = edited(probe, "Credential=MAINACCESSKEY", f"Credential={access_key}")
    answer = probe.refused(draft, 403, "InvalidAccessKeyId")
    assert b"<script>" not in answer.body
    assert len(answer.body) < 4096
    assert "x-evil" not in answer.headers
    if access_key.isprintable() and access_key.isascii() and len(access_key) < 200:
        assert answer.detail("AWSAccessKeyId") == access_key


def test_wrong_secret(probe):
    draft = probe.put(signer=Signer("MAINACCESSKEY", "not-the-secret-of-main"))
    answer = probe.refused(draft, 403, "SignatureDoesNotMatch")
    assert answer.detail("AWSAccessKeyId") == "MAINACCESSKEY"
    assert answer.detail("SignatureProvided") == draft.header("Authorization")[-64:]
    signed = re.search("SignedHeaders=([^,]+)", draft.header("Authorization"))[1].split(";")
    canonical = probe.client.signer.canonical_request(draft, draft.header("x-amz-content-sha256"), signed)
    assert answer.detail("CanonicalRequest") == canonical.decode()
    assert bytes.fromhex(answer.detail("CanonicalRequestBytes")) == canonical
    lines = answer.detail("StringToSign").split("\n")
    assert lines[::3] == ["AWS4-HMAC-SHA256", hashlib.sha256(canonical).hexdigest()]
    assert bytes.fromhex(answer.detail("StringToSignBytes")).decode().split("\n") == lines


@pytest.mark.parametrize(
    "change",
    [
        lambda signature: "\xe9" * 64,
        lambda signature: "",
        lambda signature: signature[:63],
        lambda signature: signature + "0",
        lambda signature: " " + signature[1:],
        lambda signature: "0" * 64,
        lambda signature: "<b>&" * 5000,
    ],
)
def test_wrong_signature(probe, change):
    signature = parts_of(probe.put())[2].removeprefix("Signature=")
    draft = probe.put()
    draft.set("Authorization", draft.header("Authorization")[:-64] + change(signature))
    answer = probe.refused(draft, 403, "SignatureDoesNotMatch")
    assert len(answer.body) < 4096


def test_upper_case_signature(probe):
    for number in range(100):
        draft = probe.put(headers={"x-amz-meta-n": str(number)})
        value = draft.header("Authorization")
        if value[-64:].isdigit():
            continue
        draft.set("Authorization", value[:-64] + value[-64:].upper())
        probe.refused(draft, 403, "SignatureDoesNotMatch")
        return
    raise AssertionError("no signature holds a letter")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-date": None},
        {"x-amz-date": "yesterday"},
        {"x-amz-date": ""},
        {"x-amz-date": "20130524"},
        {"x-amz-date": "20131324T000000Z"},
        {"x-amz-date": "20130524T250000Z"},
        {"x-amz-date": "2013-05-24T00:00:00Z"},
        {"Date": "yesterday"},
        {"Date": "Fri, 99 Foo 2013 00:00:00 GMT"},
    ],
)
def test_no_date(probe, headers):
    draft = probe.put(headers=headers, date_header=None)
    probe.refused(draft, 403, "AccessDenied")


@pytest.mark.parametrize("date", [-16 * 60, 16 * 60, "99991231T235959Z", "19700101T000000Z"])
def test_skewed_date(probe, date):
    when = date if isinstance(date, str) else time.time() + date
    answer = probe.refused(probe.put(date=when), 403, "RequestTimeTooSkewed")
    assert answer.detail("ServerTime")
    assert answer.detail("RequestTime")
    assert answer.detail("MaxAllowedSkewMilliseconds") == "900000"


@pytest.mark.parametrize("date", ["19691231T235959Z", "00010101T000000Z", "00000101T000000Z"])
def test_date_before_the_epoch(probe, date):
    probe.refused(probe.put(date=date), 403, "AccessDenied")


@pytest.mark.parametrize("seconds", [-14 * 60, 14 * 60])
def test_date_within_the_allowed_skew(probe, seconds):
    probe.accepted(probe.put(date=time.time() + seconds))


def test_two_authorization_headers(probe):
    draft = probe.put()
    draft.headers.append(("Authorization", draft.header("Authorization")))
    probe.refused(draft, 400, "InvalidArgument")


def test_header_and_query_both_sign(probe):
    presigned = probe.client.presign("PUT", VICTIM)
    draft = probe.put(target=presigned)
    assert "one auth mechanism" in probe.refused(draft, 400, "InvalidArgument").detail("Message")
    for extra in ("X-Amz-Signature=abc", "X-Amz-Algorithm=x", "AWSAccessKeyId=a&Signature=b&Expires=1"):
        probe.refused(probe.put(target=f"{VICTIM}?{extra}"), 400, "InvalidArgument")


@pytest.mark.parametrize("token", ["session", ""])
def test_security_token_of_a_static_key(probe, token):
    probe.refused(probe.put(headers={"x-amz-security-token": token}), 400, "InvalidToken")


def test_a_replay_is_accepted(probe):
    draft = probe.put(date=time.time() - 14 * 60)
    probe.accepted(draft)
    probe.accepted(draft)


def test_keys_are_read_at_the_start_only(tmp_path):
    path = tmp_path / "credentials.json"
    path.touch(0o600)
    pairs = [("FIRSTKEY", "first-secret"), ("SECONDKEY", "second-secret")]

    def write(count):
        entries = [{"accessKey": access, "secretKey": secret} for access, secret in pairs[:count]]
        path.write_text(json.dumps({"credentials": entries}))

    write(2)
    config = load(["--data", str(tmp_path), "--credentials", str(path)], {})
    app = create_app(config, MemoryBackend())
    write(1)
    assert list(load_credentials(path)) == ["FIRSTKEY"]
    assert Client(app, *pairs[1]).request("GET", "/").status == 200
    restarted = create_app(config, MemoryBackend())
    assert Client(restarted, *pairs[1]).request("GET", "/").code == "InvalidAccessKeyId"
    assert Client(restarted, *pairs[0]).request("GET", "/").status == 200


def test_date_header_in_place_of_x_amz_date(probe):
    now = time.time()
    for value in (time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now)), stamp(now)):
        probe.accepted(probe.put(headers={"Date": value}, date=now))
