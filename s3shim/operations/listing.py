"""Listings: ListObjects, ListObjectsV2, ListObjectVersions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from s3shim import paging
from s3shim.backends.base import Backend
from s3shim.errors import Code, S3Error
from s3shim.model import NULL_VERSION, ListQuery, ObjectInfo, Page
from s3shim.wire import xml
from s3shim.wire.parameters import boolean, encoding_type, integer
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response, xml_response
from s3shim.wire.xml import NAMESPACE, owner, text, timestamp

MAX_KEYS = 1000


@dataclass(slots=True)
class _Listing:
    """One listing on its way into a document: the query, its page, and how keys are written."""

    request: S3Request
    query: ListQuery
    page: Page[ObjectInfo]
    encode: bool

    def name(self, value: str) -> str:
        return xml.listed_name(value, self.encode)

    def element(self, tag: str, value: str | None) -> str:
        return "" if value is None else f"<{tag}>{self.name(value)}</{tag}>"

    def head(self) -> str:
        """The elements that all three documents share."""
        parts = [f"<Name>{text(self.request.bucket)}</Name>", self.element("Prefix", self.query.prefix)]
        if self.query.delimiter:
            parts.append(self.element("Delimiter", self.query.delimiter))
        parts.append(f"<MaxKeys>{self.query.max_keys}</MaxKeys>")
        if self.encode:
            parts.append("<EncodingType>url</EncodingType>")
        parts.append(f"<IsTruncated>{xml.boolean(self.page.is_truncated)}</IsTruncated>")
        return "".join(parts)

    def entries(self, tag: str, version: str, owned: str) -> str:
        items = self.page.items
        names = xml.listed_names([info.key for info in items], self.encode)
        return "".join(
            [
                f"<{tag}><Key>{name}</Key>{version}"
                f"<LastModified>{timestamp(info.last_modified)}</LastModified>"
                f"<ETag>&quot;{info.etag}&quot;</ETag>"
                f"{_checksum_elements(info.checksum_type, *info.checksums)}<Size>{info.size}</Size>{owned}"
                f"<StorageClass>STANDARD</StorageClass></{tag}>"
                for name, info in zip(names, items, strict=True)
            ]
        )

    def prefixes(self) -> str:
        return xml.common_prefixes(self.page.common_prefixes, self.encode)


@lru_cache(maxsize=256)
def _checksum_elements(checksum_type: str, *algorithms: str) -> str:
    named = "".join(f"<ChecksumAlgorithm>{name.upper()}</ChecksumAlgorithm>" for name in algorithms)
    return f"{named}<ChecksumType>{checksum_type}</ChecksumType>" if named else ""


def _list(backend: Backend, request: S3Request, marker: str) -> _Listing:
    get = request.query.get
    encode = encoding_type(get("encoding-type"))
    query = ListQuery(
        prefix=get("prefix") or "",
        delimiter=get("delimiter") or "",
        marker=marker,
        max_keys=integer(get("max-keys"), "max-keys", default=MAX_KEYS, least=0, most=MAX_KEYS),
    )
    page = backend.list_objects(request.bucket, query)
    names = [query.prefix, query.delimiter, query.marker, *page.common_prefixes]
    names += [info.key for info in page.items]
    return _Listing(request, query, page, encode or xml.unfit(names))


def list_objects(backend: Backend, request: S3Request) -> Response:
    """ListObjects, version 1: Marker, and NextMarker only with a delimiter."""
    marker = request.query.get("marker") or ""
    listing = _list(backend, request, marker)
    following = listing.page.next_marker if listing.query.delimiter else None
    return xml_response(
        f'<ListBucketResult xmlns="{NAMESPACE}">{listing.head()}{listing.element("Marker", marker)}'
        f"{listing.element('NextMarker', following)}"
        f"{listing.entries('Contents', '', owner(request.identity))}{listing.prefixes()}</ListBucketResult>"
    )


def list_objects_v2(backend: Backend, request: S3Request) -> Response:
    """ListObjectsV2: opaque continuation tokens, made for one bucket, prefix and delimiter."""
    get = request.query.get
    start_after, token = get("start-after"), get("continuation-token")
    context = ("objects", request.bucket, get("prefix") or "", get("delimiter") or "")
    marker = start_after or ""
    if token is not None:
        marker = paging.open_token(request.service.token_key, context, token)
    owned = owner(request.identity) if boolean(get("fetch-owner"), "fetch-owner") else ""
    listing = _list(backend, request, marker)
    page = listing.page
    tokens = f"<ContinuationToken>{text(token)}</ContinuationToken>" if token is not None else ""
    if page.next_marker is not None:
        sealed = paging.seal_token(request.service.token_key, context, page.next_marker)
        tokens += f"<NextContinuationToken>{sealed}</NextContinuationToken>"
    return xml_response(
        f'<ListBucketResult xmlns="{NAMESPACE}">{listing.head()}'
        f"<KeyCount>{len(page.items) + len(page.common_prefixes)}</KeyCount>{tokens}"
        f"{listing.element('StartAfter', start_after)}"
        f"{listing.entries('Contents', '', owned)}{listing.prefixes()}</ListBucketResult>"
    )


def list_object_versions(backend: Backend, request: S3Request) -> Response:
    """ListObjectVersions of a bucket that was never versioned: each object as its null version."""
    get = request.query.get
    key_marker, version_marker = get("key-marker") or "", get("version-id-marker")
    if version_marker is not None and not key_marker:
        raise S3Error(
            Code.InvalidArgument,
            "A version-id marker cannot be specified without a key marker.",
            ArgumentName="version-id-marker",
        )
    if version_marker not in (None, NULL_VERSION):
        raise S3Error(Code.InvalidArgument, "Invalid version id specified", ArgumentName="version-id-marker")
    listing = _list(backend, request, key_marker)
    markers = listing.element("KeyMarker", key_marker)
    markers += f"<VersionIdMarker>{version_marker or ''}</VersionIdMarker>"
    if listing.page.next_marker is not None:
        markers += listing.element("NextKeyMarker", listing.page.next_marker)
        markers += f"<NextVersionIdMarker>{NULL_VERSION}</NextVersionIdMarker>"
    version = f"<VersionId>{NULL_VERSION}</VersionId><IsLatest>true</IsLatest>"
    entries = listing.entries("Version", version, owner(request.identity))
    return xml_response(
        f'<ListVersionsResult xmlns="{NAMESPACE}">{listing.head()}{markers}{entries}{listing.prefixes()}'
        "</ListVersionsResult>"
    )
