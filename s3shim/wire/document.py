"""XML request bodies: bounded, verified, parsed, and held against what their schema has."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from s3shim.errors import Code, S3Error
from s3shim.wire import xml
from s3shim.wire.integrity import expect_checksum, expect_md5
from s3shim.wire.request import S3Request

MAX_DOCUMENT = 1024 * 1024


def read_document(
    request: S3Request, root: str, limit: int = MAX_DOCUMENT, *, checksums: bool = True
) -> dict[str, Any] | None:
    """Return the content of the element ``root`` of the body, or None where the body is empty.

    ``checksums`` False: the x-amz-checksum-* headers speak of something else than the body. Raises
    MaxMessageLengthExceeded beyond ``limit`` bytes before anything is parsed, MalformedXML, and what a
    wrong digest raises.
    """
    expect_md5(request)
    if checksums:
        expect_checksum(request)
    if request.body.empty:
        # An absent body has digests too: those that the client states must be of the empty one.
        request.body.length = 0
    content = request.body.read_all(limit)
    if not content.strip():
        return None
    return xml.parse(content, root)


def check_elements(content: dict[str, Any], known: Collection[str]) -> None:
    """Raise MalformedXML where ``content`` has an element beyond the ``known`` ones.

    What is passed over might have been a condition, misspelt or of a later day. Attributes pass.
    """
    for name in content:
        if name not in known and not name.startswith(("@", "#")):
            raise S3Error(Code.MalformedXML)
