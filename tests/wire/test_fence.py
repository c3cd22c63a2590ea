"""The fence, by raw signed requests on both storages: refused, and nothing in the store has changed."""

import random
import string
from urllib.parse import quote

import pytest

from s3shim.routes.configuration_rows import CONFIGURATION_ROWS
from s3shim.routes.model import WRITING, load
from s3shim.routes.table import TABLE
from tests.wire.fenced import ACL, OPERATIONS, WRITES, Fenced

MODEL = load()
SERVED = {row.name for row in TABLE}
READS = [row.name for row in TABLE if row.method not in WRITING]
UNSET_CODES = {
    "InvalidRequest",
    "NoSuchBucketPolicy",
    "NoSuchCORSConfiguration",
    "NoSuchLifecycleConfiguration",
    "NoSuchPublicAccessBlockConfiguration",
    "NoSuchTagSet",
    "NoSuchWebsiteConfiguration",
    "ObjectLockConfigurationNotFoundError",
    "ReplicationConfigurationNotFoundError",
    "ServerSideEncryptionConfigurationNotFoundError",
}
UNSET = {row.name for row in CONFIGURATION_ROWS}
# A form is signed in its fields: test_form_refusals.py has its turn.
SIGNED_BY_HEADER = [row for row in TABLE if row.name != "PostObject"]
# Older forms of what is served, chosen by the same parameter.
FORMER = {"GetBucketLifecycle", "GetBucketNotification"}
HONOURS = {row.name: row.honours for row in TABLE}

MEMBERS = [member for operation in OPERATIONS.values() for member in operation.members.values()]
HEADER_VALUES = {member.wire: member.values for member in MEMBERS if member.place == "header"}
HEADERS = {"x-amz-meta-a"} | HEADER_VALUES.keys()
FENCED = sorted(name for name in HEADERS if name.startswith(("x-amz-", "if-")))

ACL_HEADERS = {"x-amz-acl"} | {
    f"x-amz-grant-{what}" for what in ("full-control", "read", "read-acp", "write", "write-acp")
}
BAD_VALUES = {
    "x-amz-storage-class": "InvalidStorageClass",
    "x-amz-object-ownership": "InvalidArgument",
    "x-amz-bucket-object-lock-enabled": "InvalidArgument",
    "x-amz-request-payer": "InvalidArgument",
}
# Operations that a header or a parameter turns into another one, and what that one answers: it lacks the rest
# of what it needs, and has a body that is not its own.
CHOSEN_BY_HEADER = {("PutObject", "x-amz-copy-source"), ("UploadPart", "x-amz-copy-source")}
CHOSEN_BY_PARAMETER = {
    ("CreateBucket", "acl"): "MissingSecurityHeader",
    ("CreateBucket", "cors"): "MalformedXML",
    ("DeleteBucket", "cors"): "",  # done: there are none to remove
    ("PostObject", "delete"): "InvalidRequest",
    ("PutObject", "acl"): "MalformedXML",
    ("PutObject", "tagging"): "MalformedXML",
    ("PutObject", "uploadId"): "InvalidArgument",
    ("PutObject", "renameObject"): "InvalidArgument",
    ("CopyObject", "renameObject"): "NotImplemented",
    ("CopyObject", "acl"): "NotImplemented",
    ("CopyObject", "tagging"): "NotImplemented",
    ("CopyObject", "uploadId"): "InvalidArgument",
    ("DeleteObject", "tagging"): "NoSuchKey",
    ("DeleteObject", "uploadId"): "NoSuchUpload",
}
BAD_HONOURED = {"x-amz-sdk-checksum-algorithm": "InvalidRequest"}
HARMLESS = {
    "x-amz-acl": ["private", "bucket-owner-full-control"],
    "x-amz-storage-class": ["STANDARD"],
    "x-amz-object-ownership": ["BucketOwnerEnforced"],
    "x-amz-bucket-object-lock-enabled": ["false"],
    "x-amz-request-payer": ["requester"],
    "x-amz-checksum-mode": ["ENABLED"],
    "x-amz-optional-object-attributes": ["RestoreStatus"],
}


def test_the_digest_sees_every_change(app, client):
    fenced = Fenced(app.backend, client)
    seen = {fenced.before}
    for method, target, headers, body in (
        ("PUT", "/full-bucket/small", {}, b"small"),
        ("PUT", "/full-bucket/small", {"x-amz-meta-key": "other"}, b"small"),
        ("PUT", "/full-bucket/small", {"x-amz-meta-key": "other"}, b"smalL"),
        ("PUT", "/full-bucket/more", {}, b""),
        ("DELETE", "/full-bucket/nothing", {}, b""),
        ("DELETE", "/empty-bucket", {}, b""),
        ("PUT", "/new-bucket", {}, b""),
        fenced.request_for("PutObjectTagging"),
        ("DELETE", "/full-bucket/large?tagging", {}, b""),
        ("POST", "/new-bucket/key?uploads", {"x-amz-meta-key": "a"}, b""),
        fenced.request_for("UploadPart"),
        ("PUT", f"/full-bucket/small?partNumber=2&uploadId={fenced.upload_id}", {}, b""),
        fenced.request_for("AbortMultipartUpload"),
    ):
        assert client.request(method, target, headers, body).status in (200, 204)
        assert fenced.digest() not in seen
        seen.add(fenced.digest())


