"""The fence, by raw signed requests on both storages: refused, and nothing in the store has changed."""

import random
import string
from hashlib import sha256
from io import BytesIO
from urllib.parse import quote

import pytest

from s3shim.backends.local import LocalBackend
from s3shim.backends.memory import MemoryBackend
from s3shim.config import load as load_config
from s3shim.routes.model import WRITING, load
from s3shim.routes.table import TABLE
from s3shim.wsgi import create_app
from tests.model_requests import target_of
from tests.wire.client import Client
from tests.wire.conftest import MAIN, OTHER
from tests.wire.fenced import OPERATIONS, STATUS, Fenced

MODEL = load()
SERVED = {row.name for row in TABLE}
WRITES = [row.name for row in TABLE if row.method in WRITING]
READS = [row.name for row in TABLE if row.method not in WRITING]
HONOURS = {row.name: row.honours for row in TABLE}

MEMBERS = [member for operation in OPERATIONS.values() for member in operation.members.values()]
HEADER_VALUES = {member.wire: member.values for member in MEMBERS if member.place == "header"}
HEADERS = {"x-amz-meta-a"} | HEADER_VALUES.keys()
FENCED = sorted(name for name in HEADERS if name.startswith(("x-amz-", "if-")))

ACL = "AccessControlListNotSupported"
ACL_HEADERS = {"x-amz-acl"} | {
    f"x-amz-grant-{what}" for what in ("full-control", "read", "read-acp", "write", "write-acp")
}
BAD_VALUES = {
    "x-amz-storage-class": "InvalidStorageClass",
    "x-amz-object-ownership": "InvalidArgument",
    "x-amz-bucket-object-lock-enabled": "InvalidArgument",
    "x-amz-request-payer": "InvalidArgument",
}
HARMLESS = {
    "x-amz-acl": ["private", "bucket-owner-full-control"],
    "x-amz-storage-class": ["STANDARD"],
    "x-amz-object-ownership": ["BucketOwnerEnforced"],
    "x-amz-bucket-object-lock-enabled": ["false"],
    "x-amz-request-payer": ["requester"],
    "x-amz-checksum-mode": ["ENABLED"],
    "x-amz-optional-object-attributes": ["RestoreStatus"],
}


@pytest.fixture(scope="module", params=["memory", "local"])
def service(request, credentials_file, tmp_path_factory):
    """A service on each storage; made once, for nothing may change in it."""
    path = tmp_path_factory.mktemp("fenced")
    backend = MemoryBackend() if request.param == "memory" else LocalBackend(path / "store", inline_max=1000)
    config = load_config(["--data", str(path), "--credentials", str(credentials_file)], {})
    app = create_app(config, backend)
    yield Fenced(backend, Client(app, *MAIN))
    backend.close()


@pytest.fixture
def fenced(service):
    """The service; what one test finds is not blamed on the next."""
    service.hold()
    return service


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
    ):
        assert client.request(method, target, headers, body).status in (200, 204)
        assert fenced.digest() not in seen
        seen.add(fenced.digest())


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


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - SERVED))
def test_operations_that_are_not_served(fenced, name):
    answer = fenced.refuses(name, "NotImplemented")
    assert "is not implemented" in answer.detail("Message")


@pytest.mark.parametrize("name", WRITES)
def test_headers_of_the_model(fenced, name):
    limited = ACL_HEADERS | BAD_VALUES.keys()
    for header in FENCED:
        if header in honoured(name) - limited or header in MODEL.transport_headers:
            continue
        own = header in own_headers(name)
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
    target = {"CreateBucket": "/full-bucket", "DeleteBucket": "/empty-bucket"}.get(name)
    for parameter in sorted(MODEL.query_names - honoured(name) - {operation.selector}):
        code = "NotImplemented"
        if parameter in MODEL.selectors:
            if operation.selector:
                code = "InvalidArgument"
            elif (operation.scope, operation.method, parameter) in served:
                continue
        query = [(parameter, "1")]
        answer = fenced.refuses(name, code, query=query, target=target and f"{target}?{parameter}=1")
        if code == "NotImplemented":
            assert answer.detail("ParameterName") == parameter


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
        fenced.refuses(name, code, query=[(header, "not-a-value")], presigned=True)
    fenced.refuses(name, "NotImplemented", [("x-amz-tagging", "a=b")], presigned=True)
    fenced.refuses(name, "NotImplemented", query=[("x-id", "CopyObject")], presigned=True)


@pytest.mark.parametrize("name", WRITES)
def test_headers_that_no_model_knows(fenced, name):
    for header in ("If-Modified-Since", "If-Range", "if_match", "x_amz_acl", "x-amz_meta-a", "Content-Range"):
        answer = fenced.refuses(name, "NotImplemented", [(header, "bytes 0-1/2")])
        assert answer.detail("Header") == header.lower()


