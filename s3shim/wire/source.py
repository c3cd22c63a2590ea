"""x-amz-copy-source and its conditions; x-amz-rename-source.

Source: "CopyObject", "UploadPartCopy" and "RenameObject" in the Amazon S3 API Reference.
"""

from __future__ import annotations

import re

from s3shim.conditions import Conditions
from s3shim.errors import Code, S3Error
from s3shim.model import NULL_VERSION, ObjectRef
from s3shim.names import check_bucket_name, check_key
from s3shim.ranges import ByteRange
from s3shim.wire.preconditions import source_conditions_in
from s3shim.wire.request import S3Request, decode_path_segment

SOURCE_OF_RENAME = "x-amz-rename-source"

_VERSION = "?versionId="
_TOKEN = re.compile("[!-~]{1,64}")
_RANGE = re.compile(r"bytes=([0-9]{1,19})-([0-9]{1,19})", re.ASCII)


def read_source(request: S3Request) -> ObjectRef:
    """Return the object that x-amz-copy-source names: ``[/]bucket/key[?versionId=id]``, URL-encoded.

    The version is split off before anything is decoded, so a key may hold ``?versionId=``. The caller
    must be allowed to read it. Raises InvalidArgument, InvalidBucketName, KeyTooLongError, AccessDenied,
    NoSuchBucket.
    """
    raw = request.headers.get("x-amz-copy-source") or ""
    path, marked, version_id = raw.partition(_VERSION)
    try:
        decoded = decode_path_segment(path.removeprefix("/"), "copy source")
        version_id = decode_path_segment(version_id, "copy source")
    except S3Error:
        raise _invalid() from None
    bucket, slash, key = decoded.removeprefix("/").partition("/")
    if not (bucket and slash and key) or (marked and not version_id):
        raise _invalid()
    check_bucket_name(bucket)
    check_key(key)
    request.authorize("s3:GetObject", bucket)
    return ObjectRef(bucket, key, version_id or None)


def source_conditions(request: S3Request) -> Conditions:
    """Return the x-amz-copy-source-if-* conditions."""
    return source_conditions_in(request, "x-amz-copy-source-")


def source_range(request: S3Request) -> ByteRange | None:
    """Return the x-amz-copy-source-range; raise InvalidArgument unless it is bytes=first-last."""
    value = request.headers.get("x-amz-copy-source-range")
    if value is None:
        return None
    match = _RANGE.fullmatch(value)
    if match is None or int(match[1]) > int(match[2]):
        raise S3Error(
            Code.InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are "
            "the zero-based offsets of the first and last bytes to copy",
            ArgumentName="x-amz-copy-source-range",
            ArgumentValue=value[:100],
        )
    return ByteRange(int(match[1]), int(match[2]))


def replaces(request: S3Request, what: str) -> bool:
    """Return whether x-amz-``what``-directive says REPLACE; raise InvalidArgument for another word."""
    header = f"x-amz-{what}-directive"
    value = request.headers.get(header, "COPY") or ""
    if value not in ("COPY", "REPLACE"):
        raise S3Error(
            Code.InvalidArgument, f"Unknown {what} directive.", ArgumentName=header, ArgumentValue=value[:100]
        )
    return value == "REPLACE"


def refuse_copy_onto_itself(source: ObjectRef, target: ObjectRef) -> None:
    """Raise InvalidRequest where both are the same object: a copy that changes nothing is a mistake."""
    same = (source.bucket, source.key) == (target.bucket, target.key)
    if same and source.version_id in (None, NULL_VERSION):
        raise S3Error(
            Code.InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing "
            "the object's metadata, storage class, website redirect location or encryption attributes.",
        )


def read_rename_source(request: S3Request) -> str:
    """Return the key in the request's bucket that x-amz-rename-source names: ``[/][bucket/]key``, encoded.

    Raises InvalidArgument, KeyTooLongError, and InvalidRequest for the target itself.
    """
    raw = request.headers.get(SOURCE_OF_RENAME) or ""
    try:
        key = decode_path_segment(raw, "rename source").removeprefix("/")
    except S3Error:
        key = ""
    key = key.removeprefix(f"{request.bucket}/")
    if not key:
        raise S3Error(
            Code.InvalidArgument,
            "Rename Source must mention the source bucket and key: sourcebucket/sourcekey",
            ArgumentName=SOURCE_OF_RENAME,
            ArgumentValue=raw[:100],
        )
    check_key(key)
    if key == request.key:
        raise S3Error(Code.InvalidRequest, "This request is illegal because it renames an object to itself.")
    return key


def client_token(request: S3Request) -> str:
    """Return x-amz-client-token, empty where there is none; raise InvalidArgument for one that is none."""
    value = request.headers.get("x-amz-client-token")
    if value is None:
        return ""
    if not _TOKEN.fullmatch(value):
        raise S3Error(
            Code.InvalidArgument,
            "A client token has 1 to 64 visible ASCII characters.",
            ArgumentName="x-amz-client-token",
            ArgumentValue=value[:100],
        )
    return value


def _invalid() -> S3Error:
    return S3Error(
        Code.InvalidArgument,
        "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        ArgumentName="x-amz-copy-source",
    )
