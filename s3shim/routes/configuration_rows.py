"""The rows of the operations on a bucket's configuration; most of it cannot be set yet."""

from __future__ import annotations

from s3shim.errors import Code
from s3shim.operations import cors
from s3shim.operations.configuration import by_default, never_set, without_object_lock
from s3shim.routes.row import BODY_DIGESTS, OWNER, PAYER, row

# fmt: off
_ENFORCED = "<Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule>"
_NO_POLICY = never_set(Code.NoSuchBucketPolicy)

CONFIGURATION_ROWS = (
    row("GetBucketPolicy", "GET bucket?policy", "GetBucketPolicy", _NO_POLICY, OWNER),
    row("GetBucketPolicyStatus", "GET bucket?policyStatus", "GetBucketPolicyStatus", _NO_POLICY, OWNER),
    row("GetBucketCors", "GET bucket?cors", "GetBucketCORS", cors.get_bucket_cors, OWNER),
    row("PutBucketCors", "PUT bucket?cors", "PutBucketCORS", cors.put_bucket_cors,
         "CORSConfiguration", BODY_DIGESTS, OWNER),
    row("DeleteBucketCors", "DELETE bucket?cors", "PutBucketCORS", cors.delete_bucket_cors, OWNER),
    row("GetBucketLifecycleConfiguration", "GET bucket?lifecycle", "GetLifecycleConfiguration",
         never_set(Code.NoSuchLifecycleConfiguration), OWNER),
    row("GetBucketTagging", "GET bucket?tagging", "GetBucketTagging", never_set(Code.NoSuchTagSet), OWNER),
    row("GetBucketEncryption", "GET bucket?encryption", "GetEncryptionConfiguration",
         never_set(Code.ServerSideEncryptionConfigurationNotFoundError), OWNER),
    row("GetObjectLockConfiguration", "GET bucket?object-lock", "GetBucketObjectLockConfiguration",
         never_set(Code.ObjectLockConfigurationNotFoundError), OWNER),
    row("GetBucketOwnershipControls", "GET bucket?ownershipControls", "GetBucketOwnershipControls",
         by_default("OwnershipControls", _ENFORCED), OWNER),
    row("GetBucketWebsite", "GET bucket?website", "GetBucketWebsite",
         never_set(Code.NoSuchWebsiteConfiguration), OWNER),
    row("GetBucketLogging", "GET bucket?logging", "GetBucketLogging",
         by_default("BucketLoggingStatus"), OWNER),
    row("GetBucketNotificationConfiguration", "GET bucket?notification", "GetBucketNotification",
         by_default("NotificationConfiguration"), OWNER),
    row("GetBucketReplication", "GET bucket?replication", "GetReplicationConfiguration",
         never_set(Code.ReplicationConfigurationNotFoundError), OWNER),
    row("GetBucketRequestPayment", "GET bucket?requestPayment", "GetBucketRequestPayment",
         by_default("RequestPaymentConfiguration", "<Payer>BucketOwner</Payer>"), OWNER),
    row("GetBucketAccelerateConfiguration", "GET bucket?accelerate", "GetAccelerateConfiguration",
         by_default("AccelerateConfiguration"), PAYER, OWNER),
    row("GetPublicAccessBlock", "GET bucket?publicAccessBlock", "GetBucketPublicAccessBlock",
         never_set(Code.NoSuchPublicAccessBlockConfiguration), OWNER),
    row("GetObjectLegalHold", "GET object?legal-hold", "GetObjectLegalHold", without_object_lock,
         "VersionId", PAYER, OWNER),
    row("GetObjectRetention", "GET object?retention", "GetObjectRetention", without_object_lock,
         "VersionId", PAYER, OWNER),
)
# fmt: on
