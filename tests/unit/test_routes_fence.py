"""The fence: each member of each served operation is honoured, changes nothing, or is refused."""

import random

import pytest

from s3shim.backends.memory import MemoryBackend
from s3shim.errors import Code, S3Error
from s3shim.routes import Router
from s3shim.routes.model import WRITING, load
from s3shim.routes.table import TABLE
from tests.model_requests import headers_of, make_request, target_of

ROUTER = Router(MemoryBackend.capabilities)
MODEL = load()
WRITES = [row for row in TABLE if row.method in WRITING]
READS = [row for row in TABLE if row.method not in WRITING]
ACL_HEADERS = [
    "x-amz-acl",
    "x-amz-grant-full-control",
    "x-amz-grant-read",
    "x-amz-grant-read-acp",
    "x-amz-grant-write",
    "x-amz-grant-write-acp",
]

# Members that are not honoured by name and pass with values that change nothing.
HARMLESS = {
    "x-amz-acl": ["private", "bucket-owner-full-control"],
    "x-amz-storage-class": ["STANDARD"],
    "x-amz-object-ownership": ["BucketOwnerEnforced"],
    "x-amz-bucket-object-lock-enabled": ["false"],
    "x-amz-request-payer": ["requester"],
    "x-amz-checksum-mode": ["ENABLED"],
    "x-amz-optional-object-attributes": ["RestoreStatus"],
}

# Of members whose values the model does not list: one that means something.
VALUES = {"x-amz-bucket-object-lock-enabled": "true", "x-amz-sdk-checksum-algorithm": "XXHASH128"}


def ask(row, headers=(), query=()):
    described = MODEL.operations[row.name]
    lines = dict(headers_of(described)) | dict(headers)
    return ROUTER.resolve(make_request(row.method, target_of(described, query), lines.items()))


def names_honoured(row):
    members = MODEL.operations[row.name].members.values()
    return {m.wire for m in members if m.name in row.honours and m.place != "form"}


def refusal(operation):
    backend = MemoryBackend()
    backend.start()
    with pytest.raises(S3Error) as caught:
        operation.handler(backend, make_request("GET", "/"))
    return caught.value


def code_of(row, **carried):
    operation = ask(row, **carried)
    return None if operation is row else refusal(operation).code


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_member_is_honoured_or_refused(row):
    for member in MODEL.operations[row.name].members.values():
        if member.place in ("body", "form"):
            assert member.name in row.honours
            continue
        value = VALUES.get(member.wire) or (member.values[-1] if member.values else "1")
        item = (member.wire + ("a" if member.place == "headers" else ""), value)
        carried = {"query": [item]} if member.place == "query" else {"headers": [item]}
        code = code_of(row, **carried)
        if member.wire in ACL_HEADERS:
            expected = None if value in HARMLESS["x-amz-acl"] else Code.AccessControlListNotSupported
        elif value in HARMLESS.get(member.wire, []) or (
            member.name in row.honours and member.wire not in HARMLESS
        ):
            expected = None
        else:
            expected = Code.NotImplemented
        assert code is expected, member


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_no_row_claims_what_no_storage_does(row):
    """The other tests believe a row; encryption, locks and the like nothing carries out."""
    absent = ("SSE", "CopySourceSSE", "ServerSideEncryption", "BucketKey", "ObjectLock", "Website")
    absent += ("Grant", "MFA", "Bypass")
    claimed = {name for name in row.honours if name.startswith(absent)}
    assert claimed == ({"ObjectLockEnabledForBucket"} if row.name == "CreateBucket" else set())


@pytest.mark.parametrize("row", WRITES, ids=lambda row: row.name)
def test_harmless_values_pass_on_any_write(row):
    for header, values in HARMLESS.items():
        for value in values:
            assert code_of(row, headers=[(header, value)]) is None


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_transport_passes_anywhere(row):
    headers = [
        "x-amz-date",
        "x-amz-content-sha256",
        "x-amz-security-token",
        "x-amz-decoded-content-length",
        "x-amz-trailer",
        "x-amz-user-agent",
        "x-amz-te",
        "x-amz-cf-id",
        "x-amzn-trace-id",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
    ]
    query = ["Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"]
    query += ["Security-Token", "Content-Sha256"]
    carried = {
        "headers": [(name, "1") for name in headers],
        "query": [(f"X-Amz-{name}", "1") for name in query],
    }
    assert code_of(row, **carried) is None


@pytest.mark.parametrize("row", [row for row in TABLE if row.scope != "service"], ids=lambda row: row.name)
def test_the_expected_owner_is_for_every_bucket(row):
    assert code_of(row, headers=[("x-amz-expected-bucket-owner", "main")]) is None


