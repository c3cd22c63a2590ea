"""What the requests of a multipart upload say.

Source: "CreateMultipartUpload" and "CompleteMultipartUpload" in the Amazon S3 API Reference.
"""

from __future__ import annotations

import re
from typing import Any

from s3shim import checksums
from s3shim.errors import Code, S3Error
from s3shim.model import UploadInfo
from s3shim.multipart import MAX_PARTS, Completion, ListedPart, checksum_type_of
from s3shim.wire.document import check_elements, read_document
from s3shim.wire.integrity import expect, stated_checksum
from s3shim.wire.metadata import read_metadata
from s3shim.wire.request import S3Request

MAX_COMPLETION = 2 * 1024 * 1024

_INTEGER = re.compile("[0-9]{1,19}", re.ASCII)
_ELEMENTS = {f"Checksum{algorithm.upper()}": algorithm for algorithm in checksums.SIZES}


def read_upload(request: S3Request) -> UploadInfo:
    """Return the upload that a CreateMultipartUpload asks for. Raises InvalidRequest and as read_metadata."""
    algorithm = request.headers.get("x-amz-checksum-algorithm")
    if algorithm is not None:
        algorithm = algorithm.lower()
        if algorithm not in checksums.SIZES:
            raise S3Error(
                Code.InvalidRequest,
                "Checksum algorithm provided is unsupported. Please try again with any of the valid types: "
                f"[{', '.join(name.upper() for name in checksums.SIZES)}]",
            )
    return UploadInfo(
        key=request.key,
        upload_id="",
        initiated=0,
        initiator=request.identity.account,
        meta=read_metadata(request.headers),
        checksum_algorithm=algorithm,
        checksum_type=checksum_type_of(algorithm, request.headers.get("x-amz-checksum-type")),
    )


def expect_part(request: S3Request, upload: UploadInfo) -> None:
    """Let the body of a part demand what the headers state, and have a checksum of the upload's algorithm.

    Raises what ``expect`` raises, and InvalidRequest where the client sends a checksum of another algorithm.
    """
    stated = stated_checksum(request.headers)
    algorithm = upload.checksum_algorithm
    if algorithm is not None:
        if stated is not None and stated[0] != algorithm:
            raise S3Error(
                Code.InvalidRequest,
                f"Checksum Type mismatch occurred, expected checksum Type: {algorithm}, "
                f"actual checksum Type: {stated[0]}",
            )
        request.body.default_algorithm = algorithm
    expect(request)


def read_completion(request: S3Request) -> Completion:
    """Return what a CompleteMultipartUpload demands. Raises MalformedXML, InvalidArgument, InvalidRequest."""
    content = read_document(request, "CompleteMultipartUpload", MAX_COMPLETION, checksums=False)
    check_elements(content or {}, ("Part",))
    listed = (content or {}).get("Part")
    elements = listed if isinstance(listed, list) else [listed]
    if not listed or len(elements) > MAX_PARTS:
        raise S3Error(Code.MalformedXML)
    parts = [_part(element) for element in elements]
    return Completion(
        parts,
        request.service.min_part_size,
        _size(request.headers.get("x-amz-mp-object-size")),
        stated_checksum(request.headers),
        request.headers.get("x-amz-checksum-type"),
    )


def _part(element: Any) -> ListedPart:
    if not isinstance(element, dict):
        raise S3Error(Code.MalformedXML)
    check_elements(element, ("PartNumber", "ETag", *_ELEMENTS))
    number, etag = element.get("PartNumber"), element.get("ETag")
    # int() reads more than digits, so the form is looked at first.
    if not isinstance(number, str) or not _INTEGER.fullmatch(number) or not isinstance(etag, str):
        raise S3Error(Code.MalformedXML)
    if not 1 <= int(number) <= MAX_PARTS:
        raise S3Error(
            Code.InvalidArgument, "PartNumber must be between 1 and 10000", ArgumentName="partNumber"
        )
    found: dict[str, str] = {}
    for name, algorithm in _ELEMENTS.items():
        value = element.get(name)
        if value is not None:
            if not isinstance(value, str):
                raise S3Error(Code.MalformedXML)
            found[algorithm] = value.strip()
    return ListedPart(int(number), etag.strip().strip('"').lower(), found)


def _size(value: str | None) -> int | None:
    if value is None:
        return None
    if not _INTEGER.fullmatch(value):
        raise S3Error(Code.InvalidRequest, "Value for x-amz-mp-object-size header is invalid.")
    return int(value)
