"""What the log keeps of a signature that does not match: enough for ``s3shim doctor``, nothing to replay.

The signature may be right for the request as the client sent it before a proxy changed it, so its digest is
logged and not the signature: a candidate can be compared with it, and it opens nothing.
"""

from __future__ import annotations

import logging
from hashlib import sha256

from s3shim.auth.sigv4 import Claim

HIDDEN = "(hidden)"
"""Stands in the log for the value of a header that is a secret itself."""

SECRET_HEADERS = frozenset(
    {
        "x-amz-server-side-encryption-customer-key",
        "x-amz-copy-source-server-side-encryption-customer-key",
        "x-amz-security-token",
        "cookie",
        "proxy-authorization",
    }
)
_LOGGED = 16 * 1024  # characters of a canonical request

log = logging.getLogger(__name__)


def log_mismatch(request_id: str, claim: Claim, text: str, canonical: bytes) -> None:
    """Write a line at level debug: the string to sign, and the canonical request as this side has seen it."""
    if not log.isEnabledFor(logging.DEBUG):
        return
    lines = canonical[:_LOGGED].decode("latin-1").split("\n")
    fields = {
        "request_id": request_id,
        "access_key": claim.access_key[:128],
        "signature_sha256": sha256(claim.signature.encode("utf-8", "replace")).hexdigest(),
        "string_to_sign": text[:1024],
        "canonical_request": "\n".join(map(_hidden, lines)),
    }
    log.debug("signature mismatch", extra={"fields": fields})


def _hidden(line: str) -> str:
    name, colon, _ = line.partition(":")
    return f"{name}:{HIDDEN}" if colon and name in SECRET_HEADERS else line