@pytest.mark.parametrize("row", WRITES, ids=lambda row: row.name)
@pytest.mark.parametrize(
    "name",
    [
        "x-amz-unheard-of",
        "X-AMZ-UNHEARD-OF",
        "x-amz-",
        "x_amz_acl",
        "x-amz_acl",
        "x_amz-meta-a",
        "x-amz_meta-a",
        "x-amz-meta_a",
        "x-amz-source-expected-bucket-owner",
        "x-amz-checksum-sha512",
        "x-amz-checksum-unheard-of",
        "x-amz-write-offset-bytes",
        "x-amz-server-side-encryption",
        "If-Unmodified-Since",
        "If-Modified-Since",
        "If-Range",
        "If-Unheard-Of",
        "if_match",
        "Content-Range",
        "content_range",
    ],
)
def test_headers_that_a_write_does_not_know(row, name):
    operation = ask(row, headers=[(name, "private")])
    if name.lower() in names_honoured(row):
        assert operation is row
        return
    error = refusal(operation)
    assert (error.code, error.details) == (Code.NotImplemented, {"Header": name.lower()})
    assert name.lower() in error.message


@pytest.mark.parametrize("row", WRITES, ids=lambda row: row.name)
def test_parameters_that_a_write_does_not_know(row):
    unknown = {
        "unheard-of",
        "",
        "Acl2",
        "prefix",
        "partNumber",
        "PartNumber",
        "uploadid",
        "versionid",
        "x-amz-acl",
        "x-amz-meta-a",
        "x-amz-copy-source",
        "response-expires",
    }
    for name in sorted(unknown - names_honoured(row) | {"x-amz-copy-source"}):
        error = refusal(ask(row, query=[(name, "private")]))
        assert (error.code, error.details) == (Code.NotImplemented, {"ParameterName": name})


@pytest.mark.parametrize("row", WRITES, ids=lambda row: row.name)
def test_a_presigned_item_counts_as_header(row):
    signature = ("X-Amz-Signature", "0")
    for name in ("x-amz-acl", "X-Amz-Acl"):
        assert code_of(row, query=[signature, (name, "private")]) is None
    assert code_of(row, query=[signature, ("x-amz-acl", "public-read")]) is not None
    unknown = {"x-amz-tagging", "x-amz-website-redirect-location", "X-Amz-Unheard-Of"}
    for name in sorted(unknown - names_honoured(row)):
        error = refusal(ask(row, query=[signature, (name, "1")]))
        assert (error.code, error.details) == (Code.NotImplemented, {"Header": name.lower()})
    # The names of the signature are those in the specification's case.
    for name in ("x-amz-date", "if-match", "content-md5"):
        error = refusal(ask(row, query=[signature, (name, "1")]))
        assert (error.code, error.details) == (Code.NotImplemented, {"ParameterName": name})


