"""Signature Version 4: AWS's own examples, canonical forms, times and hashes."""

import hashlib
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3shim import signing
from s3shim.auth import credentials, sigv4
from s3shim.auth.authenticate import Authenticator
from s3shim.errors import Code, S3Error
from s3shim.model import ANONYMOUS
from s3shim.wire.request import S3Request, Service
from tests.wire.client import Client
from tests.wire.signing import Draft, Signer, stamp

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
EXAMPLE_HOST = "examplebucket.s3.amazonaws.com"
EXAMPLE_STAMP = "20130524T000000Z"
EXAMPLE_TIME = datetime(2013, 5, 24, tzinfo=UTC).timestamp()
EMPTY = hashlib.sha256(b"").hexdigest()
WELCOME = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
HOST = "s3.example:9000"
KNOWN = credentials.fixed(ACCESS_KEY, SECRET_KEY)

# "Examples: Signature Calculations", Amazon S3 API Reference: method, target, headers, payload hash,
# hash of the canonical request, signature.
EXAMPLES = {
    "GET object": (
        "GET",
        "/test.txt",
        {"range": "bytes=0-9"},
        EMPTY,
        "7344ae5b7ee6c3e7e6b0fe0640412a37625d1fbfff95c48bbb2dc43964946972",
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "PUT object": (
        "PUT",
        "/test$file.text",
        {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
        WELCOME,
        "9e0e90d9c76de8fa5b200d8c849cd5b8dc7a3be3951ddb7f6a76b4158342019d",
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    "GET bucket lifecycle": (
        "GET",
        "/?lifecycle",
        {},
        EMPTY,
        "9766c798316ff2757b517bc739a67f6213b4ab36dd5da2f94eaebf79c77395ca",
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "list objects": (
        "GET",
        "/?max-keys=2&prefix=J",
        {},
        EMPTY,
        "df57d21db20da04d7fa30298dd4488ba3a2b47ca3a489c74750e0f1e7df1b9b7",
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
}
EXAMPLE_URL = (
    "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
    "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)


def authenticate(draft, *, now=None, region="us-east-1", raw_headers=True):
    """Return the identity behind ``draft``, at the time ``now``."""
    client = Client(lambda *_: [], ACCESS_KEY, SECRET_KEY, raw_headers=raw_headers)
    request = S3Request(client.environ(draft), Service())
    request.parse()
    clock = {} if now is None else {"clock": lambda: now}
    return Authenticator(KNOWN, region, **clock)(request)


def refusal(draft, **options):
    with pytest.raises(S3Error) as refused:
        authenticate(draft, **options)
    return refused.value


@pytest.mark.parametrize("name", EXAMPLES)
def test_aws_example(name):
    method, target, headers, payload, canonical_hash, signature = EXAMPLES[name]
    headers = {**headers, "host": EXAMPLE_HOST, "x-amz-content-sha256": payload, "x-amz-date": EXAMPLE_STAMP}
    names = ";".join(sorted(headers))
    path, _, query = target.partition("?")
    items = [tuple(item.partition("=")[::2]) for item in query.split("&") if item]
    canonical = signing.canonical_request(
        method,
        sigv4.canonical_path(path),
        sigv4.canonical_query(items),
        sigv4.canonical_headers(names, headers),
        names,
        payload,
    )
    assert hashlib.sha256(canonical).hexdigest() == canonical_hash
    text = signing.string_to_sign(EXAMPLE_STAMP, "20130524/us-east-1/s3/aws4_request", canonical)
    key = signing.signing_key(SECRET_KEY.encode(), "20130524", "us-east-1")
    assert signing.signature(key, text) == signature

    body = b"Welcome to Amazon S3." if payload == WELCOME else b""
    draft = Draft(method, target, list(headers.items()), body)
    authorization = f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20130524/us-east-1/s3/aws4_request,"
    draft.set("Authorization", f"{authorization}SignedHeaders={names},Signature={signature}")
    identity = authenticate(draft, now=EXAMPLE_TIME)
    assert (identity.account, identity.access_key) == ("default", ACCESS_KEY)
    signer = Signer(ACCESS_KEY, SECRET_KEY)
    assert signer.signature(draft, EXAMPLE_STAMP, payload, sorted(headers)) == signature


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (-901, "Request is not valid yet"),
        (-900, None),
        (0, None),
        (86_399.9, None),
        (86_400, "Request has expired"),
        (86_401, "Request has expired"),
    ],
)
def test_aws_example_presigned_and_its_life(second, message):
    draft = Draft("GET", EXAMPLE_URL, [("Host", EXAMPLE_HOST)])
    if message is None:
        assert authenticate(draft, now=EXAMPLE_TIME + second).access_key == ACCESS_KEY
    else:
        error = refusal(draft, now=EXAMPLE_TIME + second)
        assert (error.code, error.message) == (Code.AccessDenied, message)


@pytest.mark.parametrize(("second", "refused"), [(-901, True), (-900, False), (900, False), (901, True)])
def test_skew(second, refused):
    client = Client(lambda *_: [], ACCESS_KEY, SECRET_KEY)
    draft = client.draft("GET", "/", date=EXAMPLE_TIME)
    if not refused:
        assert authenticate(draft, now=EXAMPLE_TIME + second).access_key == ACCESS_KEY
        return
    error = refusal(draft, now=EXAMPLE_TIME + second)
    assert error.code is Code.RequestTimeTooSkewed
    assert error.details["RequestTime"] == "20130524T000000Z"
    assert error.details["ServerTime"].startswith("2013-05-2")
    assert error.details["MaxAllowedSkewMilliseconds"] == 900_000


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("/", "/"),
        ("/a/b-._~9", "/a/b-._~9"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%2Fb/c", "/a%2Fb/c"),
        ("/%41%7e", "/A~"),
        ("/a b", "/a%20b"),
        ("/a+b", "/a%2Bb"),
        ("/%252F", "/%252F"),
        ("/b//c/./../d/", "/b//c/./../d/"),
        ("/\xc3\xa9", "/%C3%A9"),
        ("/%c3%a9!*'()", "/%C3%A9%21%2A%27%28%29"),
    ],
)
def test_canonical_path(raw, canonical):
    assert sigv4.canonical_path(raw) == canonical


@pytest.mark.parametrize(
    ("items", "canonical"),
    [
        ([], ""),
        ([("acl", "")], "acl="),
        ([("b", "2"), ("a", "1")], "a=1&b=2"),
        ([("a", "2"), ("a", "10"), ("a", "")], "a=&a=10&a=2"),
        ([("a", "x y+z/=&")], "a=x%20y%2Bz%2F%3D%26"),
        # By the encoded names: "é" is %C3%A9 and comes before "A".
        ([("A", ""), ("é", "")], "%C3%A9=&A="),
        ([("X-Amz-Signature", "x"), ("x-amz-signature", "y")], "x-amz-signature=y"),
    ],
)
def test_canonical_query(items, canonical):
    assert sigv4.canonical_query(items) == canonical


def test_canonical_headers():
    headers = {"host": "h", "x-amz-meta-a": " a  b\t\tc ", "x-amz-meta-b": "", "range": "bytes=0-1"}
    block = sigv4.canonical_headers("host;x-amz-meta-a;x-amz-meta-b", headers)
    assert block == "host:h\nx-amz-meta-a:a b c\nx-amz-meta-b:\n"
    for names in ("host;range;missing", "range;host", "host;host", "Host", "", "host;", ";host"):
        assert sigv4.canonical_headers(names, headers) is None
    with pytest.raises(S3Error) as refused:
        sigv4.canonical_headers("host", {"host": "a\r\n b"})
    assert refused.value.code is Code.InvalidArgument


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Fri, 24 May 2013 00:00:00 GMT", "20130524T000000Z"),
        ("Fri, 24 May 2013 02:00:00 +0200", "20130524T000000Z"),
        ("20130524T000000Z", "20130524T000000Z"),
        ("", None),
        ("tomorrow", None),
        ("Fri, 99 May 2013 00:00:00 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +1400", None),
    ],
)
def test_date_header(value, expected):
    found = sigv4.timestamp_of_date(value)
    if expected is None:
        assert found is None or sigv4.seconds_of(found) != EXAMPLE_TIME
    else:
        assert found == expected


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_date_text_is_a_crash(text):
    found = sigv4.timestamp_of_date(text)
    assert found is None or sigv4.seconds_of(found) is not None
    assert sigv4.seconds_of(text) is None


def test_signing_key_is_kept_per_scope():
    signing.signing_key.cache_clear()
    for _ in range(3):
        authenticate(Client(lambda *_: [], ACCESS_KEY, SECRET_KEY).draft("GET", "/"))
    assert (signing.signing_key.cache_info().misses, signing.signing_key.cache_info().hits) == (1, 2)


def test_unknown_key_costs_the_same_steps(monkeypatch):
    steps = []
    for module, name in (
        (signing, "canonical_request"),
        (signing, "signing_key"),
        (signing, "signature"),
        (sigv4, "same"),
    ):
        plain = getattr(module, name)

        def counted(*arguments, name=name, plain=plain):
            steps.append(name)
            return plain(*arguments)

        monkeypatch.setattr(module, name, counted)
    seen = {}
    codes = {ACCESS_KEY: Code.SignatureDoesNotMatch, "AKIAUNKNOWN": Code.InvalidAccessKeyId}
    for access_key, code in codes.items():
        steps.clear()
        error = refusal(Client(lambda *_: [], access_key, "wrong-secret").draft("GET", "/"))
        assert error.code is code
        seen[code] = list(steps)
    assert seen[Code.SignatureDoesNotMatch] == seen[Code.InvalidAccessKeyId]
    assert len(steps) == 4


def test_region_any():
    signer = Client(lambda *_: [], ACCESS_KEY, SECRET_KEY, region="eu-west-7")
    assert authenticate(signer.draft("GET", "/"), region="any").access_key == ACCESS_KEY
    presigned = Draft("GET", signer.presign("GET", "/"), [("Host", signer.host)])
    assert authenticate(presigned, region="any").access_key == ACCESS_KEY
    assert refusal(signer.draft("GET", "/")).details["Region"] == "us-east-1"
    lying = Client(lambda *_: [], ACCESS_KEY, SECRET_KEY, region="any")
    assert refusal(lying.draft("GET", "/")).code is Code.AuthorizationHeaderMalformed


def test_empty_header_is_not_anonymous():
    error = refusal(Draft("GET", "/?response-expires=x", [("Host", HOST), ("Authorization", "")]))
    assert error.code is Code.AccessDenied


@pytest.mark.parametrize("other", ["garbage", "Bearer x", ""])
@pytest.mark.parametrize("presigned", [True, False])
def test_two_authorization_headers_of_any_kind(other, presigned):
    client = Client(lambda *_: [], ACCESS_KEY, SECRET_KEY)
    draft = client.draft("GET", client.presign("GET", "/") if presigned else "/")
    for at in (0, len(draft.headers)):
        twice = Draft("GET", draft.target, list(draft.headers))
        twice.headers.insert(at, ("Authorization", other))
        assert refusal(twice).code is Code.InvalidArgument


@pytest.mark.parametrize("names", ["host;x-amz-meta-absent", "x-amz-date;host"])
def test_signature_that_leaves_the_headers_out(names):
    when = stamp()
    scope = f"{when[:8]}/us-east-1/s3/aws4_request"
    canonical = signing.canonical_request("GET", "/", "", "", names, EMPTY)
    key = signing.signing_key(SECRET_KEY.encode(), when[:8], "us-east-1")
    signature = signing.signature(key, signing.string_to_sign(when, scope, canonical))
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope},SignedHeaders={names},Signature={signature}"
    )
    lines = [
        ("Host", HOST),
        ("x-amz-date", when),
        ("x-amz-content-sha256", EMPTY),
        ("Authorization", authorization),
    ]
    assert refusal(Draft("GET", "/", lines)).code is Code.SignatureDoesNotMatch


