"""What a signature covers: body hash, headers, target and method. A change to any of them has no effect."""

import hashlib

import pytest

from tests.wire.refusal import VICTIM, Probe

OTHER_HASH = hashlib.sha256(b"other bytes").hexdigest()


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


def test_payload_hash_missing(probe):
    probe.refused(probe.put(payload=None), 400, "InvalidRequest")


@pytest.mark.parametrize("value", ["invalid_sha256", "", "unsigned-payload", "ab" * 31, "ab" * 33, "zz" * 32])
def test_payload_hash_malformed(probe, value):
    probe.refused(probe.put(payload=value), 400, "InvalidArgument")


@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_payload_hash_of_other_bytes(probe, method):
    body = b"evil" if method == "PUT" else b""
    draft = probe.client.draft(method, VICTIM, body=body, payload=OTHER_HASH)
    answer = probe.refused(draft, 400, "XAmzContentSHA256Mismatch")
    assert answer.detail("ClientComputedContentSHA256") == OTHER_HASH
    assert answer.detail("S3ComputedContentSHA256") == hashlib.sha256(body).hexdigest()


BODILESS = [
    ("POST", "/a-bucket/new?uploads", []),
    ("PUT", "/a-bucket/victim", [("x-amz-copy-source", "/a-bucket/a/b")]),
    ("PUT", "/a-bucket/new?renameObject", [("x-amz-rename-source", "/a-bucket/victim")]),
    ("DELETE", "/a-bucket/victim", []),
    ("GET", "/a-bucket/victim", []),
]


@pytest.mark.parametrize(("method", "target", "headers"), BODILESS)
@pytest.mark.parametrize("body", [b"", b"evil"])
def test_payload_hash_of_a_body_that_nothing_needs(probe, method, target, headers, body):
    draft = probe.client.draft(method, target, headers, body, payload=OTHER_HASH)
    answer = probe.refused(draft, 400, "XAmzContentSHA256Mismatch")
    assert answer.detail("ClientComputedContentSHA256") == OTHER_HASH
    assert answer.detail("S3ComputedContentSHA256") == hashlib.sha256(body).hexdigest()
    assert b"<Upload>" not in probe.client.request("GET", "/a-bucket?uploads").body


@pytest.mark.parametrize(("method", "target", "headers"), BODILESS)
def test_payload_hash_of_no_body_and_no_length(probe, method, target, headers):
    draft = probe.client.draft(method, target, [*headers, ("Content-Length", None)], payload=OTHER_HASH)
    probe.refused(draft, 400, "XAmzContentSHA256Mismatch")


def test_payload_hash_of_a_part_that_is_copied(probe):
    begun = probe.client.request("POST", "/a-bucket/new?uploads")
    target = f"/a-bucket/new?partNumber=1&uploadId={begun.xml().findtext('{*}UploadId')}"
    headers = [("x-amz-copy-source", "/a-bucket/a/b")]
    probe.refused(
        probe.client.draft("PUT", target, headers, payload=OTHER_HASH), 400, "XAmzContentSHA256Mismatch"
    )
    probe.accepted(probe.client.draft("PUT", target, headers))


def test_a_body_that_nothing_needs(probe):
    """It is verified as any other, and changes nothing; it need not be read without end."""
    target = "/a-bucket/victim"
    assert probe.accepted(probe.client.draft("GET", target, body=b"evil")).body == b"precious"
    long = bytes(64 * 1024 + 1)
    probe.refused(probe.client.draft("DELETE", target, body=long), 400, "MaxMessageLengthExceeded")


