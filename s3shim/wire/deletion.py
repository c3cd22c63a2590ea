"""The documents of DeleteObjects.

Source: "DeleteObjects" in the Amazon S3 API Reference: at most 1,000 keys, and a digest of the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from s3shim.errors import Code, S3Error
from s3shim.model import Deleted, ObjectRef
from s3shim.names import check_key
from s3shim.wire.document import read_document
from s3shim.wire.integrity import stated_checksum
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response, xml_response
from s3shim.wire.xml import NAMESPACE, text

MAX_KEYS = 1000
MAX_DELETION = 2 * 1024 * 1024

_UNKNOWN_CONDITIONS = ("LastModifiedTime", "Size")


@dataclass(slots=True)
class Wish:
    """One object to delete. ``etag`` is the one it must have; ``error`` tells why it cannot be done."""

    ref: ObjectRef
    etag: str | None = None
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
    texts = {name: value or "" for name, value in element.items()}
    if not all(isinstance(value, str) for value in texts.values()):
        raise S3Error(Code.MalformedXML)
    wish = Wish(ObjectRef(bucket, texts["Key"], texts.get("VersionId") or None))
    if "ETag" in texts:
        wish.etag = texts["ETag"].strip().strip('"')
    try:
        if not wish.ref.key:
            raise S3Error(Code.InvalidArgument, "A key must not be empty.")
        check_key(wish.ref.key)
        for name in _UNKNOWN_CONDITIONS:
            if name in texts:
                raise S3Error(Code.NotImplemented, f"The condition {name} is not implemented.")
    except S3Error as error:
        wish.error = error
    return wish


def deletion_result(wishes: list[Wish], outcomes: list[Deleted | S3Error], *, quiet: bool) -> Response:
    """Return DeleteResult, in the order of the request."""
    parts = [f'<DeleteResult xmlns="{NAMESPACE}">']
    for wish, outcome in zip(wishes, outcomes, strict=True):
        named = f"<Key>{text(wish.ref.key)}</Key>"
        if wish.ref.version_id:
            named += f"<VersionId>{text(wish.ref.version_id)}</VersionId>"
        if isinstance(outcome, S3Error):
            parts.append(
                f"<Error>{named}<Code>{outcome.code.name}</Code><Message>{text(outcome.message)}</Message></Error>"
            )
        elif not quiet:
            parts.append(f"<Deleted>{named}</Deleted>")
    parts.append("</DeleteResult>")
    return xml_response("".join(parts))
