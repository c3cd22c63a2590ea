"""Who is asking: Signature Version 4 by header or by presigned URL, over the raw target, or by a form."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime

from s3shim import signing
from s3shim.auth import sigv4
from s3shim.auth.credentials import Credential, Credentials
from s3shim.auth.forms import enforce_policy, form_claim, form_mismatch, is_form_upload, read_form
from s3shim.auth.mismatch import log_mismatch
from s3shim.auth.sigv4 import Claim
from s3shim.errors import Code, S3Error
from s3shim.model import ANONYMOUS, Identity
from s3shim.wire.request import S3Request

MAX_SKEW = 900  # seconds

_SIGNATURE_ITEMS = frozenset({"x-amz-algorithm", "x-amz-credential", "x-amz-signature"})
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_FRAMINGS = {
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, False),
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True),
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, True),
}
"""Whether chunks are signed and whether trailers follow, by x-amz-content-sha256."""
_SIGNED_BY_V4A = "STREAMING-AWS4-ECDSA-"
_DECODED_LENGTH = "x-amz-decoded-content-length"
_LENGTH = re.compile("[0-9]{1,18}", re.ASCII)
_TRAILER = "x-amz-trailer"
_PAYLOAD = "x-amz-content-sha256"
_TOKEN = "x-amz-security-token"


class Authenticator:
    """Finds the identity behind a request and puts the payload hash on its body.

    ``region`` is the one that a credential scope must name, or "any". ``clock`` returns seconds
    since the epoch. A request with a bad credential is refused, never taken for an anonymous one.
    """

    def __init__(self, credentials: Credentials, region: str, clock: Callable[[], float] = time.time) -> None:
        self._credentials = credentials
        self._region = region
        self._clock = clock
        # An unknown access key costs the same work as a known one with a wrong signature.
        self._nobody = Credential("", os.urandom(40), "", "")

    def __call__(self, request: S3Request) -> Identity:
        """Return who signed the parsed ``request``; ANONYMOUS where nothing says that anybody did.

        Raises the codes of "Error Responses" for a signature that is missing parts, too old, not
        right, or of another version; NotImplemented for a body with chunks signed by SigV4A.
        """
        sent = request.sent
        if sent.count("authorization") > 1:
            raise S3Error(Code.InvalidArgument, "Only one Authorization header is allowed.")
        header = sent.get("authorization")
        if request.query.items and self._signed_by_query(request):
            if header and header.startswith("AWS"):
                raise S3Error(
                    Code.InvalidArgument, "Only one auth mechanism allowed.", ArgumentName="Authorization"
                )
            return self._by_query(request)
        if header is None:
            return self._by_form(request) if is_form_upload(request) else ANONYMOUS
        if not header:
            raise S3Error(Code.AccessDenied)
        return self._by_header(request, header)

    @staticmethod
    def _signed_by_query(request: S3Request) -> bool:
        names = request.query.names()
        return not _SIGNATURE_ITEMS.isdisjoint(map(str.lower, names)) or (
            "AWSAccessKeyId" in request.query and "Signature" in request.query
        )

    def _by_header(self, request: S3Request, header: str) -> Identity:
        claim = sigv4.parse_authorization(header)
        self._check_region(claim, Code.AuthorizationHeaderMalformed)
        claim.timestamp = self._timestamp(request)
        if claim.timestamp[:8] != claim.day:
            raise S3Error(
                Code.AuthorizationHeaderMalformed,
                "The authorization header is malformed; the date of the Credential is not the request's.",
            )
        payload = request.sent.get(_PAYLOAD)
        if payload is None:
            raise S3Error(
                Code.InvalidRequest, "Missing required header for this request: x-amz-content-sha256"
            )
        if _TOKEN in request.sent:
            raise S3Error(Code.InvalidToken)
        return self._verified(request, claim, payload, payload)

    def _by_query(self, request: S3Request) -> Identity:
        query, sent = request.query, request.sent
        if "AWSAccessKeyId" in query and not request.presigned:
            raise sigv4.version_2_refused()
        claim, expires = sigv4.parse_query(query.items)
        if _TOKEN in sent or _item(request, _TOKEN) is not None:
            raise S3Error(
                Code.AuthorizationQueryParametersError,
                "X-Amz-Security-Token belongs to temporary credentials only.",
            )
        self._check_region(claim, Code.AuthorizationQueryParametersError)
        self._check_life(claim, expires)
        in_query, in_header = _item(request, _PAYLOAD), sent.get(_PAYLOAD)
        if in_query is not None and in_header is not None and in_query != in_header:
            raise S3Error(Code.InvalidRequest, f"The header and the query parameter {_PAYLOAD} differ.")
        signed = in_query
        if signed is None and _PAYLOAD in claim.signed_headers.split(";"):
            signed = in_header
        stated = in_query or in_header or signing.UNSIGNED_PAYLOAD
        if _FRAMINGS.get(stated, (False, False))[0]:
            raise S3Error(Code.NotImplemented, "A presigned URL cannot have signed chunks.", Header=_PAYLOAD)
        return self._verified(request, claim, signed or signing.UNSIGNED_PAYLOAD, stated)

    def _by_form(self, request: S3Request) -> Identity:
        """Read the form up to its file; who has signed its policy may do what that allows."""
        form = read_form(request)
        claim = form_claim(form)
        if claim is None:
            return ANONYMOUS
        self._check_region(claim, Code.InvalidArgument)
        credential = self._credentials.get(claim.access_key, self._nobody)
        key = signing.signing_key(credential.secret, claim.day, claim.region)
        right = sigv4.same(signing.signature(key, form.fields["policy"]), claim.signature)
        if credential is self._nobody:
            raise sigv4.unknown_key(claim)
        if not right:
            raise form_mismatch(form, claim)
        enforce_policy(request, form, claim, self._clock())
        request.form = form
        return Identity(credential.account, credential.access_key, credential.display_name)

    def _verified(self, request: S3Request, claim: Claim, signed: str, stated: str) -> Identity:
        """Check the signature over the payload hash ``signed``, then put what ``stated`` says on the body."""
        digest = _payload_digest(stated)
        sent = request.sent
        if not sent.exact:
            names = set(claim.signed_headers.split(";"))
            sent.respell(names)
            if request.headers is not sent:
                request.headers.respell(names)
        sigv4.check_signed(claim.signed_headers, sent.names())
        headers = sent.mapping
        if headers.get("host") != request.host:
            headers = {**headers, "host": request.host}
        block = sigv4.canonical_headers(claim.signed_headers, headers)
        canonical = signing.canonical_request(
            request.method,
            sigv4.canonical_path(request.signed_path),
            sigv4.canonical_query(request.query.items) if request.query.items else "",
            sigv4.told_headers(claim.signed_headers, headers) if block is None else block,
            claim.signed_headers,
            signed,
        )
        text = signing.string_to_sign(claim.timestamp, claim.scope, canonical)
        credential = self._credentials.get(claim.access_key, self._nobody)
        key = signing.signing_key(credential.secret, claim.day, claim.region)
        right = sigv4.same(signing.signature(key, text), claim.signature)
        if credential is self._nobody:
            raise sigv4.unknown_key(claim)
        if not right or block is None:
            log_mismatch(request.id, claim, text, canonical)
            raise sigv4.mismatch(claim, text, canonical)

        chain = sigv4.ChunkChain(key, claim) if stated in _FRAMINGS else None
        _take_payload(request, stated, digest, chain)
        return credential.identity

    def _check_region(self, claim: Claim, code: Code) -> None:
        if self._region not in (claim.region, "any"):
            raise S3Error(
                code,
                f"The Credential is malformed; the region '{claim.region}' is wrong; "
                f"expecting '{self._region}'",
                Region=self._region,
            )

    def _timestamp(self, request: S3Request) -> str:
        """Return when the request was signed. Raises AccessDenied, RequestTimeTooSkewed."""
        timestamp = request.sent.get("x-amz-date")
        if timestamp is None:
            timestamp = sigv4.timestamp_of_date(request.sent.get("date") or "")
        seconds = sigv4.seconds_of(timestamp) if timestamp else None
        if timestamp is None or seconds is None or seconds < 0:
            raise S3Error(Code.AccessDenied, "AWS authentication requires a valid Date or x-amz-date header")
        now = self._clock()
        if abs(now - seconds) > MAX_SKEW:
            raise S3Error(
                Code.RequestTimeTooSkewed,
                RequestTime=timestamp,
                ServerTime=_iso(now),
                MaxAllowedSkewMilliseconds=MAX_SKEW * 1000,
            )
        return timestamp

    def _check_life(self, claim: Claim, expires: int) -> None:
        """Raise AccessDenied where a presigned URL has ended, or has not begun."""
        now = self._clock()
        began = sigv4.seconds_of(claim.timestamp) or 0
        if began - now > MAX_SKEW:
            raise S3Error(Code.AccessDenied, "Request is not valid yet", ServerTime=_iso(now))
        if now >= began + expires:
            raise S3Error(
                Code.AccessDenied,
                "Request has expired",
                Expires=_iso(began + expires),
                ServerTime=_iso(now),
            )


class OpenAccess:
    """Takes everybody for ``account``, whoever has signed and however; see Authenticator.

    A body is verified against what is stated of it all the same, but for the signatures of its chunks. Of a
    form the policy is not looked at.
    """

    def __init__(self, account: str) -> None:
        self._identity = Identity(account, "", account)

    def __call__(self, request: S3Request) -> Identity:
        """Return who everybody is. Raises what Authenticator does for a body that cannot be read."""
        if is_form_upload(request) and "authorization" not in request.sent:
            request.form = read_form(request)
        else:
            stated = request.sent.get(_PAYLOAD) or _item(request, _PAYLOAD) or signing.UNSIGNED_PAYLOAD
            _take_payload(request, stated, _payload_digest(stated), None)
        return self._identity


def _item(request: S3Request, name: str) -> str | None:
    """Return the query item ``name``, in whatever case it is spelled."""
    return next((value for spelled, value in request.query.items if spelled.lower() == name), None)


def _payload_digest(payload: str) -> bytes | None:
    """Return the SHA-256 that ``payload`` states, None where it states none; raise InvalidArgument."""
    if payload == signing.UNSIGNED_PAYLOAD or payload in _FRAMINGS:
        return None
    if payload.startswith(_SIGNED_BY_V4A):
        raise S3Error(Code.NotImplemented, Header=_PAYLOAD, AdditionalMessage=payload[:256])
    if not _HASH.fullmatch(payload):
        raise S3Error(
            Code.InvalidArgument,
            f"{_PAYLOAD} must be UNSIGNED-PAYLOAD, or a valid sha256 value.",
            ArgumentName=_PAYLOAD,
            ArgumentValue=payload[:256],
        )
    return bytes.fromhex(payload)


def _take_payload(
    request: S3Request, stated: str, digest: bytes | None, chain: sigv4.ChunkChain | None
) -> None:
    """Let the body be read as ``stated``, and verified by ``digest`` and ``chain`` where there are any.

    Raises MissingContentLength, InvalidRequest.
    """
    if digest is not None:
        request.body.expect_sha256(digest)
    elif stated in _FRAMINGS:
        _unframe(request, stated, chain)
    elif _TRAILER in request.sent:
        raise S3Error(Code.InvalidRequest, f"{_TRAILER} needs a payload in chunks with trailers.")


def _unframe(request: S3Request, payload: str, chain: sigv4.ChunkChain | None) -> None:
    """Let the body be read out of its chunks. Raises MissingContentLength, InvalidRequest."""
    signed, trailing = _FRAMINGS[payload]
    length = request.sent.get(_DECODED_LENGTH) or ""
    if not _LENGTH.fullmatch(length):
        raise S3Error(Code.MissingContentLength, f"You must provide {_DECODED_LENGTH}, a number of bytes.")
    if trailing != (_TRAILER in request.sent):
        raise S3Error(Code.InvalidRequest, f"{_TRAILER} does not fit {_PAYLOAD}.", Header=_TRAILER)
    request.body.unframe(int(length), chain if signed else None, trailing=trailing, signed=signed)


def _iso(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