@pytest.mark.parametrize("value", ["UNSIGNED-PAYLOAD", OTHER_HASH, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"])
def test_payload_hash_swapped(probe, value):
    draft = probe.put()
    draft.set("x-amz-content-sha256", value)
    probe.refused(draft, 403, "SignatureDoesNotMatch")


def test_host_is_not_signed(probe):
    draft = probe.put(signed=lambda names: [name for name in names if name != "host"])
    answer = probe.refused(draft, 403, "AccessDenied")
    assert answer.detail("HeadersNotSigned") == "host"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-copy-source", "/a-bucket/a/b"),
        ("x-amz-tagging", "a=b"),
        ("x-amz-acl", "public-read"),
        ("x-amz-meta-a", "1"),
        ("X-Amz-Meta-A", "1"),
        ("x-amz-storage-class", "GLACIER"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-bypass-governance-retention", "true"),
    ],
)
def test_header_is_not_signed(probe, name, value):
    draft = probe.put()
    draft.headers.append((name, value))
    answer = probe.refused(draft, 403, "AccessDenied")
    assert answer.detail("HeadersNotSigned") == name.lower()
    assert "not signed" in answer.detail("Message")


@pytest.mark.parametrize("name", ["x-amz-user-agent", "x-amz-cf-id", "amz-sdk-request", "x-amzn-trace-id"])
def test_header_that_need_not_be_signed(probe, name):
    draft = probe.put()
    draft.headers.append((name, "anything"))
    probe.accepted(draft)


def test_date_and_payload_hash_need_not_be_named(probe):
    # Both are in what is signed, whether SignedHeaders names them or not.
    probe.accepted(probe.put(signed=lambda _names: ["host"]))


@pytest.mark.parametrize("absent", ["x-amz-meta-absent", "content-md5", "zzz"])
def test_signed_header_is_absent(probe, absent):
    draft = probe.put(signed=lambda names: sorted([*names, absent]))
    probe.refused(draft, 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    "change",
    [
        lambda names: names[::-1],
        lambda names: [name.upper() for name in names],
        lambda names: [names[0].title(), *names[1:]],
        lambda names: [names[0], *names],
        lambda names: [*names, ""],
        lambda names: ["", *names],
        lambda names: sorted([*names, *(f"z{number:03d}" for number in range(500))]),
    ],
    ids=["unsorted", "upper case", "title case", "twice", "empty at the end", "empty at first", "500 more"],
)
@pytest.mark.parametrize("consistent", [True, False])
def test_list_of_signed_headers(probe, change, consistent):
    """The list is not canonical, whether the client signed it so or it was changed on the way."""
    if consistent:
        draft = probe.put(signed=change)
    else:
        draft = probe.put()
        names = parts_of(draft)[1].removeprefix("SignedHeaders=")
        other = ";".join(change(names.split(";")))
        draft = edited(probe, f"SignedHeaders={names},", f"SignedHeaders={other},")
    probe.refused(draft, 403, "SignatureDoesNotMatch")


def test_signed_header_sent_twice(probe):
    twice = [("x-amz-meta-a", "1"), ("x-amz-meta-a", " 2 ")]
    probe.refused(_then_appended(probe, twice[:1], twice[1]), 403, "SignatureDoesNotMatch")
    draft = probe.put(headers=twice)
    at = [number for number, line in enumerate(draft.headers) if line[0] == "x-amz-meta-a"]
    draft.headers[at[0]], draft.headers[at[1]] = draft.headers[at[1]], draft.headers[at[0]]
    probe.refused(draft, 403, "SignatureDoesNotMatch")
    probe.accepted(probe.put(headers=twice))
    answer = probe.accepted(probe.client.draft("HEAD", VICTIM))
    assert answer.headers["x-amz-meta-a"] == "1,2"


def _then_appended(probe, headers, line):
    draft = probe.put(headers=headers)
    draft.headers.append(line)
    return draft


@pytest.mark.parametrize(
    ("signed_as", "sent_as"),
    [("a b", "a  b"), ("a  b", "a b"), ("a b c", "  a \t b  c  "), ("a\tb", "a b"), ("", "   ")],
)
def test_blanks_in_a_signed_header(probe, signed_as, sent_as):
    draft = probe.put(headers={"x-amz-meta-a": signed_as})
    draft.set("x-amz-meta-a", sent_as)
    probe.accepted(draft)


@pytest.mark.parametrize("value", ["a\r\n b", "a\n b", "a\r\n\tb"])
def test_folded_header(probe, value):
    probe.refused(probe.put(headers={"x-amz-meta-a": value}), 400, "InvalidArgument")


@pytest.mark.parametrize("host", ["other.example:9000", "s3.example", "S3.example:9000"])
def test_host_changed(probe, host):
    draft = probe.put()
    draft.set("Host", host)
    probe.refused(draft, 403, "SignatureDoesNotMatch")


def test_absolute_target(probe):
    draft = probe.put()
    draft.target = f"http://other.example:9000{VICTIM}"
    probe.refused(draft, 403, "SignatureDoesNotMatch")
    draft.target = f"http://s3.example:9000{VICTIM}"
    probe.accepted(draft)


@pytest.mark.parametrize(
    "target",
    [
        "/a-bucket/victim?versionId=null&versionId=null",
        "/a-bucket/victim?versionId=a&versionId=b",
        "/a-bucket?acl&acl=1",
        "/a-bucket?list-type=2&prefix=a&prefix=b",
        "/a-bucket?list-type=2&%70refix=a&prefix=b",
    ],
)
def test_repeated_parameter(probe, target):
    probe.refused(probe.get(target), 400, "InvalidArgument")


@pytest.mark.parametrize(
    ("signed_as", "sent_as"),
    [
        ("/a-bucket?list-type=2&prefix=a", "/a-bucket?prefix=a&list-type=2"),
        ("/a-bucket?list-type=2&prefix=a%2Fb", "/a-bucket?list-type=2&prefix=a%2fb"),
        ("/a-bucket?list-type=2&prefix=a%2Fb", "/a-bucket?list-type=2&prefix=a/b"),
        ("/a-bucket?list-type=2&prefix=a%2Bb", "/a-bucket?list-type=2&prefix=a+b"),
        ("/a-bucket?list-type=2&prefix=ab", "/a-bucket?list-type=2&pre%66ix=%61b"),
        ("/a-bucket?list-type=2&prefix=", "/a-bucket?list-type=2&prefix"),
        ("/a-bucket?list-type=2&prefix=%20~", "/a-bucket?list-type=2&prefix=%20%7E"),
        (VICTIM, "/a-bucket/%76ictim"),
    ],
)
def test_equal_targets(probe, signed_as, sent_as):
    draft = probe.get(signed_as)
    draft.target = sent_as
    probe.accepted(draft)


@pytest.mark.parametrize(
    ("signed_as", "sent_as"),
    [
        ("/a-bucket?list-type=2&prefix=a%20b", "/a-bucket?list-type=2&prefix=a+b"),
        ("/a-bucket?list-type=2", "/a-bucket?list-type=2&prefix=a"),
        ("/a-bucket?list-type=2&prefix=a", "/a-bucket?list-type=2"),
        ("/a-bucket?list-type=2&prefix=a", "/a-bucket?list-type=2&prefix=A"),
        ("/a-bucket/a%2Fb", "/a-bucket/a/b"),
        ("/a-bucket/a/b", "/a-bucket/a%2Fb"),
        ("/a-bucket/a%252Fb", "/a-bucket/a%2Fb"),
        ("/a-bucket/a%252Fb", "/a-bucket/a%252fb"),
        ("/a-bucket/a/b", "/a-bucket/a//b"),
        ("/a-bucket/a/b", "/a-bucket/a/./b"),
        ("/a-bucket/victim", "/a-bucket/x/../victim"),
        ("/a-bucket/victim", "/a-bucket/victim/"),
        ("/a-bucket/", "/a-bucket"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_different_targets(probe, method, signed_as, sent_as):
    draft = probe.client.draft(method, signed_as)
    draft.target = sent_as
    probe.refused(draft, 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize(
    ("target", "key"),
    [
        ("/a-bucket/%252F", "%2F"),
        ("/a-bucket/a%2Fc", "a/c"),
        ("/a-bucket/./k", "./k"),
        ("/a-bucket/x/../k", "x/../k"),
        ("/a-bucket//k", "/k"),
        ("/a-bucket/x//k", "x//k"),
        ("/a-bucket/a;v=1", "a;v=1"),
        ("/a-bucket/a b", "a b"),
        ("/a-bucket/a+b", "a+b"),
        ("/a-bucket/" + "é".encode().decode("latin-1"), "é"),
    ],
)
def test_key_is_what_was_signed(probe, target, key):
    probe.accepted(probe.put(target=target))
    assert probe.accepted(probe.get(target)).body == b"evil"
    listing = probe.client.request("GET", "/a-bucket?list-type=2").xml()
    keys = {element.text for element in listing.iterfind("{*}Contents/{*}Key")}
    assert keys == {"victim", "a/b", "a%2Fb", key}


@pytest.mark.parametrize(
    "target",
    ["//a-bucket//victim", "//a-bucket/victim", f"{VICTIM}#fragment", f"{VICTIM}?acl#fragment", "a-bucket"],
)
def test_target_that_is_none(probe, target):
    probe.refused(probe.put(target=target), 400, "InvalidURI")


@pytest.mark.parametrize(
    ("signed_as", "sent_as"),
    [("GET", "PUT"), ("HEAD", "GET"), ("GET", "DELETE"), ("PUT", "DELETE"), ("GET", "HEAD")],
)
def test_method_changed(probe, signed_as, sent_as):
    draft = probe.client.draft(signed_as, VICTIM)
    draft.method = sent_as
    probe.refused(draft, 403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
def test_method_override_is_ignored(probe, name):
    answer = probe.accepted(probe.get(VICTIM, {name: "DELETE"}))
    assert answer.body == b"precious"
    assert probe.accepted(probe.get()).body == b"precious"
