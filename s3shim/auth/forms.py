"""Signature Version 4 in the fields of a form: the policy is what is signed.

Source: "Authenticating Requests in Browser-Based Uploads Using POST", Amazon S3 API Reference.
"""

from __future__ import annotations

from s3shim import signing
from s3shim.auth import sigv4
from s3shim.auth.sigv4 import Claim
from s3shim.errors import Code, S3Error
from s3shim.names import check_key
from s3shim.post_policy import parse_post_policy
from s3shim.wire.form import Form, boundary_of
from s3shim.wire.request import S3Request

_SIGNATURE_FIELDS = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Signature")
_ECHO = 256


def is_form_upload(request: S3Request) -> bool:
    """Whether the request is a PostObject: nothing else is a POST to a bucket without a query."""
    return request.method == "POST" and bool(request.bucket) and not request.key and not request.query_string


def read_form(request: S3Request) -> Form:
    """Read the fields of a form upload; from here on the request's body is the file, its key the form's.

    Raises what ``boundary_of``, ``RequestBody.open_form`` and ``check_key`` raise, and InvalidArgument
    without a key.
    """
    form = request.body.open_form(boundary_of(request.sent.get("content-type") or ""))
    key = form.fields.get("key")
    if key is None:
        raise _missing("key")
    if not key:
        raise _bad("key", key, "User key must have a length greater than 0.")
    check_key(key)
    request.key = key
    return form


def form_claim(form: Form) -> Claim | None:
    """Return what the form says of its signature, None where it says nothing: then nobody has signed it.

    Raises InvalidArgument where something is missing or bad, InvalidRequest for Signature Version 2,
    InvalidToken for temporary credentials.
    """
    fields = form.fields
    if "awsaccesskeyid" in fields or "signature" in fields:
        raise sigv4.version_2_refused()
    missing = [name for name in _SIGNATURE_FIELDS if name.lower() not in fields]
    if len(missing) == len(_SIGNATURE_FIELDS):
        return None
    if missing or "policy" not in fields:
        raise _missing(missing[0] if missing else "Policy")
    if "x-amz-security-token" in fields:
        raise S3Error(Code.InvalidToken)
    algorithm, credential, date, signature = (fields[name.lower()] for name in _SIGNATURE_FIELDS)
    if algorithm != signing.ALGORITHM:
        raise _bad("X-Amz-Algorithm", algorithm, f'X-Amz-Algorithm only supports "{signing.ALGORITHM}"')
    access_key, day, region = sigv4.parse_credential(credential, Code.InvalidArgument)
    if sigv4.seconds_of(date) is None or date[:8] != day:
        raise _bad(
            "X-Amz-Date", date, "X-Amz-Date must be in the ISO8601 basic format, of the credential's day."
        )
    return Claim(access_key, day, region, "", signature, date)


def form_mismatch(form: Form, claim: Claim) -> S3Error:
    """Return SignatureDoesNotMatch with the policy as it was signed."""
    policy = form.fields["policy"]
    return S3Error(
        Code.SignatureDoesNotMatch,
        AWSAccessKeyId=claim.access_key[:_ECHO],
        StringToSign=policy,
        SignatureProvided=claim.signature[:_ECHO],
        StringToSignBytes=policy.encode().hex(" "),
    )


def enforce_policy(request: S3Request, form: Form, claim: Claim, now: float) -> None:
    """Hold the form against its policy; let the body demand the size of the file.

    ``now`` is in seconds since the epoch. A signature holds for seven days, whatever the policy says. Raises
    InvalidPolicyDocument, AccessDenied.
    """
    policy = parse_post_policy(form.fields["policy"])
    lifetime = ((sigv4.seconds_of(claim.timestamp) or 0) + sigv4.MAX_EXPIRES) * 1000
    policy.expiration = min(policy.expiration, lifetime)
    policy.check({**form.fields, "bucket": request.bucket}, int(now * 1000))
    request.body.least = policy.least
    if policy.most is not None:
        request.body.limit = min(request.body.limit, policy.most)


def _missing(name: str) -> S3Error:
    return _bad(
        name,
        "",
        f"Bucket POST must contain a field named '{name}'.  "
        "If it is specified, please check the order of the fields.",
    )


def _bad(name: str, value: str, message: str) -> S3Error:
    return S3Error(Code.InvalidArgument, message, ArgumentName=name, ArgumentValue=value[:_ECHO])
