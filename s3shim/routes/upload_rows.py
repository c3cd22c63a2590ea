"""The rows of uploads in parts, and of the upload by a form."""

from __future__ import annotations

from s3shim.backends.base import Capability
from s3shim.operations import copy, form, multipart, uploads
from s3shim.routes.row import BODY_DIGESTS, CHECKSUMS, OWNER, PAYER, SOURCE, SYSTEM_METADATA, row

# fmt: off
UPLOAD_ROWS = (
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
    row("PostObject", "POST bucket", "PutObject", form.post_object,
         "Key Body ACL Tagging Metadata StorageClass SuccessActionRedirect SuccessActionStatus Policy",
         "ContentMD5 ChecksumAlgorithm", CHECKSUMS, SYSTEM_METADATA, OWNER),
)
# fmt: on
