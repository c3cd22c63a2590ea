"""S3's errors: one table of codes, one exception.

Codes, statuses and messages follow the "Error Responses" page of the Amazon S3 API Reference;
a code that AWS does not have says so beside its line.
"""

from __future__ import annotations

import errno
from enum import Enum
from typing import Any


class Code(Enum):
    """Every error code that s3shim answers: ``NAME = (HTTP status, default message)``."""

    AccessControlListNotSupported = (400, "The bucket does not allow ACLs")
    AccessDenied = (403, "Access Denied")
    AccessForbidden = (403, "CORSResponse: CORS is not enabled for this bucket.")
    AuthorizationHeaderMalformed = (400, "The authorization header that you provided is not valid.")
    AuthorizationQueryParametersError = (400, "The authorization query parameters are not valid.")
    BadDigest = (400, "The Content-MD5 or checksum you specified did not match what we received.")
    BadRequest = (400, "The request could not be understood.")
    BucketAlreadyExists = (409, "The requested bucket name is not available. Select a different name.")
    BucketAlreadyOwnedByYou = (409, "The bucket that you tried to create already exists, and you own it.")
    BucketNotEmpty = (409, "The bucket that you tried to delete is not empty.")
    ConditionalRequestConflict = (
        409,
        "The conditional request cannot succeed due to a conflicting operation against this resource.",
    )
    EntityTooSmall = (400, "Your proposed upload is smaller than the minimum allowed object size.")
    EntityTooLarge = (400, "Your proposed upload exceeds the maximum allowed object size.")
    ExpectationFailed = (417, "The Expect header cannot be met.")  # RFC 9110, 15.5.18
    IdempotencyParameterMismatch = (
        400,
        "Parameters on this idempotent request are inconsistent with those of a previous request.",
    )
    IllegalLocationConstraintException = (400, "The location constraint does not fit this endpoint.")
    IncompleteBody = (400, "The body is shorter than the Content-Length header says.")
    InsufficientStorage = (507, "There is not enough free space to store the request.")  # RFC 4918, 11.5
    InternalError = (500, "An internal error occurred. Try again.")
    InvalidAccessKeyId = (403, "The AWS access key ID that you provided does not exist in our records.")
    InvalidArgument = (400, "Invalid Argument")
    InvalidBucketName = (400, "The specified bucket is not valid.")
    InvalidChunkSizeError = (403, "Only the last chunk is allowed to have a size less than 8192 bytes")
    InvalidDigest = (400, "The Content-MD5 or checksum value that you specified is not valid.")
    InvalidPart = (400, "One or more of the specified parts could not be found or its ETag differs.")
    InvalidPartNumber = (416, "The requested partnumber is not satisfiable")
    InvalidPartOrder = (400, "The list of parts was not in ascending order.")
    InvalidPolicyDocument = (
        400,
        "The content of the form does not meet the conditions of the policy document.",
    )
    InvalidRange = (416, "The requested range cannot be satisfied.")
    InvalidRequest = (400, "The request is not valid.")
    InvalidStorageClass = (400, "The storage class that you specified is not valid.")
    InvalidTag = (400, "The tag that you provided was not valid.")
    InvalidToken = (400, "The provided token is malformed or otherwise not valid.")
    InvalidURI = (400, "The specified URI couldn't be parsed.")
    InvalidWriteOffset = (400, "The write offset value that you specified does not match the object size.")
    KeyTooLongError = (400, "Your key is too long.")
    MalformedACLError = (400, "The ACL that you provided was not well formed or did not validate.")
    MalformedPOSTRequest = (400, "The body of your POST request is not well-formed multipart/form-data.")
    MalformedTrailerError = (400, "The request contained trailing data that was not well-formed.")
    MalformedXML = (400, "The XML you provided was not well-formed or did not validate.")
    MaxMessageLengthExceeded = (400, "Your request was too large.")
    MaxPostPreDataLengthExceededError = (
        400,
        "Your POST request fields preceding the upload file were too large.",
    )
    MetadataTooLarge = (400, "Your metadata headers exceed the maximum allowed metadata size.")
    MethodNotAllowed = (405, "The specified method is not allowed against this resource.")
    MissingContentLength = (411, "You must provide the Content-Length HTTP header.")
    MissingSecurityHeader = (400, "Your request was missing a required header.")
    NoSuchBucket = (404, "The specified bucket does not exist.")
    NoSuchBucketPolicy = (404, "The bucket policy does not exist")
    NoSuchCORSConfiguration = (404, "The CORS configuration does not exist")
    NoSuchKey = (404, "The specified key does not exist.")
    NoSuchLifecycleConfiguration = (404, "The lifecycle configuration does not exist")
    NoSuchPublicAccessBlockConfiguration = (404, "The public access block configuration was not found")
    NoSuchTagSet = (404, "The TagSet does not exist")
    NoSuchUpload = (404, "The specified multipart upload does not exist.")
    NoSuchVersion = (404, "The version ID specified in the request does not match an existing version.")
    NoSuchWebsiteConfiguration = (404, "The specified bucket does not have a website configuration")
    NotImplemented = (501, "A header or parameter implies functionality that is not implemented.")
    NotModified = (304, "Not Modified")
    ObjectLockConfigurationNotFoundError = (404, "Object Lock configuration does not exist for this bucket")
    PreconditionFailed = (412, "At least one of the preconditions that you specified did not hold.")
    ReplicationConfigurationNotFoundError = (404, "The replication configuration was not found")
    RequestHeaderSectionTooLarge = (400, "Your request header section exceeds the maximum allowed size.")
    RequestTimeTooSkewed = (403, "The request time differs too much from the server's time.")
    RequestTimeout = (400, "Your socket connection to the server was not read from or written to in time.")
    ServerSideEncryptionConfigurationNotFoundError = (404, "There is no encryption configuration.")
    ServiceUnavailable = (503, "Service is unable to handle request.")
    SignatureDoesNotMatch = (403, "The signature we calculated does not match the one you provided.")
    SlowDown = (503, "Please reduce your request rate.")
    TooManyBuckets = (400, "You have attempted to create more buckets than are allowed.")
    TooManyParts = (400, "You have attempted to add more parts than the 10,000 that an object may have.")
    URITooLong = (414, "The request target is too long.")  # RFC 9110, 15.5.15
    UnexpectedContent = (400, "This request contains unsupported content.")
    XAmzContentSHA256Mismatch = (400, "The x-amz-content-sha256 header is not what was computed.")

    @property
    def status(self) -> int:
        """The HTTP status, an int."""
        return self.value[0]

    @property
    def message(self) -> str:
        """The message that is sent where the place of the error gives none."""
        return self.value[1]


