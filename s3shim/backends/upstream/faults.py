"""What the upstream's errors mean to our client: the table.

An upstream's doubt never becomes a 404, its refusal of our key never the client's 403. Source of the codes:
"Error Responses", Amazon S3 API Reference.
"""

from __future__ import annotations

import logging
import re
import ssl

from s3shim.backends.upstream.pool import NotConnected
from s3shim.errors import Code, S3Error

_log = logging.getLogger(__name__)

_ELEMENT = re.compile(rb"<(Code|Message)>([^<]{1,300})</")

_PASSED = {
    code.name: code
    for code in (
        Code.NoSuchKey,
        Code.NoSuchBucket,
        Code.NoSuchUpload,
        Code.PreconditionFailed,
        Code.InvalidRange,
        Code.BucketNotEmpty,
        Code.BucketAlreadyExists,
        Code.BucketAlreadyOwnedByYou,
        Code.EntityTooSmall,
        Code.EntityTooLarge,
        Code.InvalidPart,
        Code.InvalidPartOrder,
        Code.KeyTooLongError,
        Code.MetadataTooLarge,
        Code.NotImplemented,
        Code.SlowDown,
    )
}
"""The upstream's codes that mean to our client what they say."""

_BY_STATUS = {
    304: Code.NotModified,
    412: Code.PreconditionFailed,
    416: Code.InvalidRange,
    429: Code.SlowDown,
    501: Code.NotImplemented,
    503: Code.SlowDown,
    507: Code.InsufficientStorage,
}

_OURS = {
    301: "it wants another endpoint or region",
    307: "it wants another endpoint",
    401: "it refuses our key",
    403: "it refuses our key",
}
"""What only the operator can mend: InternalError for the client, a line in the log for him."""

_KEYS_REFUSED = frozenset(
    {
        "InvalidURI",
        "InvalidObjectName",
        "InvalidUtf8Str",
        "InvalidKey",
        "XMinioInvalidObjectName",
        "XMinioObjectExistsAsDirectory",
        # versitygw keeps objects as files, and what lies below a key as those of a directory
        "ObjectParentIsFile",
        "ExistingObjectIsDirectory",
        "DirectoryObjectContainsData",
    }
)

RETRIED = frozenset({429, 500, 502, 503, 504})


def error_of_reply(status: int, body: bytes, *, method: str, has_key: bool, logged: bool = True) -> S3Error:
    """Return what an answer beyond 2xx means. ``body`` is its beginning; that of a HEAD is empty."""
    found = {name: value.decode("utf-8", "replace") for name, value in reversed(_ELEMENT.findall(body))}
    name, message = found.get(b"Code", ""), found.get(b"Message", "")
    if name in _PASSED:
        return S3Error(_PASSED[name], UpstreamCode=name)
    if status == 404:
        if method == "HEAD":
            return S3Error(Code.NoSuchKey if has_key else Code.NoSuchBucket)
        # Something else than an S3 may have answered, a proxy for one: nothing is known then.
        return _ours(Code.ServiceUnavailable, status, name, message, logged)
    if name in _KEYS_REFUSED:
        return S3Error(Code.InvalidArgument, "The storage cannot keep an object by this key.")
    if status == 400 and name == "InvalidArgument":
        return S3Error(Code.InvalidArgument, "The storage refuses this request.")
    if name in ("OperationAborted", "ConditionalRequestConflict"):
        return S3Error(Code.SlowDown)
    if status in _BY_STATUS:
        return S3Error(_BY_STATUS[status])
    return _ours(Code.InternalError, status, name, message, logged)


def _ours(code: Code, status: int, name: str, message: str, logged: bool) -> S3Error:
    level = logging.ERROR if logged else logging.DEBUG
    _log.log(
        level,
        "the upstream's answer cannot be passed on: %s",
        _OURS.get(status, "it is not expected"),
        extra={"fields": {"status": status, "upstream_code": name[:100], "upstream_message": message[:200]}},
    )
    return S3Error(code, Upstream=name or str(status))


def error_of_failure(error: Exception) -> S3Error:
    """Return what a failed exchange means: the upstream away, too slow, not to be trusted, or cut off."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            _log.error("TLS with the upstream failed", extra={"fields": {"cause": str(cause)[:200]}})
            return S3Error(Code.ServiceUnavailable, "The storage's certificate cannot be verified.")
        cause = cause.__cause__ or cause.__context__
    if never_sent(error):
        return S3Error(Code.ServiceUnavailable, "The storage cannot be reached.")
    if timed_out(error):
        return S3Error(Code.ServiceUnavailable, "The storage does not answer in time.")
    return S3Error(Code.InternalError)


def timed_out(error: Exception) -> bool:
    """Whether the upstream let the time pass that it had to answer, or to take what is sent."""
    return isinstance(error, TimeoutError)


def never_sent(error: Exception) -> bool:
    """Whether the failure came before a byte of the request could leave."""
    return isinstance(error, NotConnected)


_KEY = "The storage refuses the key pair"
_REGION = "The storage is of another region."
_MEANINGS = {
    "InvalidAccessKeyId": f"{_KEY}: it does not know the access key.",
    "SignatureDoesNotMatch": f"{_KEY}: the secret key is another one.",
    "AccessDenied": f"{_KEY}, or it may not do this.",
    "InvalidToken": f"{_KEY}: the session token is no good.",
    "ExpiredToken": f"{_KEY}: the session token has expired.",
    "RequestTimeTooSkewed": "The clocks of this host and of the storage differ.",
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "401": f"{_KEY}.",
    "403": f"{_KEY}.",
}


def meaning_of(error: S3Error) -> str:
    """Return what an error of the upstream tells the operator."""
    return _MEANINGS.get(str(error.details.get("Upstream", "")), error.message)