def test_nobody_signed():
    assert authenticate(Draft("GET", "/?versionId=x", [("Host", HOST)])) is ANONYMOUS


def test_server_without_raw_headers():
    client = Client(lambda *_: [], ACCESS_KEY, SECRET_KEY)
    headers = {"x-amz-meta-my_key": "1", "x-amz-meta-a-b": "2"}
    draft = client.draft("PUT", "/b/k", headers)
    assert authenticate(draft, raw_headers=False).access_key == ACCESS_KEY
    environ = Client(lambda *_: [], ACCESS_KEY, SECRET_KEY, raw_headers=False).environ(draft)
    request = S3Request(environ, Service())
    request.parse()
    Authenticator(KNOWN, "us-east-1")(request)
    assert request.headers.get("x-amz-meta-my_key") == "1"
    assert "x-amz-meta-my-key" not in request.headers
    ambiguous = client.draft("PUT", "/b/k", {"x-amz-meta-a_b": "1", "x-amz-meta-a-b": "2"})
    assert refusal(ambiguous, raw_headers=False).code is Code.InvalidRequest
    twice = client.draft("GET", "/")
    twice.headers.append(("Authorization", twice.header("Authorization")))
    assert refusal(twice, raw_headers=False).code is Code.InvalidArgument
    unspelled = client.draft("PUT", "/b/k")
    unspelled.headers.append(("x-amz-meta-a_b", "1"))
    assert refusal(unspelled, raw_headers=False).code is Code.AccessDenied


