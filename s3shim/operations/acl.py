"""ACLs as they are since 2023: the owner has full control and nothing else can be said.

Source: "Controlling ownership of objects and disabling ACLs", Amazon S3 User Guide
(BucketOwnerEnforced). Headers with another ACL are refused by the fence.
"""

from __future__ import annotations

from typing import Any

from s3shim.backends.base import Backend
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code, S3Error
from s3shim.wire.document import read_document
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response, xml_response
from s3shim.wire.xml import NAMESPACE, owner

_XSI = "http://www.w3.org/2001/XMLSchema-instance"


def get_bucket_acl(_backend: Backend, request: S3Request) -> Response:
    """GetBucketAcl: the owner's FULL_CONTROL."""
    return _acl(request)


def put_bucket_acl(_backend: Backend, request: S3Request) -> Response:
    """PutBucketAcl: accepts what changes nothing, refuses the rest."""
    _accept(request)
    return Response(200)


def get_object_acl(backend: Backend, request: S3Request) -> Response:
    """GetObjectAcl: the owner's FULL_CONTROL of an object that exists."""
    _require_object(backend, request)
    return _acl(request)


def put_object_acl(backend: Backend, request: S3Request) -> Response:
    """PutObjectAcl: accepts what changes nothing, refuses the rest; the object stays as it is."""
    _require_object(backend, request)
    _accept(request)
    return Response(200)


def _require_object(backend: Backend, request: S3Request) -> None:
    backend.head_object(request.ref, NO_CONDITIONS)


def _acl(request: S3Request) -> Response:
    grantee = owner(request.identity, "Grantee").replace(
        "<Grantee>", f'<Grantee xmlns:xsi="{_XSI}" xsi:type="CanonicalUser">', 1
    )
    return xml_response(
        f'<AccessControlPolicy xmlns="{NAMESPACE}">{owner(request.identity)}<AccessControlList><Grant>'
        f"{grantee}<Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>"
    )


def _accept(request: S3Request) -> None:
    policy = read_document(request, "AccessControlPolicy")
    canned = request.headers.get("x-amz-acl")
    if policy is None:
        if canned is None:
            raise S3Error(Code.MissingSecurityHeader, MissingHeaderName="x-amz-acl")
        return
    if canned is not None:
        raise S3Error(Code.UnexpectedContent)
    account = request.identity.account
    if _text(policy, "Owner", "ID") not in ("", account):
        raise S3Error(Code.AccessDenied)
    grants = policy.get("AccessControlList")
    grants = grants.get("Grant") if isinstance(grants, dict) else None
    if not grants:
        raise S3Error(Code.MalformedACLError)
    for grant in grants if isinstance(grants, list) else [grants]:
        if not isinstance(grant, dict) or "Grantee" not in grant or "Permission" not in grant:
            raise S3Error(Code.MalformedACLError)
        if grant["Permission"] != "FULL_CONTROL" or _text(grant, "Grantee", "ID") != account:
            raise S3Error(Code.AccessControlListNotSupported)


def _text(element: dict[str, Any], *path: str) -> str:
    found: Any = element
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found.strip() if isinstance(found, str) else ""
