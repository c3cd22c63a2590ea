"""From a request to its operation."""

import string
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3shim.backends.base import Capability
from s3shim.backends.memory import MemoryBackend
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo, Identity
from s3shim.routes import Operation, Router
from s3shim.routes.endpoints import ENDPOINTS
from s3shim.routes.model import load
from s3shim.routes.table import TABLE
from tests.model_requests import SAME_ROUTE, headers_of, make_request, target_of

ROUTER = Router(MemoryBackend.capabilities)
SERVED = {row.name for row in TABLE}
MODEL = load()


def resolve(method, target, headers=()):
    return ROUTER.resolve(make_request(method, target, headers))


def resolve_row(row, query=()):
    described = MODEL.operations[row.name]
    return resolve(row.method, target_of(described, query), headers_of(described))


def refusal(operation):
    """Return the error that an operation answers on an empty store."""
    backend = MemoryBackend()
    backend.start()
    with pytest.raises(S3Error) as caught:
        operation.handler(backend, make_request("GET", "/"))
    return caught.value


@pytest.mark.parametrize("name", MODEL.operations)
def test_every_operation_is_reached(name):
    described = MODEL.operations[name]
    operation = resolve(described.method, target_of(described), headers_of(described))
    assert operation.name == SAME_ROUTE.get(name, name)
    assert not operation.public
    if operation.name not in SERVED:
        error = refusal(operation)
        assert error.code is Code.NotImplemented
        assert operation.name in error.message


def test_every_row_is_the_operation_itself():
    for row in TABLE:
        assert resolve_row(row) is row


@pytest.mark.parametrize(
    ("target", "bucket", "key"),
    [
        ("/", "", ""),
        ("/?prefix=a", "", ""),
        ("/abc", "abc", ""),
        ("/abc/", "abc", ""),
        ("/abc//", "abc", "/"),
        ("/abc///", "abc", "//"),
        ("/abc/k", "abc", "k"),
        ("/abc/k/", "abc", "k/"),
        ("/abc//k", "abc", "/k"),
        ("/abc/a//b", "abc", "a//b"),
        ("/abc/a/../b/./c", "abc", "a/../b/./c"),
        ("/abc/%2F", "abc", "/"),
        ("/abc/%252F", "abc", "%2F"),
        ("/abc/a+b%20c", "abc", "a+b c"),
        ("/abc/%E2%82%AC%0A", "abc", "€\n"),
        ("/%61bc/k", "abc", "k"),
        ("/abc/" + "%61" * 1024, "abc", "a" * 1024),
        ("http://elsewhere/abc/k", "abc", "k"),
        ("/healthz/k", "healthz", "k"),
        ("/minio/health/live/", "minio", "health/live/"),
        ("/WriteGetObjectResponse", "", ""),
    ],
)
def test_targets(target, bucket, key):
    request = make_request("GET", target)
    operation = ROUTER.resolve(request)
    assert not operation.public
    assert (request.bucket, request.key) == (bucket, key)


@pytest.mark.parametrize(
    ("target", "code", "public"),
    [
        ("//abc/k", Code.InvalidURI, True),
        ("*", Code.InvalidURI, True),
        ("abc", Code.InvalidURI, True),
        ("/abc/k#fragment", Code.InvalidURI, True),
        ("/abc/k?a=%zz", Code.InvalidURI, True),
        ("/abc/%zz", Code.InvalidURI, True),
        ("/abc/%ff", Code.InvalidURI, True),
        ("/abc/%c0%af", Code.InvalidURI, True),
        ("/%zz", Code.InvalidURI, True),
        ("/ab", Code.InvalidBucketName, False),
        ("/a%2Fb/k", Code.InvalidBucketName, False),
        ("/ABC/k", Code.InvalidBucketName, False),
        ("/../k", Code.InvalidBucketName, False),
        ("/a-bucket/" + "a" * 1025, Code.KeyTooLongError, False),
        ("/a-bucket/a%00", Code.InvalidArgument, False),
        ("/a-bucket?acl&policy", Code.InvalidArgument, False),
        ("/a-bucket/k?uploads&uploadId=1", Code.InvalidArgument, False),
        ("/a-bucket?acl&acl=1", Code.InvalidArgument, False),
        ("/a-bucket?prefix=a&prefix=a", Code.InvalidArgument, False),
        ("/a-bucket?list-type=1", Code.InvalidArgument, False),
        ("/a-bucket?list-type=2&encoding-type=x", Code.InvalidArgument, False),
    ],
)
def test_bad_targets(target, code, public):
    operation = resolve("GET", target)
    assert refusal(operation).code is code
    assert operation.public is public