def test_body_is_held_against_its_hash():
    client = Client(lambda *_: [], ACCESS_KEY, SECRET_KEY)
    draft = client.draft("PUT", "/b/k", body=b"right")
    for body, right in ((b"right", True), (b"wrong", False)):
        draft.body = body
        request = S3Request(client.environ(draft), Service())
        request.parse()
        Authenticator(KNOWN, "us-east-1")(request)
        if right:
            assert request.body.read_all(100) == body
            continue
        with pytest.raises(S3Error) as refused:
            request.body.read_all(100)
        assert refused.value.code is Code.XAmzContentSHA256Mismatch


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_hash_of_a_body_that_is_not_there(method):
    client = Client(lambda *_: [], ACCESS_KEY, SECRET_KEY)
    for content, right in ((b"", True), (b"x", False)):
        draft = client.draft(method, "/b/k", payload=hashlib.sha256(content).hexdigest())
        request = S3Request(client.environ(draft), Service())
        request.parse()
        Authenticator(KNOWN, "us-east-1")(request)
        if right:
            request.body.verify_unused(waits=False)
            continue
        with pytest.raises(S3Error) as refused:
            request.body.verify_unused(waits=False)
        assert refused.value.code is Code.XAmzContentSHA256Mismatch


def test_date_header_instead_of_x_amz_date():
    client = Client(lambda *_: [], ACCESS_KEY, SECRET_KEY)
    draft = client.draft("GET", "/", {"Date": "Fri, 24 May 2013 00:00:00 GMT"}, date=EXAMPLE_TIME)
    assert authenticate(draft, now=EXAMPLE_TIME).access_key == ACCESS_KEY
    basic = client.draft("GET", "/", {"Date": stamp(EXAMPLE_TIME)}, date=EXAMPLE_TIME)
    assert authenticate(basic, now=EXAMPLE_TIME).access_key == ACCESS_KEY


def test_wsgi_input_is_not_touched():
    draft = Client(lambda *_: [], ACCESS_KEY, SECRET_KEY).draft("PUT", "/b/k", body=b"x")
    draft.extra["wsgi.input"] = source = io.BytesIO(b"x")
    authenticate(draft)
    assert source.tell() == 0
