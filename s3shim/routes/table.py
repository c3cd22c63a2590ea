"""THE table: one row for each operation that is served.

A row names the members of the service model that its handler honours; the fence refuses the rest.
Where the backend cannot do what a row needs, and for every operation of the model without a row,
the router answers NotImplemented.
"""

from __future__ import annotations

from s3shim.backends.base import Capability
from s3shim.operations import acl, bucket, listing, service
from s3shim.operations import object as objects
from s3shim.routes.operation import Handler, Operation

_OWNER = "ExpectedBucketOwner"
_PAYER = "RequestPayer"

_BODY_DIGESTS = (
    "ContentMD5 ChecksumAlgorithm ChecksumCRC32 ChecksumCRC32C ChecksumCRC64NVME ChecksumSHA1 ChecksumSHA256"
)
_SYSTEM_METADATA = "CacheControl ContentDisposition ContentEncoding ContentLanguage ContentType Expires"
_READ_CONDITIONS = "IfMatch IfModifiedSince IfNoneMatch IfUnmodifiedSince"
_OVERRIDES = (
    "ResponseCacheControl ResponseContentDisposition ResponseContentEncoding ResponseContentLanguage "
    "ResponseContentType ResponseExpires"
)
_READ = f"{_READ_CONDITIONS} Range {_OVERRIDES} VersionId ChecksumMode {_PAYER} {_OWNER}"
_LIST = f"Delimiter EncodingType MaxKeys Prefix {_PAYER} {_OWNER} OptionalObjectAttributes"

# Members of a write that ask the backend for more than the write itself.
MEMBER_NEEDS = {"IfMatch": Capability.CONDITIONAL_WRITE, "IfNoneMatch": Capability.CONDITIONAL_WRITE}


def _row(
    name: str,
    target: str,
    action: str,
    handler: Handler,
    *honours: str,
    needs: Capability = Capability.NONE,
) -> Operation:
    """Return a row; ``target`` is "METHOD scope" or "METHOD scope?selector"."""
    method, _, rest = target.partition(" ")
    scope, _, selector = rest.partition("?")
    members = frozenset(" ".join(honours).split())
    return Operation(name, scope, method, selector, handler, f"s3:{action}", needs, members)


# fmt: off
TABLE = (
    _row("ListBuckets", "GET service", "ListAllMyBuckets", service.list_buckets,
         "Prefix MaxBuckets ContinuationToken BucketRegion"),

    _row("CreateBucket", "PUT bucket", "CreateBucket", bucket.create_bucket,
         "ACL CreateBucketConfiguration ObjectLockEnabledForBucket ObjectOwnership", _BODY_DIGESTS, _OWNER),
    _row("HeadBucket", "HEAD bucket", "ListBucket", bucket.head_bucket, _OWNER),
    _row("DeleteBucket", "DELETE bucket", "DeleteBucket", bucket.delete_bucket, _OWNER),
    _row("GetBucketLocation", "GET bucket?location", "GetBucketLocation", bucket.get_bucket_location, _OWNER),
    _row("GetBucketVersioning", "GET bucket?versioning", "GetBucketVersioning",
         bucket.get_bucket_versioning, _OWNER),

    _row("GetBucketAcl", "GET bucket?acl", "GetBucketAcl", acl.get_bucket_acl, _OWNER),
    _row("PutBucketAcl", "PUT bucket?acl", "PutBucketAcl", acl.put_bucket_acl,
         "ACL AccessControlPolicy", _BODY_DIGESTS, _OWNER),
    _row("GetObjectAcl", "GET object?acl", "GetObjectAcl", acl.get_object_acl, "VersionId", _PAYER, _OWNER),
    _row("PutObjectAcl", "PUT object?acl", "PutObjectAcl", acl.put_object_acl,
         "ACL AccessControlPolicy VersionId", _BODY_DIGESTS, _PAYER, _OWNER),

    _row("ListObjects", "GET bucket", "ListBucket", listing.list_objects, _LIST, "Marker"),
    _row("ListObjectsV2", "GET bucket?list-type", "ListBucket", listing.list_objects_v2,
         _LIST, "ContinuationToken FetchOwner StartAfter"),
    _row("ListObjectVersions", "GET bucket?versions", "ListBucketVersions", listing.list_object_versions,
         _LIST, "KeyMarker VersionIdMarker"),

    _row("PutObject", "PUT object", "PutObject", objects.put_object,
         "Body ContentLength Metadata IfMatch IfNoneMatch ACL StorageClass",
         _SYSTEM_METADATA, _BODY_DIGESTS, _PAYER, _OWNER),
    _row("GetObject", "GET object", "GetObject", objects.get_object, _READ),
    _row("HeadObject", "HEAD object", "GetObject", objects.head_object, _READ),
    _row("DeleteObject", "DELETE object", "DeleteObject", objects.delete_object,
         "VersionId IfMatch", _PAYER, _OWNER),
)
# fmt: on
