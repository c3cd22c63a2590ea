"""What botocore signs verifies, however the target is spelled; with one byte changed it does not."""

import string
from urllib.parse import quote, unquote_to_bytes

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from s3shim.auth import credentials, sigv4
from s3shim.auth.authenticate import Authenticator
from s3shim.errors import S3Error
from s3shim.model import ANONYMOUS
from s3shim.wire.request import S3Request, Service
from tests.wire.client import Client
from tests.wire.signing import Draft, Signer

ACCESS_KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET_KEY = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
HOST = "s3.example:9000"
CLIENT = Client(lambda *_: [], ACCESS_KEY, SECRET_KEY, host=HOST)
AUTHENTICATE = Authenticator(credentials.fixed(ACCESS_KEY, SECRET_KEY), "us-east-1")

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)
# The names that speak of a signature themselves have their own tests.
PARAMETER = TEXT.filter(lambda name: not name.lower().startswith("x-amz-") and name != "AWSAccessKeyId")
VISIBLE = string.ascii_letters + string.digits + string.punctuation + "éß€"
VALUE = st.lists(st.text(VISIBLE, min_size=1, max_size=6), max_size=3).flatmap(
    lambda words: st.sampled_from([" ", "  ", "\t", " \t "]).map(lambda blank: blank.join(words))
)
NAME = st.text(string.ascii_lowercase + string.digits + "-_", min_size=1, max_size=8)
META = NAME.map("x-amz-meta-{}".format)
SPELLINGS = st.sampled_from(["canonical", "lower", "encoded", "bare"])
# What a client may leave bare in a target and S3 encodes in the canonical form.
BARE = "!$'()*,:@;"


def authenticate(draft):
    """Return the identity behind ``draft``."""
    request = S3Request(CLIENT.environ(draft), Service())
    request.parse()
    return AUTHENTICATE(request)


@st.composite
def requests(draw):
    """Draw (method, path segments, query pairs, headers, body)."""
    method = draw(st.sampled_from(["GET", "PUT", "HEAD", "DELETE", "POST"]))
    segments = draw(st.lists(TEXT | st.sampled_from(["", ".", "..", "a/b", "%2F"]), min_size=1, max_size=4))
    assume(segments[0])
    query = draw(st.lists(st.tuples(PARAMETER, TEXT | st.just("")), max_size=4))
    headers = draw(st.dictionaries(META, VALUE, max_size=4))
    return method, segments, query, headers, draw(st.binary(max_size=20))


def spell(text, spelling):
    """Return ``text`` percent-encoded in one of the ways that mean the same."""
    canonical = quote(text, safe="")
    if spelling == "lower":
        return "".join(part.lower() if part[0] == "%" else part for part in _units(canonical))
    if spelling == "encoded":
        return "".join(f"%{byte:02X}" for byte in text.encode())
    if spelling == "bare":
        return quote(text, safe=BARE)
    return canonical


def _units(encoded):
    at = 0
    while at < len(encoded):
        size = 3 if encoded[at] == "%" else 1
        yield encoded[at : at + size]
        at += size


def signed_by_botocore(drawn, spelling, reverse, *, url=False):
    """Return the request with botocore's signature, the target spelled in another way that means the same."""
    method, segments, query, headers, body = drawn
    if url:
        # botocore moves a body into the query that it presigns, and keeps one item of each name.
        query, body = list(dict(query).items()), b""
    path = "/" + "/".join(quote(segment, safe="") for segment in segments)
    pairs = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    boto = AWSRequest(method, f"http://{HOST}{path}{'?' + pairs if pairs else ''}", dict(headers), body)
    signer = (S3SigV4QueryAuth if url else S3SigV4Auth)(
        BotoCredentials(ACCESS_KEY, SECRET_KEY), "s3", "us-east-1"
    )
    signer.add_auth(boto)
    ordered = query[::-1] if reverse else query
    sent = [f"{spell(name, spelling)}={spell(value, spelling)}" for name, value in ordered]
    if url:
        sent += [item for item in boto.url.partition("?")[2].split("&") if item.startswith("X-Amz-")]
    target = "/" + "/".join(spell(segment, spelling) for segment in segments)
    lines = [("Host", HOST), ("Content-Length", str(len(body)))]
    lines += [(name, value.encode().decode("latin-1")) for name, value in boto.headers.items()]
    return Draft(method, f"{target}{'?' + '&'.join(sent) if sent else ''}", lines, body)


@settings(deadline=None)
@given(requests(), SPELLINGS, st.booleans())
def test_botocore_header_verifies(drawn, spelling, reverse):
    draft = signed_by_botocore(drawn, spelling, reverse)
    assert authenticate(draft).access_key == ACCESS_KEY
    claim = sigv4.parse_authorization(draft.header("Authorization"))
    names = claim.signed_headers.split(";")
    payload, when = draft.header("x-amz-content-sha256"), draft.header("x-amz-date")
    assert Signer(ACCESS_KEY, SECRET_KEY).signature(draft, when, payload, names) == claim.signature


@settings(deadline=None)
@given(requests(), SPELLINGS, st.booleans())
def test_botocore_presigned_url_verifies(drawn, spelling, reverse):
    draft = signed_by_botocore(drawn, spelling, reverse, url=True)
    assert authenticate(draft).access_key == ACCESS_KEY


def _meaning(draft):
    """Return what a signature covers, so that two spellings of one request are equal."""
    path, _, query = draft.target.partition("?")
    items = [item.partition("=")[::2] for item in query.split("&") if item]
    decoded = sorted((unquote_to_bytes(name), unquote_to_bytes(value)) for name, value in items)
    headers = sorted((name.lower(), value.replace("\t", " ").split()) for name, value in draft.headers)
    authorization = [value for name, value in draft.headers if name == "Authorization"]
    try:
        claims = [sigv4.parse_authorization(value) for value in authorization]
    except S3Error:
        claims = [None]
    headers = [line for line in headers if line[0] != "authorization"]
    return draft.method, [unquote_to_bytes(part) for part in path.split("/")], decoded, headers, claims


@settings(max_examples=500, deadline=None)
@given(requests(), st.booleans(), st.data())
def test_a_changed_byte_does_not_verify(drawn, url, data):
    draft = signed_by_botocore(drawn, "canonical", reverse=False, url=url)
    before = _meaning(draft)
    covered = [at for at, (name, _) in enumerate(draft.headers) if name != "Content-Length"]
    part = data.draw(st.sampled_from(["method", "target", *covered]))
    whole = ":".join(draft.headers[part]) if isinstance(part, int) else getattr(draft, part)
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = chr(ord(whole[at]) ^ data.draw(st.integers(1, 255)))
    changed = whole[:at] + flipped + whole[at + 1 :]
    if isinstance(part, int):
        name, colon, value = changed.partition(":")
        assume(colon and name.isascii() and name.isprintable())
        draft.headers[part] = (name, value)
    else:
        setattr(draft, part, changed)
    assume(_meaning(draft) != before)
    try:
        identity = authenticate(draft)
    except S3Error:
        return
    assert identity is ANONYMOUS, draft
