"""The doctor, on requests that were changed between the client and the service."""

import io
import logging
import re
from urllib.parse import unquote

import pytest

from s3shim import doctor, logs
from tests.wire.conftest import MAIN, OTHER

KEY = {MAIN[0]: MAIN[1].encode()}
META = {"x-amz-meta-a": "1"}


def host(new):
    return lambda draft: draft.set("Host", new)


def target(change):
    def mutate(draft):
        draft.target = change(draft.target)

    return mutate


def header(name, new):
    return lambda draft: draft.set(name, new)


def decoded(path):
    return unquote(path, "latin-1")


def both(*mutations):
    def mutate(draft):
        for one in mutations:
            one(draft)

    return mutate


# The cause, the target that the client signs, headers that it signs, and what becomes of the request.
CHANGES = {
    "host rewritten": ("host-rewritten", "/b/k", {}, host("127.0.0.1:9000")),
    "port dropped": ("host-port-dropped", "/b/k", {}, host("s3.example")),
    "port changed": ("host-port-changed", "/b/k", {}, host("s3.example:8000")),
    "slashes merged": ("path-slashes-merged", "/b/a//b", {}, target(lambda t: t.replace("//", "/"))),
    "three slashes merged": ("path-slashes-merged", "/b/a///b", {}, target(lambda t: "/b/a/b")),
    "slash at the end merged": ("path-slashes-merged", "/b/a//", {}, target(lambda t: "/b/a/")),
    "dot removed": ("path-dots-removed", "/b/a/./b", {}, target(lambda t: "/b/a/b")),
    "slash decoded": ("path-decoded", "/b/a%2Fb", {}, target(decoded)),
    "two slashes decoded": ("path-decoded", "/b/a%2Fb%2Fc/d", {}, target(decoded)),
    "percent decoded": ("path-decoded", "/b/a%2520b", {}, target(lambda t: t.replace("%25", "%"))),
    "plus as blank": ("path-plus", "/b/a%2Bb", {}, target(lambda t: t.replace("%2B", "%20"))),
    "bare plus as blank": ("path-plus", "/b/a+b", {}, target(lambda t: t.replace("+", "%20"))),
    "encoded twice": ("path-encoded-twice", "/b/a%20b", {}, target(lambda t: t.replace("%", "%25"))),
    "slash at the end": ("path-slash-at-end", "/b/k/", {}, target(lambda t: t.rstrip("/"))),
    "prefix added": ("path-prefix-added", "/b/k", {}, target(lambda t: f"/up{t}")),
    "parameter removed": ("query-removed", "/b/k?x-id=GetObject", {}, target(lambda t: "/b/k")),
    "parameter added": ("query-added", "/b/k?versionId=null", {}, target(lambda t: f"{t}&utm=1")),
    "blank as plus": ("query-plus", "/b?prefix=a%20b", {}, target(lambda t: t.replace("%20", "+"))),
    "query encoded twice": ("query-encoding", "/b?prefix=a%20b", {}, target(lambda t: t.replace("%", "%25"))),
    "accept-encoding changed": (
        "header-changed", "/b/k", {"Accept-Encoding": "identity"}, header("Accept-Encoding", "gzip, br"),
    ),
    "accept-encoding removed": (
        "header-removed", "/b/k", {"Accept-Encoding": "gzip"}, header("Accept-Encoding", None),
    ),
    "content type with a charset": (
        "header-changed", "/b/k", {"Content-Type": "text/plain"}, header("Content-Type", "text/plain; a=b"),
    ),
    "method changed": ("method", "/b/k", {}, lambda draft: setattr(draft, "method", "GET")),
    "host and path": ("host-rewritten", "/b/a%2Fb", {}, both(host("localhost:9000"), target(decoded))),
}  # fmt: skip
METHODS = {"method changed": "HEAD"}


@pytest.fixture
def log_lines():
    """The log at level debug, in both formats."""
    streams = {style: io.StringIO() for style in ("logfmt", "json")}
    logger = logging.getLogger("s3shim")
    before = logger.handlers, logger.level, logger.propagate
    handlers = []
    for style, stream in streams.items():
        logs.setup(style, "debug", stream)
        handlers += logger.handlers
    logger.handlers = handlers
    yield streams
    logger.handlers, logger.level, logger.propagate = before[0], before[1], before[2]