def test_without_host():
    environ = {"REQUEST_METHOD": "GET", "RAW_URI": "/", "wsgi.input": None, "s3shim.headers": []}
    request = make_request("GET", "/")
    operation = ROUTER.resolve(type(request)(environ, request.service))
    assert operation.public
    assert refusal(operation).code is Code.BadRequest


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_end_points(path, method):
    assert resolve(method, path) is ENDPOINTS[path]
    assert resolve(method, f"{path}?x=1") is ENDPOINTS[path]
    signed = [
        (path, [("Authorization", "")]),
        (f"{path}?X-Amz-Signature=1", []),
        (f"{path}?X-Amz-Algorithm=1", []),
        (f"{path}?X-Amz-Credential=1", []),
        (f"{path}?AWSAccessKeyId=1&Signature=1", []),
    ]
    for target, headers in signed:
        operation = resolve(method, target, headers)
        assert not operation.public
        assert operation.name in SERVED
    for other in (f"{path}/", f"{path[:-1]}%{ord(path[-1]):02x}", path.upper()):
        assert not resolve(method, other).public


def test_end_points_are_only_read():
    for method in ("PUT", "POST", "DELETE", "PATCH"):
        assert not resolve(method, "/healthz").public


def test_preflight():
    for target in ("/", "/a-bucket", "/a-bucket/key?acl"):
        operation = resolve("OPTIONS", target)
        assert (operation.name, operation.public) == ("Preflight", True)


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("PATCH", "/a-bucket/key", "DELETE, GET, HEAD, PUT, OPTIONS"),
        ("PATCH", "/a-bucket/key?acl", "DELETE, GET, HEAD, PUT, OPTIONS"),
        ("POST", "/a-bucket/key", "DELETE, GET, HEAD, PUT, OPTIONS"),
        ("get", "/a-bucket/key", "DELETE, GET, HEAD, PUT, OPTIONS"),
        ("PATCH", "/a-bucket", "DELETE, GET, HEAD, POST, PUT, OPTIONS"),
        ("TRACE", "/a-bucket", "DELETE, GET, HEAD, POST, PUT, OPTIONS"),
        ("POST", "/", "GET, OPTIONS"),
        ("PUT", "/", "GET, OPTIONS"),
        ("HEAD", "/", "GET, OPTIONS"),
        ("GET", "/WriteGetObjectResponse", "POST, OPTIONS"),
    ],
)
def test_method_not_allowed(method, target, allow):
    operation = resolve(method, target)
    error = refusal(operation)
    assert (operation.name, error.code, error.headers) == ("Unknown", Code.MethodNotAllowed, {"Allow": allow})


@pytest.mark.parametrize("value", ["", "=", "=1", "=false"])
def test_a_selector_of_any_value_selects(value):
    assert resolve("GET", f"/a-bucket?acl{value}").name == "GetBucketAcl"
    assert resolve("PUT", f"/a-bucket/key?acl{value}").name == "PutObjectAcl"
    assert resolve("GET", f"/a-bucket/key?uploadId{value}").name == "ListParts"
    assert resolve("PUT", f"/a-bucket/key?uploadId{value}").name == "UploadPart"


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("HEAD", "/a-bucket?acl"),
        ("HEAD", "/a-bucket/key?tagging"),
        ("GET", "/a-bucket/key?policy"),
        ("GET", "/?versions"),
        ("PUT", "/a-bucket/key?policy"),
        ("PUT", "/a-bucket?location"),
        ("PUT", "/a-bucket?versions"),
        ("DELETE", "/a-bucket/key?acl"),
        ("POST", "/a-bucket?acl"),
        ("PUT", "/?acl"),
    ],
)
def test_a_selector_of_another_operation(method, target):
    error = refusal(resolve(method, target))
    assert error.code is Code.NotImplemented
    assert error.details == {"ParameterName": target.partition("?")[2]}


def test_the_copy_source_chooses():
    copy = [("X-Amz-Copy-Source", "/a-bucket/key")]
    for target, name in (
        ("/a-bucket/new", "CopyObject"),
        ("/a-bucket/new?uploadId=1&partNumber=1", "UploadPartCopy"),
    ):
        row = next(row for row in TABLE if row.name == name)
        assert resolve("PUT", target, copy) is row
        assert resolve("PUT", target, [("x-amz-copy-source", "")]) is row
        mark = "&" if "?" in target else "?"
        presigned = f"{target}{mark}x-amz-copy-source=%2Fa%2Fb&X-Amz-Signature=0"
        assert resolve("PUT", presigned) is row
        assert resolve("PUT", presigned.replace("x-amz-copy", "X-Amz-Copy")) is row
        unsigned = presigned.replace("&X-Amz-Signature=0", "")
        assert refusal(resolve("PUT", unsigned)).details == {"ParameterName": "x-amz-copy-source"}


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/a-bucket/new?acl"),
        ("PUT", "/a-bucket/new?tagging"),
        ("POST", "/a-bucket/new?uploads"),
        ("POST", "/a-bucket/new?uploadId=1"),
        ("DELETE", "/a-bucket/new?uploadId=1"),
        ("DELETE", "/a-bucket/new"),
        ("POST", "/a-bucket?delete"),
        ("PUT", "/a-bucket"),
        ("PUT", "/a-bucket/"),
    ],
)
def test_a_copy_source_of_another_operation(method, target):
    error = refusal(resolve(method, target, [("x-amz-copy-source", "/a-bucket/key")]))
    assert (error.code, error.details) == (Code.NotImplemented, {"Header": "x-amz-copy-source"})


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_the_operation_id_must_be_right(row):
    assert resolve_row(row, [("x-id", row.name)]) is row
    for wrong in {"CopyObject", "PutObject", "", row.name.lower()} - {row.name}:
        error = refusal(resolve_row(row, [("x-id", wrong)]))
        assert (error.code, error.details) == (Code.NotImplemented, {"ParameterName": "x-id"})


