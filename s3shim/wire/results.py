"""The documents that answer copies, multipart uploads, deletes of many and questions for attributes."""

from __future__ import annotations

from s3shim.errors import S3Error
from s3shim.model import Deleted, ObjectInfo, ObjectPart, ObjectRef, PartInfo, UploadInfo
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response, xml_response
from s3shim.wire.xml import NAMESPACE, boolean, text, timestamp


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
    return xml_response(
        f'<CompleteMultipartUploadResult xmlns="{NAMESPACE}"><Location>{text(request.url)}</Location>'
        f"<Bucket>{text(request.bucket)}</Bucket><Key>{text(request.key)}</Key>"
        f"<ETag>&quot;{info.etag}&quot;</ETag>{checksum_elements(info.checksums)}{_type(info)}"
        "</CompleteMultipartUploadResult>"
    )


def attributes_result(
    info: ObjectInfo, parts: list[ObjectPart], wanted: set[str], marker: int, most: int
) -> Response:
    """Return GetObjectAttributesResponse with the ``wanted`` elements.

    Of the parts up to ``most`` above the number ``marker`` are listed.
    """
    content = ""
    if "ETag" in wanted:
        content += f"<ETag>{info.etag}</ETag>"
    if "Checksum" in wanted and info.checksums:
        content += f"<Checksum>{checksum_elements(info.checksums)}{_type(info)}</Checksum>"
    if "ObjectParts" in wanted and parts:
        content += _object_parts(parts, marker, most)
    if "StorageClass" in wanted:
        content += "<StorageClass>STANDARD</StorageClass>"
    if "ObjectSize" in wanted:
        content += f"<ObjectSize>{info.size}</ObjectSize>"
    return xml_response(
        f'<GetObjectAttributesResponse xmlns="{NAMESPACE}">{content}</GetObjectAttributesResponse>'
    )


def _object_parts(parts: list[ObjectPart], marker: int, most: int) -> str:
    later = [part for part in parts if part.part_number > marker]
    shown = later[:most]
    listed = "".join(
        f"<Part>{checksum_elements(part.checksums)}<PartNumber>{part.part_number}</PartNumber>"
        f"<Size>{part.size}</Size></Part>"
        for part in shown
    )
    return (
        f"<ObjectParts><PartsCount>{len(parts)}</PartsCount><PartNumberMarker>{marker}</PartNumberMarker>"
        f"<NextPartNumberMarker>{shown[-1].part_number if shown else marker}</NextPartNumberMarker>"
        f"<MaxParts>{most}</MaxParts><IsTruncated>{boolean(len(later) > len(shown))}</IsTruncated>{listed}"
        "</ObjectParts>"
    )


def part_result(part: PartInfo) -> Response:
    """Return the answer to an UploadPart, headers only."""
    headers = [("ETag", f'"{part.etag}"')]
    return Response(200, headers + [(f"x-amz-checksum-{name}", v) for name, v in part.checksums.items()])


def checksum_elements(checksums: dict[str, str]) -> str:
    """Return checksums as elements: ChecksumCRC32 and so on."""
    return "".join(
        f"<Checksum{name.upper()}>{value}</Checksum{name.upper()}>" for name, value in checksums.items()
    )


def _type(info: ObjectInfo) -> str:
    return f"<ChecksumType>{info.checksum_type}</ChecksumType>" if info.checksums else ""


def deletion_result(refs: list[ObjectRef], outcomes: list[Deleted | S3Error], *, quiet: bool) -> Response:
    """Return DeleteResult, in the order of the request."""
    parts = [f'<DeleteResult xmlns="{NAMESPACE}">']
    for ref, outcome in zip(refs, outcomes, strict=True):
        named = f"<Key>{text(ref.key)}</Key>"
        if ref.version_id:
            named += f"<VersionId>{text(ref.version_id)}</VersionId>"
        if isinstance(outcome, S3Error):
            parts.append(
                f"<Error>{named}<Code>{outcome.code.name}</Code><Message>{text(outcome.message)}</Message></Error>"
            )
        elif not quiet:
            parts.append(f"<Deleted>{named}</Deleted>")
    parts.append("</DeleteResult>")
    return xml_response("".join(parts))