def refused(client, name):
    """Send the request as it was changed; return the answer, the draft as signed and the one that arrived."""
    _, path, headers, mutate = CHANGES[name]
    method = METHODS.get(name, "GET")
    draft = client.draft(
        method, path, headers, signed=lambda names: sorted({*names, *map(str.lower, headers)})
    )
    sent = client.draft(method, path, headers)
    sent.headers, sent.target, sent.method = list(draft.headers), draft.target, draft.method
    mutate(sent)
    answer = client.send(sent)
    assert answer.code == "SignatureDoesNotMatch"
    return answer, draft, sent


def raw(draft):
    head = f"{draft.method} {draft.target} HTTP/1.1\r\n"
    return head + "".join(f"{name}: {value}\r\n" for name, value in draft.headers) + "\r\n"


def signed_text(client, draft):
    """Return what botocore's log would have of it."""
    names = re.search("SignedHeaders=([^,]+)", draft.header("Authorization"))[1].split(";")
    payload = draft.header("x-amz-content-sha256")
    canonical = client.signer.canonical_request(draft, payload, names).decode("latin-1")
    return f"DEBUG - CanonicalRequest:\n{canonical}\nDEBUG - StringToSign:\n..."


def causes(text, secrets=KEY, client_text=None, hosts=(), prefixes=()):
    evidence = doctor.read(text)
    if client_text is not None:
        evidence = doctor.read(client_text, evidence)
    evidence.hosts += hosts
    verdict = doctor.diagnose(evidence, secrets, prefixes)
    assert bool(verdict.findings) != bool(verdict.missing)
    return [finding.cause for finding in verdict.findings]


@pytest.mark.parametrize("name", CHANGES)
def test_every_form_of_evidence_leads_to_the_cause(client, log_lines, name):
    answer, draft, sent = refused(client, name)
    wanted = [CHANGES[name][0], *(["path-decoded"] if name == "host and path" else [])]
    body = answer.body.decode("latin-1")
    hosts = [client.host]
    assert causes(body, {}, signed_text(client, draft)) == wanted
    assert causes(body, {}, raw(draft)) == wanted
    assert causes(body, hosts=hosts) == wanted
    assert causes(raw(sent), hosts=hosts) == wanted
    for stream in log_lines.values():
        line = next(line for line in stream.getvalue().splitlines() if "canonical_request" in line)
        assert causes(line, hosts=hosts) == wanted
        assert causes(line, {}, signed_text(client, draft)) == wanted
    # One side alone tells nothing but that something is not there.
    assert causes(body, {}) == causes(raw(sent), {}) == (wanted if wanted == ["header-removed"] else [])


@pytest.mark.parametrize("name", ["host rewritten", "slash decoded"])
def test_a_wrong_key_finds_nothing(client, name):
    answer, _, _ = refused(client, name)
    assert causes(answer.body.decode("latin-1"), {MAIN[0]: b"another-secret"}, hosts=[client.host]) == []


def test_any_port_is_found(signed, app):
    client = signed(app, host="127.0.0.1:34567")
    draft = client.draft("GET", "/b/k")
    draft.set("Host", "127.0.0.1")
    assert causes(client.send(draft).body.decode()) == ["host-port-dropped"]


@pytest.mark.parametrize("path", ["/b/k", "/", "/b/a%2Fb?list-type=2"])
def test_a_prefix_that_was_taken_away(client, path):
    draft = client.draft("GET", f"/store{path}")
    draft.target = path
    body = client.send(draft).body.decode()
    verdict = doctor.diagnose(doctor.read(body), KEY, ["/store"])
    assert [finding.cause for finding in verdict.findings] == ["path-prefix-removed"]
    assert "--external-url" in verdict.findings[0].sentence
    assert "'/store'" in verdict.findings[0].sentence


def test_a_header_that_the_proxy_has_added_names_the_host(client, signed, app):
    outer = signed(app, host="files.example.org")
    draft = outer.draft("GET", "/b/k")
    draft.set("Host", "up")
    draft.headers.append(("X-Forwarded-Host", "files.example.org"))
    assert causes(raw(draft)) == ["host-rewritten"]


def test_blanks_in_a_header(client):
    """A client that signs blanks as they are."""
    draft = client.draft("GET", "/b/k", META)
    draft.set("x-amz-meta-a", "a   b")
    names = re.search("SignedHeaders=([^,]+)", draft.header("Authorization"))[1].split(";")
    payload = draft.header("x-amz-content-sha256")
    canonical = client.signer.canonical_request(draft, payload, names).decode().replace("a b", "a   b")
    answer = client.send(draft)
    assert causes(answer.body.decode(), {}, canonical) == ["header-blanks"]