def test_without_conditional_writes():
    router = Router(Capability.NONE)
    for name in ("If-Match", "If-None-Match"):
        operation = router.resolve(make_request("PUT", "/a-bucket/key", [(name, "*")]))
        assert refusal(operation).details == {"Header": name.lower()}
        assert router.resolve(make_request("GET", "/a-bucket/key", [(name, "*")])).name == "GetObject"
    assert router.resolve(make_request("PUT", "/a-bucket/key")).name == "PutObject"


def test_without_multipart():
    router = Router(MemoryBackend.capabilities & ~Capability.MULTIPART)
    needy = {row.name for row in TABLE if Capability.MULTIPART in row.needs}
    assert needy == {
        "CreateMultipartUpload",
        "UploadPart",
        "UploadPartCopy",
        "CompleteMultipartUpload",
        "AbortMultipartUpload",
        "ListParts",
        "ListMultipartUploads",
    }
    for row in TABLE:
        described = MODEL.operations[row.name]
        operation = router.resolve(make_request(row.method, target_of(described), headers_of(described)))
        if row.name in needy:
            assert operation.name == row.name
            assert refusal(operation).code is Code.NotImplemented
        else:
            assert operation is row


def test_a_row_needs_its_capability(monkeypatch):
    row = next(row for row in TABLE if row.name == "GetBucketVersioning")
    needy = Operation(
        row.name, row.scope, row.method, row.selector, row.handler, row.action, Capability.VERSIONING
    )
    monkeypatch.setattr("s3shim.routes.route.TABLE", (needy,))
    request = make_request("GET", "/a-bucket?versioning")
    assert Router(Capability.VERSIONING).resolve(request) is needy
    assert refusal(Router(Capability.MULTIPART).resolve(request)).code is Code.NotImplemented


def test_a_refused_create_tells_nothing_of_anothers_bucket():
    backend = MemoryBackend()
    backend.start()
    backend.create_bucket(BucketInfo("theirs", "them", 0))
    backend.create_bucket(BucketInfo("ours", "us", 0))
    for bucket, code in (
        ("theirs", Code.AccessDenied),
        ("ours", Code.NotImplemented),
        ("none", Code.NotImplemented),
    ):
        request = make_request("PUT", f"/{bucket}?unheard-of")
        request.identity = Identity("us")
        operation = ROUTER.resolve(request)
        assert operation.action == "s3:CreateBucket"
        with pytest.raises(S3Error) as caught:
            operation.handler(backend, request)
        assert caught.value.code is code


def test_a_refusal_can_be_answered_twice():
    operation = resolve("PUT", "/a-bucket/key?unheard-of")
    first, second = refusal(operation), refusal(operation)
    assert first is not second
    assert (first.message, first.details) == (second.message, second.details)


@given(st.lists(st.sampled_from(["/", "a", "%2F", "%25", ".", "-", "%0A"]), max_size=9).map("".join))
def test_the_first_slash_ends_the_bucket(raw):
    request = make_request("GET", f"/a-bucket/{raw}")
    assert ROUTER.resolve(request).name == ("GetObject" if raw else "ListObjects")
    assert (request.bucket, request.key) == ("a-bucket", unquote(raw))


NAMES = st.one_of(
    st.sampled_from(sorted(MODEL.query_names | MODEL.transport_query)),
    st.text("ab%2F&=?#+_-é\0\n", max_size=6),
)
ITEMS = st.lists(st.tuples(NAMES, st.text(string.printable + "é%", max_size=4)), max_size=4)
HEADER_NAMES = st.one_of(
    st.sampled_from(["x-amz-acl", "If-Match", "x-amz-meta-a", "Authorization", "host", "x_amz_acl"]),
    st.text(string.ascii_letters + "-_", max_size=12),
)


@given(
    method=st.one_of(
        st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"]), st.text(max_size=5)
    ),
    path=st.text(st.characters(max_codepoint=255), max_size=30).map(lambda text: f"/{text}")
    | st.text("/a-b", max_size=9),
    items=ITEMS,
    headers=st.lists(
        st.tuples(HEADER_NAMES, st.text(st.characters(max_codepoint=255), max_size=9)), max_size=4
    ),
)
def test_resolve_never_raises(method, path, items, headers):
    query = "&".join(f"{name}={value}" for name, value in items)
    operation = resolve(method, f"{path}?{query}", headers)
    assert isinstance(operation, Operation)
    assert operation.public or operation.action.startswith("s3:")