class S3Error(Exception):
    """The one exception that means an S3 error answer.

    ``details`` become elements of the error document (``Region="eu-west-1"`` is
    ``<Region>eu-west-1</Region>``); ``headers`` become response headers (Allow, Content-Range, ETag).
    """

    def __init__(
        self,
        code: Code,
        message: str | None = None,
        *,
        headers: dict[str, str] | None = None,
        **details: Any,
    ) -> None:
        super().__init__(code.name)
        self.code = code
        self.message = message or code.message
        self.headers = headers or {}
        self.details = details

    @property
    def status(self) -> int:
        """The HTTP status, an int."""
        return self.code.status


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""The errnos of a disk, a quota or a file that is full."""

_CODES = {
    **dict.fromkeys(FULL, Code.InsufficientStorage),
    errno.EMFILE: Code.SlowDown,
    errno.ENFILE: Code.SlowDown,
    errno.EROFS: Code.ServiceUnavailable,
    errno.ENOMEM: Code.ServiceUnavailable,
    errno.EAGAIN: Code.ServiceUnavailable,
    errno.EINTR: Code.ServiceUnavailable,
    errno.ENOLCK: Code.ServiceUnavailable,
}


def error_of(error: OSError | MemoryError) -> S3Error:
    """Return what the client is told of an error of the system: InternalError where nothing else fits."""
    if isinstance(error, MemoryError):
        return S3Error(Code.ServiceUnavailable)
    return S3Error(_CODES.get(error.errno or 0, Code.InternalError))
