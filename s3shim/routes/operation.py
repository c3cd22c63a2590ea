"""What a row of the table is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from s3shim.backends.base import Backend, Capability
from s3shim.errors import Code, S3Error
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response

Handler = Callable[[Backend, S3Request], Response]

UNKNOWN = "Unknown"


@dataclass(slots=True)
class Operation:
    """One operation: how a request chooses it, who may, what answers it, and what it honours.

    ``scope`` is service, bucket or object. ``selector`` is the query parameter that chooses it, or
    empty. ``needs`` is what the backend must be able to do. ``honours`` are the members of the service
    model that the handler takes into account; all others are refused. A ``public`` operation is
    answered without authentication; one without ``takes_body`` has no use for the body of a request.
    """

    name: str
    scope: str
    method: str
    selector: str
    handler: Handler
    action: str
    needs: Capability = Capability.NONE
    honours: frozenset[str] = frozenset()
    public: bool = False
    takes_body: bool = True


def refusing(
    name: str,
    scope: str,
    action: str,
    error: S3Error,
    *,
    method: str = "",
    selector: str = "",
    public: bool = False,
) -> Operation:
    """Return an operation that answers ``error``.

    It is authorised like any other, so that a refusal tells nothing of another account's bucket.
    """
    error.__traceback__ = None  # its frames know the request, which will know this operation

    def refuse(backend: Backend, request: S3Request) -> Response:
        if action == CREATE_BUCKET:
            _check_owner(backend, request)
        raise S3Error(error.code, error.message, headers=error.headers, **error.details)

    return Operation(name, scope, method, selector, refuse, action, public=public)


CREATE_BUCKET = "s3:CreateBucket"


def _check_owner(backend: Backend, request: S3Request) -> None:
    # Leave to create a bucket is given without a look at the bucket, which may be another's.
    try:
        bucket = backend.head_bucket(request.bucket)
    except S3Error as error:
        if error.code is Code.NoSuchBucket:
            return
        raise
    if bucket.owner != request.identity.account:
        raise S3Error(Code.AccessDenied)


def not_implemented_header(name: str) -> S3Error:
    """Return the refusal of a header."""
    return S3Error(
        Code.NotImplemented,
        f"A header you provided implies functionality that is not implemented: {name[:100]}",
        Header=name[:100],
    )


def not_implemented_parameter(name: str) -> S3Error:
    """Return the refusal of a query parameter."""
    return S3Error(
        Code.NotImplemented,
        f"A parameter you provided implies functionality that is not implemented: {name[:100]}",
        ParameterName=name[:100],
    )
