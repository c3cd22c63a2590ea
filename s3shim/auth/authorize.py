"""May they: the owner may do everything with a bucket, nobody else anything."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.errors import Code, S3Error
from s3shim.wire.request import S3Request


def authorize(request: S3Request, backend: Backend, action: str) -> None:
    """Let the request pass, or raise.

    ``action`` is the permission's name ("s3:GetObject"). Raises AccessDenied for an anonymous
    request, for a bucket of another account, and where x-amz-expected-bucket-owner names another
    owner; NoSuchBucket. What exists is never told to an anonymous caller: the backend is not asked.
    """
    account = request.identity.account
    if not account:
        overrides = any(name.startswith("response-") for name in request.query.names())
        if overrides and request.method in ("GET", "HEAD"):
            raise S3Error(
                Code.InvalidRequest,
                "Request specific response headers cannot be used for anonymous GET requests.",
            )
        raise S3Error(Code.AccessDenied)
    if not request.bucket:
        return
    owner = account
    headers = request.headers
    if action != "s3:CreateBucket":
        owner = backend.bucket_owner(request.bucket)
    _check_owner(account, owner, headers.get("x-amz-expected-bucket-owner"))

    # It does not know the request, which knows it: circles are for the collector.
    def authorize_source(action: str, bucket: str) -> None:
        expected = headers.get("x-amz-source-expected-bucket-owner")
        _check_owner(account, backend.bucket_owner(bucket), expected)

    request.authorize = authorize_source


def _check_owner(account: str, owner: str, expected: str | None) -> None:
    if owner != account or (expected is not None and expected != owner):
        raise S3Error(Code.AccessDenied)