@pytest.mark.parametrize(
    ("name", "header", "value", "code"),
    [
        ("PutObject", "x-amz-acl", "public-read", Code.AccessControlListNotSupported),
        ("PutObject", "x-amz-acl", "unheard-of", Code.AccessControlListNotSupported),
        ("PutObject", "x-amz-acl", "", Code.AccessControlListNotSupported),
        ("PutObject", "x-amz-grant-read", "id=main", Code.AccessControlListNotSupported),
        ("CreateBucket", "x-amz-acl", "public-read-write", Code.AccessControlListNotSupported),
        ("PutBucketAcl", "x-amz-grant-write", "", Code.AccessControlListNotSupported),
        ("PutObjectAcl", "x-amz-acl", "private,private", Code.AccessControlListNotSupported),
        ("DeleteObject", "x-amz-acl", "public-read", Code.NotImplemented),
        ("DeleteObject", "x-amz-grant-read", "id=main", Code.NotImplemented),
        ("PutObject", "x-amz-storage-class", "GLACIER", Code.NotImplemented),
        ("PutObject", "x-amz-storage-class", "standard", Code.InvalidStorageClass),
        ("PutObject", "x-amz-storage-class", "", Code.InvalidStorageClass),
        ("DeleteObject", "x-amz-storage-class", "unheard-of", Code.NotImplemented),
        ("CreateBucket", "x-amz-object-ownership", "ObjectWriter", Code.NotImplemented),
        ("CreateBucket", "x-amz-object-ownership", "unheard-of", Code.InvalidArgument),
        ("CreateBucket", "x-amz-bucket-object-lock-enabled", "true", Code.NotImplemented),
        ("CreateBucket", "x-amz-bucket-object-lock-enabled", "yes", Code.InvalidArgument),
        ("PutObject", "x-amz-request-payer", "me", Code.InvalidArgument),
        ("GetObject", "x-amz-request-payer", "me", Code.InvalidArgument),
        ("GetObject", "x-amz-checksum-mode", "enabled", Code.InvalidArgument),
        ("ListObjects", "x-amz-optional-object-attributes", "Owner", Code.InvalidArgument),
        ("GetObjectAttributes", "x-amz-object-attributes", "ETag, ObjectSize,Checksum", None),
        ("GetObjectAttributes", "x-amz-object-attributes", "ETag,Owner", Code.InvalidArgument),
        ("GetObjectAttributes", "x-amz-object-attributes", "etag", Code.InvalidArgument),
        ("PutObject", "x-amz-sdk-checksum-algorithm", "crc32", None),
        ("PutObject", "x-amz-sdk-checksum-algorithm", "SHA512", None),
        ("PutObject", "x-amz-sdk-checksum-algorithm", "Sha512", Code.InvalidRequest),
        ("PutObject", "x-amz-sdk-checksum-algorithm", "CRC", Code.InvalidRequest),
        ("DeleteObject", "x-amz-sdk-checksum-algorithm", "CRC32", Code.NotImplemented),
        ("CopyObject", "x-amz-metadata-directive", "REPLACE", None),
        ("CopyObject", "x-amz-metadata-directive", "replace", Code.InvalidArgument),
        ("CopyObject", "x-amz-metadata-directive", "", Code.InvalidArgument),
        ("CopyObject", "x-amz-tagging-directive", "COPY", None),
        ("CopyObject", "x-amz-tagging-directive", "COPY,COPY", Code.InvalidArgument),
        ("PutObject", "x-amz-metadata-directive", "COPY", Code.NotImplemented),
        ("UploadPartCopy", "x-amz-metadata-directive", "COPY", Code.NotImplemented),
        ("CopyObject", "x-amz-copy-source-range", "bytes=0-1", Code.NotImplemented),
        ("CopyObject", "x-amz-checksum-algorithm", "CRC32", Code.NotImplemented),
        ("CopyObject", "x-amz-storage-class", "GLACIER", Code.NotImplemented),
        ("CopyObject", "x-amz-acl", "public-read", Code.AccessControlListNotSupported),
        ("CreateMultipartUpload", "x-amz-acl", "public-read", Code.AccessControlListNotSupported),
        ("CreateMultipartUpload", "x-amz-checksum-algorithm", "CRC", Code.InvalidArgument),
        ("CreateMultipartUpload", "x-amz-checksum-type", "PARTIAL", Code.InvalidArgument),
        ("CreateMultipartUpload", "If-None-Match", "*", Code.NotImplemented),
        ("CompleteMultipartUpload", "If-None-Match", "*", None),
        ("CompleteMultipartUpload", "x-amz-checksum-type", "full_object", Code.InvalidArgument),
        ("CompleteMultipartUpload", "x-amz-checksum-sha512", "AA==", None),
        ("UploadPart", "If-None-Match", "*", Code.NotImplemented),
        ("UploadPart", "x-amz-tagging", "a=b", Code.NotImplemented),
        ("AbortMultipartUpload", "x-amz-if-match-initiated-time", "0", Code.NotImplemented),
        ("DeleteObjects", "x-amz-mfa", "0", Code.NotImplemented),
        ("DeleteObjects", "x-amz-bypass-governance-retention", "true", Code.NotImplemented),
        ("PutObjectTagging", "x-amz-tagging", "a=b", Code.NotImplemented),
    ],
)
def test_values(name, header, value, code):
    row = next(row for row in TABLE if row.name == name)
    assert code_of(row, headers=[(header, value)]) is code


@pytest.mark.parametrize("row", READS, ids=lambda row: row.name)
def test_reads_refuse_what_the_model_knows(row):
    described = MODEL.operations[row.name]
    own = {member.wire for member in described.members.values() if member.name in row.honours}
    for name in sorted(MODEL.query_names - own - MODEL.selectors):
        error = refusal(ask(row, query=[(name, "1")])) if name not in described.literals else None
        assert error is None or (error.code, error.details) == (Code.NotImplemented, {"ParameterName": name})
    for name in ("algorithm", "key", "key-MD5"):
        for prefix in ("x-amz-", "x-amz-copy-source-"):
            header = f"{prefix}server-side-encryption-customer-{name}"
            assert refusal(ask(row, headers=[(header, "1")])).details == {"Header": header.lower()}


@pytest.mark.parametrize("row", READS, ids=lambda row: row.name)
def test_reads_ignore_what_nobody_knows(row):
    generator = random.Random(20)
    names = ["".join(generator.choices("abcdefghij", k=8)) for _ in range(20)]
    query = [(name, "1") for name in names]
    headers = [(f"x-amz-{name}", "1") for name in names] + [("Content-Range", "x"), ("If-Unheard-Of", "x")]
    assert code_of(row, headers=headers, query=query) is None


def test_an_unknown_item_on_a_method_that_is_not_there():
    for method, target in (("POST", "/a-bucket/key"), ("PUT", "/"), ("DELETE", "/")):
        operation = ROUTER.resolve(make_request(method, f"{target}?unheard-of"))
        assert refusal(operation).details == {"ParameterName": "unheard-of"}
        operation = ROUTER.resolve(make_request(method, target, [("x-amz-unheard-of", "1")]))
        assert refusal(operation).details == {"Header": "x-amz-unheard-of"}
