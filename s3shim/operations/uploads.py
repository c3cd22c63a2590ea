"""Listings of multipart uploads and of their parts."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.errors import Code, S3Error
from s3shim.model import PartInfo, UploadInfo, UploadQuery
from s3shim.wire import xml
from s3shim.wire.parameters import encoding_type, integer
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response, xml_response
from s3shim.wire.results import checksum_elements
from s3shim.wire.xml import NAMESPACE, owner, text, timestamp

MAX_UPLOADS = 1000
MAX_PARTS = 1000


def list_parts(backend: Backend, request: S3Request) -> Response:
    """ListParts: ascending, after part-number-marker."""
    get = request.query.get
    limit = integer(get("max-parts"), "max-parts", default=MAX_PARTS, least=0, most=MAX_PARTS)
    marker = integer(get("part-number-marker"), "part-number-marker", default=0, least=0, most=2**31 - 1)
    upload, parts = backend.list_parts(request.upload, marker, limit + 1)
    truncated = 0 < limit < len(parts)
    parts = parts[:limit]
    following = f"<NextPartNumberMarker>{parts[-1].part_number}</NextPartNumberMarker>" if parts else ""
    return xml_response(
        f'<ListPartsResult xmlns="{NAMESPACE}"><Bucket>{text(request.bucket)}</Bucket>'
        f"<Key>{text(request.key)}</Key><UploadId>{upload.upload_id}</UploadId>"
        f"{_people(request)}<StorageClass>STANDARD</StorageClass>"
        f"<PartNumberMarker>{marker}</PartNumberMarker>{following}<MaxParts>{limit}</MaxParts>"
        f"<IsTruncated>{xml.boolean(truncated)}</IsTruncated>{_checksum(upload)}"
        f"{''.join(_part(part) for part in parts)}</ListPartsResult>"
    )


def _part(part: PartInfo) -> str:
    return (
        f"<Part><PartNumber>{part.part_number}</PartNumber>"
        f"<LastModified>{timestamp(part.last_modified)}</LastModified><ETag>&quot;{part.etag}&quot;</ETag>"
        f"<Size>{part.size}</Size>{checksum_elements(part.checksums)}</Part>"
    )


def list_multipart_uploads(backend: Backend, request: S3Request) -> Response:
    """ListMultipartUploads: by key, then by initiation."""
    get = request.query.get
    query = UploadQuery(
        prefix=get("prefix") or "",
        delimiter=get("delimiter") or "",
        key_marker=get("key-marker") or "",
        # Without a key marker S3 does not look at this one.
        upload_id_marker=(get("upload-id-marker") or "") if get("key-marker") else "",
        max_uploads=integer(
            get("max-uploads"), "max-uploads", default=MAX_UPLOADS, least=0, most=MAX_UPLOADS
        ),
    )
    if "\0" in query.delimiter:
        raise S3Error(Code.InvalidArgument, "A delimiter must not contain a NUL character.")
    asked = encoding_type(get("encoding-type"))
    page = backend.list_multipart_uploads(request.bucket, query)
    names = [query.prefix, query.delimiter, query.key_marker, *page.common_prefixes]
    names += [upload.key for upload in page.items]
    encode = asked or xml.unfit(names)

    def name(value: str) -> str:
        return xml.listed_name(value, encode)

    following = ""
    if page.next_marker is not None:
        last = page.items[-1] if page.items else None
        next_id = last.upload_id if last is not None and last.key == page.next_marker else ""
        following = (
            f"<NextKeyMarker>{name(page.next_marker)}</NextKeyMarker>"
            f"<NextUploadIdMarker>{next_id}</NextUploadIdMarker>"
        )
    return xml_response(
        f'<ListMultipartUploadsResult xmlns="{NAMESPACE}"><Bucket>{text(request.bucket)}</Bucket>'
        f"<KeyMarker>{name(query.key_marker)}</KeyMarker>"
        f"<UploadIdMarker>{text(query.upload_id_marker)}</UploadIdMarker>{following}"
        f"<Prefix>{name(query.prefix)}</Prefix>"
        + (f"<Delimiter>{name(query.delimiter)}</Delimiter>" if query.delimiter else "")
        + ("<EncodingType>url</EncodingType>" if encode else "")
        + f"<MaxUploads>{query.max_uploads}</MaxUploads>"
        + f"<IsTruncated>{xml.boolean(page.is_truncated)}</IsTruncated>"
        + "".join(_upload(request, upload, name(upload.key)) for upload in page.items)
        + xml.common_prefixes(page.common_prefixes, encode)
        + "</ListMultipartUploadsResult>"
    )


def _upload(request: S3Request, upload: UploadInfo, key: str) -> str:
    return (
        f"<Upload><Key>{key}</Key><UploadId>{upload.upload_id}</UploadId>{_people(request)}"
        f"<StorageClass>STANDARD</StorageClass><Initiated>{timestamp(upload.initiated)}</Initiated>"
        f"{_checksum(upload)}</Upload>"
    )


def _checksum(upload: UploadInfo) -> str:
    if upload.checksum_algorithm is None:
        return ""
    return (
        f"<ChecksumAlgorithm>{upload.checksum_algorithm.upper()}</ChecksumAlgorithm>"
        f"<ChecksumType>{upload.checksum_type}</ChecksumType>"
    )


def _people(request: S3Request) -> str:
    # Only the owner's account may upload, so it is the initiator's too.
    return owner(request.identity, "Initiator") + owner(request.identity)
