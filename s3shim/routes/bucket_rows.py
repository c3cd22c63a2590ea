"""The rows of the operations on the service and on buckets."""

from __future__ import annotations

from s3shim.backends.base import Capability
from s3shim.operations import acl, bucket, deletion, listing, service, uploads
from s3shim.routes.row import BODY_DIGESTS, LIST, OWNER, PAYER, row

# fmt: off
BUCKET_ROWS = (
    row("ListBuckets", "GET service", "ListAllMyBuckets", service.list_buckets,
         "Prefix MaxBuckets ContinuationToken BucketRegion"),
    row("CreateBucket", "PUT bucket", "CreateBucket", bucket.create_bucket,
         "ACL CreateBucketConfiguration ObjectLockEnabledForBucket ObjectOwnership", BODY_DIGESTS, OWNER),
    row("HeadBucket", "HEAD bucket", "ListBucket", bucket.head_bucket, OWNER),
    row("DeleteBucket", "DELETE bucket", "DeleteBucket", bucket.delete_bucket, OWNER),
    row("GetBucketLocation", "GET bucket?location", "GetBucketLocation", bucket.get_bucket_location, OWNER),
    row("GetBucketVersioning", "GET bucket?versioning", "GetBucketVersioning",
         bucket.get_bucket_versioning, OWNER),
    row("GetBucketAcl", "GET bucket?acl", "GetBucketAcl", acl.get_bucket_acl, OWNER),
    row("PutBucketAcl", "PUT bucket?acl", "PutBucketAcl", acl.put_bucket_acl,
         "ACL AccessControlPolicy", BODY_DIGESTS, OWNER),
    row("ListObjects", "GET bucket", "ListBucket", listing.list_objects, LIST, "Marker"),
    row("ListObjectsV2", "GET bucket?list-type", "ListBucket", listing.list_objects_v2,
         LIST, "ContinuationToken FetchOwner StartAfter"),
    row("ListObjectVersions", "GET bucket?versions", "ListBucketVersions", listing.list_object_versions,
         LIST, "KeyMarker VersionIdMarker"),
    row("DeleteObjects", "POST bucket?delete", "DeleteObject", deletion.delete_objects,
         "Delete", BODY_DIGESTS, PAYER, OWNER),
    row("ListMultipartUploads", "GET bucket?uploads", "ListBucketMultipartUploads",
         uploads.list_multipart_uploads,
         "Delimiter EncodingType KeyMarker MaxUploads Prefix UploadIdMarker", PAYER, OWNER,
         needs=Capability.MULTIPART),
)
# fmt: on
