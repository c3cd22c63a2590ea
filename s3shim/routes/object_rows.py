"""The rows of the operations on objects."""

from __future__ import annotations

from s3shim.operations import acl, attributes, copy, reading, rename, tagging
from s3shim.operations import object as objects
from s3shim.routes.row import BODY_DIGESTS, OWNER, PAYER, READ, RENAME, SOURCE, SYSTEM_METADATA, row

# fmt: off
OBJECT_ROWS = (
    row("GetObjectAcl", "GET object?acl", "GetObjectAcl", acl.get_object_acl, "VersionId", PAYER, OWNER),
    row("PutObjectAcl", "PUT object?acl", "PutObjectAcl", acl.put_object_acl,
         "ACL AccessControlPolicy VersionId", BODY_DIGESTS, PAYER, OWNER),
    row("PutObject", "PUT object", "PutObject", objects.put_object,
         "Body ContentLength Metadata Tagging IfMatch IfNoneMatch WriteOffsetBytes ACL StorageClass",
         SYSTEM_METADATA, BODY_DIGESTS, PAYER, OWNER),
    row("GetObject", "GET object", "GetObject", reading.get_object, READ),
    row("HeadObject", "HEAD object", "GetObject", reading.head_object, READ),
    row("GetObjectAttributes", "GET object?attributes", "GetObjectAttributes",
         attributes.get_object_attributes,
         "ObjectAttributes MaxParts PartNumberMarker VersionId", PAYER, OWNER),
    row("DeleteObject", "DELETE object", "DeleteObject", objects.delete_object,
         "VersionId IfMatch IfMatchSize IfMatchLastModifiedTime", PAYER, OWNER),
    row("CopyObject", "PUT object", "PutObject", copy.copy_object,
         "Metadata MetadataDirective Tagging TaggingDirective IfMatch IfNoneMatch ACL StorageClass",
         SOURCE, SYSTEM_METADATA, PAYER, OWNER),
    row("RenameObject", "PUT object?renameObject", "PutObject", rename.rename_object,
         "RenameSource SourceIfMatch SourceIfNoneMatch SourceIfModifiedSince SourceIfUnmodifiedSince",
         "DestinationIfMatch DestinationIfNoneMatch DestinationIfModifiedSince DestinationIfUnmodifiedSince",
         "ClientToken", OWNER, needs=RENAME),
    row("GetObjectTagging", "GET object?tagging", "GetObjectTagging", tagging.get_object_tagging,
         "VersionId", PAYER, OWNER),
    row("PutObjectTagging", "PUT object?tagging", "PutObjectTagging", tagging.put_object_tagging,
         "VersionId Tagging", BODY_DIGESTS, PAYER, OWNER),
    row("DeleteObjectTagging", "DELETE object?tagging", "DeleteObjectTagging",
         tagging.delete_object_tagging, "VersionId", OWNER),
)
# fmt: on