@pytest.mark.parametrize("secret", [MAIN[1] + "\n", MAIN[1] + " ", f'"{MAIN[1]}"', OTHER[1]])
def test_another_secret(client, secret):
    wrong = client.as_user(MAIN[0], secret)
    draft = wrong.draft("GET", "/b/k")
    body = wrong.send(draft).body.decode()
    known = {**KEY, OTHER[0]: OTHER[1].encode()}
    assert causes(body, known) == ["secret"]
    assert causes(body, {}, signed_text(client, draft)) == ["secret"]
    assert causes(body, KEY, signed_text(client, draft)) == ["secret"]
    assert secret not in str(doctor.diagnose(doctor.read(body), known))


def test_a_secret_that_the_server_does_not_have_yet(client):
    renewed = client.as_user(MAIN[0], "renewed-secret-renewed")
    body = renewed.request("GET", "/b/k").body.decode()
    assert causes(body, {MAIN[0]: b"renewed-secret-renewed"}) == ["secret-of-server"]
    assert causes(body) == []


def test_a_request_that_is_right_as_it_stands(client):
    draft = client.draft("GET", "/b/k")
    verdict = doctor.diagnose(doctor.read(raw(draft)), KEY)
    assert verdict.findings == []
    assert "right for the request as it stands" in verdict.missing


def test_both_sides_must_be_of_the_same_request(client):
    answer, _, _ = refused(client, "slash decoded")
    other = signed_text(client, client.draft("GET", "/b/other", date="20200101T000000Z"))
    assert causes(answer.body.decode(), {}, other) == ["date"]


def test_presigned_urls(client):
    url = client.presign("GET", "/b/a%2Fb").replace("%2F", "/", 1)
    answer = client.request("GET", url, sign=False)
    assert answer.code == "SignatureDoesNotMatch"
    assert causes(answer.body.decode()) == ["path-decoded"]
    assert causes(f"GET {url} HTTP/1.1\r\nHost: {client.host}\r\n\r\n") == ["path-decoded"]


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"date": 0.0}, "clock"),
        ({"date_header": None}, "date-missing"),
        ({"payload": None}, "header-removed"),
        ({"signed": lambda names: [name for name in names if name != "x-amz-meta-a"]}, "header-added"),
    ],
)
def test_answers_that_say_it_themselves(client, options, cause):
    assert causes(client.request("GET", "/b/k", META, **options).body.decode(), {}) == [cause]


def test_more_answers_that_say_it_themselves(client, signed, app):
    def told(answer):
        return doctor.diagnose(doctor.read(answer.body.decode()), {}).findings[0]

    region = told(signed(app, region="eu-west-1").request("GET", "/b/k"))
    assert (region.cause, "us-east-1" in region.sentence) == ("region", True)
    unknown = told(client.as_user("NOBODY", MAIN[1]).request("GET", "/b/k"))
    assert (unknown.cause, "NOBODY" in unknown.sentence) == ("access-key", True)
    old = client.request("GET", client.presign("GET", "/b/k", date=1.0), sign=False)
    assert told(old).cause == "expired"
    later = client.request("GET", client.presign("GET", "/b/k", date=4e9), sign=False)
    assert told(later).cause == "clock"
    second = client.request("GET", "/b/k", {"Authorization": "AWS AKID:c2ln"}, sign=False)
    assert told(second).cause == "version-2"
    token = client.request("GET", "/b/k", {"x-amz-security-token": "x"})
    assert told(token).cause == "token"


def test_a_trace_of_curl_has_both_sides(client):
    answer, draft, _ = refused(client, "slashes merged")
    sent = "".join(f"> {line}\n" for line in raw(draft).split("\r\n")[:-1])
    trace = f"*   Trying 127.0.0.1:9000...\n{sent}* Request completely sent off\n< HTTP/1.1 403 Forbidden\n"
    trace += "< Date: Sat, 28 Nov 2026 18:00:00 GMT\n< \n{ [900 bytes data]\n" + answer.body.decode()
    assert causes(trace, {}) == ["path-slashes-merged"]


def test_a_log_of_botocore_has_both_sides(client):
    answer, draft, _ = refused(client, "accept-encoding changed")
    log = f"2026 - MainThread - botocore.auth - {signed_text(client, draft)}\n"
    log += f"2026 - botocore.parsers - DEBUG - Response body:\n{answer.body!r}\n"
    assert causes(log, {}) == ["header-changed"]


