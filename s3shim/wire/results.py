"""The documents of copies and multipart uploads, and the parameters that name their parts."""

from __future__ import annotations

import re

from s3shim.errors import Code, S3Error
from s3shim.model import ObjectInfo, PartInfo, UploadInfo
from s3shim.multipart import MAX_PARTS
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response, xml_response
from s3shim.wire.xml import NAMESPACE, text, timestamp

_NUMBER = re.compile("[0-9]{1,5}", re.ASCII)


def part_number_of(request: S3Request) -> int:
    """Return the part number that the request names; raise InvalidArgument unless it is 1 to 10,000."""
    value = request.query.get("partNumber") or ""
    if _NUMBER.fullmatch(value) and 1 <= int(value) <= MAX_PARTS:
        return int(value)
    raise S3Error(
        Code.InvalidArgument,
        "Part number must be an integer between 1 and 10000, inclusive",
        ArgumentName="partNumber",
        ArgumentValue=value[:100],
    )


def copy_result(info: ObjectInfo) -> Response:
    """Return CopyObjectResult."""
    return xml_response(
        f'<CopyObjectResult xmlns="{NAMESPACE}"><LastModified>{timestamp(info.last_modified)}</LastModified>'
        f"<ETag>&quot;{info.etag}&quot;</ETag>{checksum_elements(info.checksums)}"
        f"{_type(info)}</CopyObjectResult>"
    )


def part_copy_result(part: PartInfo) -> Response:
    """Return CopyPartResult."""
    return xml_response(
        f'<CopyPartResult xmlns="{NAMESPACE}"><LastModified>{timestamp(part.last_modified)}</LastModified>'
        f"<ETag>&quot;{part.etag}&quot;</ETag>{checksum_elements(part.checksums)}</CopyPartResult>"
    )


def initiate_result(bucket: str, upload: UploadInfo) -> Response:
    """Return InitiateMultipartUploadResult."""
    response = xml_response(
        f'<InitiateMultipartUploadResult xmlns="{NAMESPACE}"><Bucket>{text(bucket)}</Bucket>'
        f"<Key>{text(upload.key)}</Key><UploadId>{upload.upload_id}</UploadId>"
        "</InitiateMultipartUploadResult>"
    )
    if upload.checksum_algorithm is not None:
        response.headers.append(("x-amz-checksum-algorithm", upload.checksum_algorithm.upper()))
        response.headers.append(("x-amz-checksum-type", upload.checksum_type))
    return response


def complete_result(request: S3Request, info: ObjectInfo) -> Response:
    """Return CompleteMultipartUploadResult."""
    location = f"http://{request.host}{request.path}"
    return xml_response(
        f'<CompleteMultipartUploadResult xmlns="{NAMESPACE}"><Location>{text(location)}</Location>'
        f"<Bucket>{text(request.bucket)}</Bucket><Key>{text(request.key)}</Key>"
        f"<ETag>&quot;{info.etag}&quot;</ETag>{checksum_elements(info.checksums)}{_type(info)}"
        "</CompleteMultipartUploadResult>"
    )


def part_headers(part: PartInfo) -> list[tuple[str, str]]:
    """Return the headers that answer an UploadPart."""
    headers = [("ETag", f'"{part.etag}"')]
    return headers + [(f"x-amz-checksum-{name}", value) for name, value in part.checksums.items()]


def checksum_elements(checksums: dict[str, str]) -> str:
    """Return checksums as elements: ChecksumCRC32 and so on."""
    return "".join(
        f"<Checksum{name.upper()}>{value}</Checksum{name.upper()}>" for name, value in checksums.items()
    )


def _type(info: ObjectInfo) -> str:
    return f"<ChecksumType>{info.checksum_type}</ChecksumType>" if info.checksums else ""