@pytest.mark.parametrize("header", ["if_match", "x_amz_storage_class", "x-amz_acl", "x-amz_meta-a"])
def test_a_server_that_cannot_tell_the_spellings(fenced, header):
    client = Client(fenced.client.app, *MAIN, raw_headers=False)
    answer = client.request("PUT", "/full-bucket/small", {header: "STANDARD"}, b"changed")
    assert answer.status in (400, 501)
    assert fenced.digest() == fenced.before


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
    target = target_of(operation, [("unheard-of", "1")], "full-bucket", "small")
    assert fenced.client.request(operation.method, target, {"x-amz-unheard-of": "1"}).status == 200


@pytest.mark.parametrize("name", WRITES)
def test_bad_queries(fenced, name):
    row = OPERATIONS[name]
    place = ("full-bucket", "small")
    for query in ([("a", "1"), ("a", "2")], [("policy", ""), ("tagging", "")], [("acl", "1"), ("acl", "")]):
        fenced.refuses(name, "InvalidArgument", target=target_of(row, query, *place))


@pytest.mark.parametrize("method", ["PATCH", "POST", "LOCK"])
def test_methods(fenced, method):
    answer = fenced.client.request(method, "/full-bucket/small", body=b"changed")
    assert (answer.status, answer.code) == (405, "MethodNotAllowed")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, PUT, OPTIONS"
    assert fenced.digest() == fenced.before


class Untouched(BytesIO):
    """A body that must not be read."""

    def read(self, *_size):
        raise AssertionError("the body was read")

    readline = readinto = read


@pytest.mark.parametrize(
    ("target", "headers", "code"),
    [
        ("/full-bucket/small?unheard-of", {}, "NotImplemented"),
        ("/full-bucket/small?annotation&annotationName=a", {}, "NotImplemented"),
        ("/full-bucket/small?encryption", {}, "NotImplemented"),
        ("/full-bucket/small", {"x-amz-write-offset-bytes": "5"}, "NotImplemented"),
        ("/full-bucket/small", {"x-amz-object-lock-legal-hold": "ON"}, "NotImplemented"),
        ("/full-bucket/small", {"x-amz-acl": "public-read"}, ACL),
        ("/full-bucket/small?acl&policy", {}, "InvalidArgument"),
        ("/new-bucket?unheard-of", {}, "NotImplemented"),
    ],
)
def test_a_refused_body_is_not_read(fenced, target, headers, code):
    headers = {**headers, "Content-Length": "7", "Expect": "100-continue"}
    answer = fenced.client.request(
        "PUT", target, headers, Untouched(), payload=sha256(b"changed").hexdigest()
    )
    assert (answer.status, answer.code) == (STATUS.get(code, 400), code)
    assert fenced.digest() == fenced.before


def test_another_accounts_bucket_tells_nothing(fenced):
    stranger = fenced.client.as_user(*OTHER)
    for method, target in (
        ("PUT", "/full-bucket/small?unheard-of"),
        ("PUT", "/full-bucket?unheard-of"),
        ("PUT", "/full-bucket?policy"),
        ("POST", "/full-bucket/small"),
        ("DELETE", "/full-bucket?unheard-of"),
        ("GET", "/full-bucket?policy"),
        ("GET", "/full-bucket?acl&policy"),
    ):
        answer = stranger.request(method, target)
        assert (answer.status, answer.code) == (403, "AccessDenied"), target
    assert fenced.client.request("PUT", "/full-bucket/small?unheard-of", sign=False).code == "AccessDenied"
    assert fenced.digest() == fenced.before


@pytest.mark.parametrize("row", [row for row in TABLE if row.scope != "service"], ids=lambda row: row.name)
def test_another_expected_owner(fenced, row):
    fenced.refuses(row.name, "AccessDenied", [("x-amz-expected-bucket-owner", "other")])


def test_what_changes_nothing_passes(client):
    harmless = {header: values[-1] for header, values in HARMLESS.items()} | {
        "x-amz-expected-bucket-owner": "main"
    }
    query = "?x-id="
    assert client.request("PUT", f"/some-bucket{query}CreateBucket", harmless).status == 200
    assert client.request("PUT", f"/some-bucket/key{query}PutObject", harmless, b"body").status == 200
    assert client.request("PUT", f"/some-bucket/key?acl&{query[1:]}PutObjectAcl", harmless).status == 200
    assert client.request("PUT", f"/some-bucket?acl&{query[1:]}PutBucketAcl", harmless).status == 200
    assert client.request("GET", f"/some-bucket/key{query}GetObject", harmless).body == b"body"
    assert client.request("DELETE", f"/some-bucket/key{query}DeleteObject", harmless).status == 204
    assert client.request("DELETE", f"/some-bucket{query}DeleteBucket", harmless).status == 204


def test_presigned_items_count_as_headers(client, bucket):
    items = {
        "x-amz-meta-colour": "blue",
        "x-amz-storage-class": "STANDARD",
        "x-amz-acl": "private",
        "x-id": "PutObject",
    }
    query = "&".join(f"{name}={quote(value)}" for name, value in items.items())
    target = client.presign("PUT", f"/{bucket}/key?{query}")
    assert client.request("PUT", target, body=b"body", sign=False).status == 200
    assert client.request("HEAD", f"/{bucket}/key").headers["x-amz-meta-colour"] == "blue"