@pytest.mark.parametrize("presigned", [False, True])
@pytest.mark.parametrize("row", SIGNED_BY_HEADER, ids=lambda row: row.name)
def test_what_changes_nothing_passes(app, client, row, presigned):
    """The requests below are refused for what is added to them: without it, each is carried out."""
    fenced = Fenced(app.backend, client)
    harmless = [(header, values[-1]) for header, values in HARMLESS.items()]
    harmless += [("x-amz-expected-bucket-owner", "main")] if row.scope != "service" else []
    if row.name.endswith("Acl"):
        harmless.remove(("x-amz-acl", "bucket-owner-full-control"))
    method, target, headers, body = fenced.request_for(row.name, [("x-id", row.name)])
    if presigned:
        items = harmless + [line for line in headers if line[0].startswith("x-amz-")]
        headers = [line for line in headers if not line[0].startswith("x-amz-")]
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in items)
        target = client.presign(method, f"{target}&{query}", headers)
        answer = client.request(method, target, headers, body, sign=False)
    else:
        answer = client.request(method, target, headers + harmless, body)
    check_done(answer, row.name)
    changes = row.method in WRITING and not row.name.endswith("Acl")
    assert (fenced.digest() != fenced.before) is changes


def check_done(answer, name):
    """Demand that the request was carried out. What nobody has set is looked for then, and not found."""
    if name not in UNSET or answer.status < 300:
        assert answer.status in (200, 204), answer.body
    else:
        assert answer.status in (400, 404)
        assert answer.code in UNSET_CODES


def own_headers(name):
    return {member.wire for member in OPERATIONS[name].members.values() if member.place == "header"}


def honoured(name):
    members = OPERATIONS[name].members.values()
    found = {member.wire for member in members if member.name in HONOURS[name] and member.place != "headers"}
    return found | ({"x-amz-meta-a"} if "Metadata" in HONOURS[name] else set())


def test_what_the_fence_leaves_alone():
    """Every other header of the model describes a body or a range and asks for nothing."""
    assert HEADERS - set(FENCED) == {
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-md5",
        "content-type",
        "expires",
        "range",
    }


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - SERVED - FORMER))
def test_operations_that_are_not_served(fenced, name):
    answer = fenced.refuses(name, "NotImplemented")
    assert "is not implemented" in answer.detail("Message")


@pytest.mark.parametrize("name", WRITES)
def test_headers_of_the_model(fenced, name):
    limited = ACL_HEADERS | BAD_VALUES.keys()
    for header in FENCED:
        if header in MODEL.transport_headers:
            continue
        own = header in own_headers(name)
        if (name, header) in CHOSEN_BY_HEADER:
            answer = fenced.refuses(name, "InvalidArgument", [(header, "not-a-value")])
            assert answer.detail("ArgumentName") == header
            continue
        if header in honoured(name) - limited:
            if own and HEADER_VALUES[header]:
                code = BAD_HONOURED.get(header, "InvalidArgument")
                answer = fenced.refuses(name, code, [(header, "not-a-value")])
                assert answer.detail("ArgumentName") == header
            continue
        unknown = "NotImplemented"
        if own:
            unknown = ACL if header in ACL_HEADERS else BAD_VALUES.get(header, unknown)
        answer = fenced.refuses(name, unknown, [(header, "not-a-value")])
        named = "Header" if unknown == "NotImplemented" else "ArgumentName"
        assert answer.detail(named) == header
        known = ACL if own and header in ACL_HEADERS else "NotImplemented"
        for value in set(HEADER_VALUES.get(header, ())) - set(HARMLESS.get(header, ())):
            fenced.refuses(name, known, [(header, value)])
    if name == "CreateBucket":
        fenced.refuses(name, "NotImplemented", [("x-amz-bucket-object-lock-enabled", "true")])


