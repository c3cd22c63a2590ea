"""The rows of the operations on objects and their parts."""

from __future__ import annotations

from s3shim.backends.base import Capability
from s3shim.operations import acl, copy, multipart, tagging, uploads
from s3shim.operations import object as objects
from s3shim.routes.row import BODY_DIGESTS, CHECKSUMS, OWNER, PAYER, READ, SOURCE, SYSTEM_METADATA, row

# fmt: off
OBJECT_ROWS = (
    row("GetObjectAcl", "GET object?acl", "GetObjectAcl", acl.get_object_acl, "VersionId", PAYER, OWNER),
    row("PutObjectAcl", "PUT object?acl", "PutObjectAcl", acl.put_object_acl,
         "ACL AccessControlPolicy VersionId", BODY_DIGESTS, PAYER, OWNER),
    row("PutObject", "PUT object", "PutObject", objects.put_object,
         "Body ContentLength Metadata Tagging IfMatch IfNoneMatch ACL StorageClass",
         SYSTEM_METADATA, BODY_DIGESTS, PAYER, OWNER),
    row("GetObject", "GET object", "GetObject", objects.get_object, READ),
    row("HeadObject", "HEAD object", "GetObject", objects.head_object, READ),
    row("DeleteObject", "DELETE object", "DeleteObject", objects.delete_object,
         "VersionId IfMatch", PAYER, OWNER),
    row("CopyObject", "PUT object", "PutObject", copy.copy_object,
         "Metadata MetadataDirective Tagging TaggingDirective IfMatch IfNoneMatch ACL StorageClass",
         SOURCE, SYSTEM_METADATA, PAYER, OWNER),
    row("GetObjectTagging", "GET object?tagging", "GetObjectTagging", tagging.get_object_tagging,
         "VersionId", PAYER, OWNER),
    row("PutObjectTagging", "PUT object?tagging", "PutObjectTagging", tagging.put_object_tagging,
         "VersionId Tagging", BODY_DIGESTS, PAYER, OWNER),
    row("DeleteObjectTagging", "DELETE object?tagging", "DeleteObjectTagging",
         tagging.delete_object_tagging, "VersionId", OWNER),
    row("CreateMultipartUpload", "POST object?uploads", "PutObject", multipart.create_multipart_upload,
         "ChecksumAlgorithm ChecksumType Metadata Tagging ACL StorageClass",
         SYSTEM_METADATA, PAYER, OWNER, needs=Capability.MULTIPART),
    row("UploadPart", "PUT object?uploadId", "PutObject", multipart.upload_part,
         "Body ContentLength PartNumber UploadId", BODY_DIGESTS, PAYER, OWNER,
         needs=Capability.MULTIPART),
    row("UploadPartCopy", "PUT object?uploadId", "PutObject", copy.upload_part_copy,
         "PartNumber UploadId CopySourceRange", SOURCE, PAYER, OWNER, needs=Capability.MULTIPART),
    row("CompleteMultipartUpload", "POST object?uploadId", "PutObject",
         multipart.complete_multipart_upload,
         "MultipartUpload UploadId ChecksumType MpuObjectSize IfMatch IfNoneMatch", CHECKSUMS,
         PAYER, OWNER, needs=Capability.MULTIPART),
    row("AbortMultipartUpload", "DELETE object?uploadId", "AbortMultipartUpload",
         multipart.abort_multipart_upload, "UploadId", PAYER, OWNER, needs=Capability.MULTIPART),
    row("ListParts", "GET object?uploadId", "ListMultipartUploadParts", uploads.list_parts,
         "MaxParts PartNumberMarker UploadId", PAYER, OWNER, needs=Capability.MULTIPART),
)
# fmt: on
