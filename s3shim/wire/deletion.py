"""The document of DeleteObjects.

Source: "DeleteObjects" in the Amazon S3 API Reference: at most 1,000 keys, and a digest of the body.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from s3shim.conditions import NO_CONDITIONS, Conditions
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectRef
from s3shim.names import check_key
from s3shim.wire.document import check_elements, read_document
from s3shim.wire.integrity import stated_checksum
from s3shim.wire.preconditions import etag_list, object_size, object_time
from s3shim.wire.request import S3Request

MAX_KEYS = 1000
MAX_DELETION = 2 * 1024 * 1024


@dataclass(slots=True)
class Wish:
    """One object to delete, and on which conditions; ``error`` tells why it cannot be done."""

    ref: ObjectRef
    conditions: Conditions = field(default_factory=lambda: NO_CONDITIONS)
    error: S3Error | None = None


def read_deletion(request: S3Request) -> tuple[list[Wish], bool]:
    """Return what to delete, in order, and whether the answer shall name only errors.

    Raises InvalidRequest without a digest of the body, MalformedXML, MaxMessageLengthExceeded.
    """
    if "content-md5" not in request.sent and stated_checksum(request.sent) is None:
        raise S3Error(
            Code.InvalidRequest,
            "Missing required header for this request: Content-MD5 OR x-amz-checksum-*",
        )
    content = read_document(request, "Delete", MAX_DELETION)
    check_elements(content or {}, ("Object", "Quiet"))
    listed = (content or {}).get("Object")
    objects = listed if isinstance(listed, list) else [listed]
    if content is None or not listed or len(objects) > MAX_KEYS:
        raise S3Error(Code.MalformedXML)
    quiet = content.get("Quiet")
    if quiet is not None and not isinstance(quiet, str):
        raise S3Error(Code.MalformedXML)
    return [_wish(request.bucket, element) for element in objects], (quiet or "").strip().lower() == "true"


def _wish(bucket: str, element: Any) -> Wish:
    if not isinstance(element, dict) or "Key" not in element:
        raise S3Error(Code.MalformedXML)
    check_elements(element, ("Key", "VersionId", "ETag", "Size", "LastModifiedTime"))
    texts = {name: value or "" for name, value in element.items()}
    if not all(isinstance(value, str) for value in texts.values()):
        raise S3Error(Code.MalformedXML)
    wish = Wish(ObjectRef(bucket, texts["Key"], texts.get("VersionId") or None))
    try:
        if not wish.ref.key:
            raise S3Error(Code.InvalidArgument, "A key must not be empty.")
        check_key(wish.ref.key)
        wish.conditions = _conditions(texts)
    except S3Error as error:
        wish.error = error
    return wish


def _conditions(texts: dict[str, str]) -> Conditions:
    given = [texts.get(name) for name in ("ETag", "Size", "LastModifiedTime")]
    etag, size, modified = (value and value.strip() for value in given)
    if etag is None and size is None and modified is None:
        return NO_CONDITIONS
    return Conditions(
        if_match=None if etag is None else etag_list(etag),
        if_match_size=object_size(size, "Size"),
        if_match_modified=object_time(modified, "LastModifiedTime"),
    )