@pytest.mark.parametrize("name", WRITES)
def test_parameters_of_the_model(fenced, name):
    operation = OPERATIONS[name]
    served = {(row.scope, row.method, row.selector) for row in TABLE}
    bucket = {"CreateBucket": "/full-bucket", "DeleteBucket": "/empty-bucket", "PostObject": "/full-bucket"}
    target = bucket.get(name)
    chosen = set()
    for parameter in sorted(MODEL.query_names - honoured(name) - {operation.selector}):
        code = "NotImplemented"
        if parameter in MODEL.selectors:
            if operation.selector:
                code = "InvalidArgument"
            elif (operation.scope, operation.method, parameter) in served:
                chosen.add((name, parameter))
                place = "/full-bucket/none" if name == "DeleteObject" else target or "/full-bucket/small"
                other = CHOSEN_BY_PARAMETER[name, parameter]
                if other:
                    fenced.refuses(name, other, target=f"{place}?{parameter}=1")
                else:
                    done = fenced.client.request(operation.method, f"{place}?{parameter}=1")
                    assert (done.status, fenced.digest()) == (204, fenced.before)
                continue
        query = [(parameter, "1")]
        answer = fenced.refuses(name, code, query=query, target=target and f"{target}?{parameter}=1")
        if code == "NotImplemented":
            assert answer.detail("ParameterName") == parameter
    assert chosen == {pair for pair in CHOSEN_BY_PARAMETER if pair[0] == name}


def invented(count):
    """Return names that nobody uses: random ones, and known ones with something wrong."""
    generator = random.Random(2026)
    known = sorted(MODEL.query_names) + [
        name.removeprefix("x-amz-") for name in FENCED if name.startswith("x-amz-")
    ]
    taken = (
        {name.lower() for name in MODEL.query_names}
        | HEADERS
        | {f"x-amz-{name}" for name in known}
        | {"x-id"}
    )
    names = set()
    while len(names) < count:
        letters = "".join(
            generator.choices(string.ascii_letters + string.digits + "-", k=generator.randint(1, 20))
        )
        name = generator.choice(
            [letters, generator.choice(known) + letters, letters + generator.choice(known)]
        )
        if name.lower().startswith("meta-"):
            continue  # metadata of the user's own
        if name.lower() not in taken and f"x-amz-{name.lower()}" not in taken | MODEL.transport_headers:
            names.add(name)
    return sorted(names, key=str.lower)


def test_a_thousand_inventions(fenced):
    generator = random.Random(7)
    for name in invented(1000):
        operation = generator.choice(WRITES)
        kind = generator.choice(
            ["selector", "parameter", "header", "presigned header", "presigned parameter"]
        )
        query, headers = [], []
        if kind == "selector":
            query = [(name, "")]
        elif kind.endswith("parameter"):
            query = [(name, "value")]
        elif kind == "header":
            headers = [(f"x-amz-{name}", "value")]
        else:
            query = [(f"x-amz-{name}", "value")]
        answer = fenced.refuses(
            operation, "NotImplemented", headers, query, presigned=kind.startswith("presigned")
        )
        detail, expected = "ParameterName", name
        if kind.endswith("header"):
            detail, expected = "Header", f"x-amz-{name}".lower()
        assert answer.detail(detail) == expected


@pytest.mark.parametrize("name", WRITES)
def test_presigned(fenced, name):
    limited = ACL_HEADERS | BAD_VALUES.keys()
    for header in FENCED:
        if not header.startswith("x-amz-") or header in honoured(name) - limited:
            continue
        if header in MODEL.transport_headers:
            continue
        own = header in own_headers(name)
        code = "NotImplemented"
        if own:
            code = ACL if header in ACL_HEADERS else BAD_VALUES.get(header, code)
        if (name, header) in CHOSEN_BY_HEADER:
            code = "InvalidArgument"
        fenced.refuses(name, code, query=[(header, "not-a-value")], presigned=True)
    for header in {"x-amz-tagging", "x-amz-website-redirect-location"} - honoured(name):
        fenced.refuses(name, "NotImplemented", [(header, "a=b")], presigned=True)
    for wrong in {"CopyObject", "PutObject"} - {name}:
        fenced.refuses(name, "NotImplemented", query=[("x-id", wrong)], presigned=True)


@pytest.mark.parametrize("name", READS)
def test_reads(fenced, name):
    operation = OPERATIONS[name]
    for parameter in sorted(MODEL.query_names - honoured(name) - {operation.selector}):
        code = "NotImplemented"
        if parameter in MODEL.selectors:
            if operation.selector:
                code = "InvalidArgument"
            elif (operation.scope, operation.method, parameter) in {
                (r.scope, r.method, r.selector) for r in TABLE
            }:
                continue
        fenced.refuses(name, code, query=[(parameter, "1")])
    for header in FENCED:
        if "server-side-encryption-customer-" in header:
            fenced.refuses(name, "NotImplemented", [(header, "1")])
    method, target, headers, _ = fenced.request_for(name, [("unheard-of", "1")])
    check_done(fenced.client.request(method, target, [*headers, ("x-amz-unheard-of", "1")]), name)