def prepared(draft, host):
    """Return the line in which botocore says what it sends."""
    headers = {name: value.encode() for name, value in draft.headers if name != "Host"}
    return (
        "2026 - MainThread - botocore.endpoint - DEBUG - Sending http request: <AWSPreparedRequest "
        f"stream_output=False, method={draft.method}, url=http://{host}{draft.target}, headers={headers}>\n"
    )


@pytest.mark.parametrize("name", ["slashes merged", "host rewritten", "accept-encoding removed"])
def test_what_the_aws_command_says(client, name):
    answer, draft, _ = refused(client, name)
    log = f"{prepared(draft, client.host)}botocore.parsers - DEBUG - Response body:\n{answer.body!r}\n"
    assert causes(log, {}) == [CHANGES[name][0]]
    # Without the answer there is nothing to compare with.
    assert causes(prepared(draft, client.host)) == []


def test_another_secret_by_what_the_aws_command_says(client):
    wrong = client.as_user(MAIN[0], "another-secret")
    draft = wrong.draft("GET", "/b/k")
    log = prepared(draft, client.host) + repr(wrong.send(draft).body)
    assert causes(log, {}) == causes(log) == ["secret"]
    assert causes(prepared(draft, client.host)) == []


def test_an_absent_header_is_a_cause_whatever_its_value_was(client):
    draft = client.draft("PUT", "/b/k", {"x-amz-meta-a_b": "1"}, body=b"1")
    draft.set("x-amz-meta-a_b", None)
    body = client.send(draft).body.decode()
    assert causes(body) == causes(body, {}) == ["header-removed"]


def test_the_log_has_no_signature_and_no_secret_value(client, log_lines):
    secret = {"x-amz-server-side-encryption-customer-key": "c2VjcmV0LWtleQ=="}
    draft = client.draft("GET", "/b/k", secret)
    dump = signed_text(client, draft)
    draft.set("Host", "up")
    assert client.send(draft).code == "SignatureDoesNotMatch"
    signature = draft.header("Authorization").rpartition("Signature=")[2]
    for stream in log_lines.values():
        text = stream.getvalue()
        assert "customer-key:(hidden)" in text
        for kept in (signature, "c2VjcmV0LWtleQ", MAIN[1]):
            assert kept not in text
        line = next(line for line in text.splitlines() if "canonical_request" in line)
        assert "hides" in doctor.diagnose(doctor.read(line), KEY).missing
        assert causes(line, {}, dump) == ["host-rewritten"]


def test_the_doctor_repeats_no_secret_value(client):
    secret = {"x-amz-server-side-encryption-customer-key": "c2VjcmV0LWtleQ=="}
    for new in ("b3RoZXIta2V5", None):
        draft = client.draft("GET", "/b/k", secret)
        dump = signed_text(client, draft)
        draft.set("x-amz-server-side-encryption-customer-key", new)
        evidence = doctor.read(dump, doctor.read(client.send(draft).body.decode()))
        [finding] = doctor.diagnose(evidence, {}).findings
        assert finding.cause == ("header-changed" if new else "header-removed")
        assert "c2VjcmV0" not in finding.sentence
        assert "b3RoZXI" not in finding.sentence


def test_the_log_has_nothing_of_it_at_other_levels(client, log_lines):
    logging.getLogger("s3shim").setLevel("INFO")
    refused(client, "host rewritten")
    assert "canonical_request" not in log_lines["json"].getvalue()


def test_an_absent_header_is_told_as_empty(client):
    answer, _, _ = refused(client, "accept-encoding removed")
    assert "\naccept-encoding:\nhost:" in answer.detail("CanonicalRequest")


@pytest.mark.parametrize(
    "text",
    ["", "hello", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "<Error><Code>", "<Error><a></Error>",
     "<!DOCTYPE a><Error/>", "msg=x signature_sha256=00", 'signature_sha256="a', "{\"signature_sha256\": 1"],
)  # fmt: skip
def test_what_cannot_be_read_is_said(text):
    with pytest.raises(doctor.Unreadable):
        doctor.read(text)


@pytest.mark.parametrize("authorization", ["AWS4-HMAC-SHA256 nonsense", "Bearer x", "AWS a:b"])
def test_a_signature_that_cannot_be_read_is_said(authorization):
    with pytest.raises(doctor.Unreadable, match="signature"):
        doctor.read(f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n\r\n")
