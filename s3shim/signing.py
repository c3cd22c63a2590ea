"""AWS Signature Version 4: from a canonical request to its signature, for who verifies and for who signs.

Source: "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API Reference.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import sha256

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "s3"
TERMINAL = "aws4_request"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"


def canonical_request(
    method: str, path: str, query: str, headers: str, signed_headers: str, payload: str
) -> bytes:
    """Return the canonical request; all parts but the method are canonical already."""
    # Header values are bytes as latin-1 text (PEP 3333): this gives the bytes that were signed.
    text = f"{method}\n{path}\n{query}\n{headers}\n{signed_headers}\n{payload}"
    return text.encode("latin-1", "replace")


def string_to_sign(timestamp: str, scope: str, canonical: bytes) -> str:
    """Return the string that is signed."""
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{sha256(canonical).hexdigest()}"


@lru_cache(maxsize=256)
def signing_key(secret: bytes, day: str, region: str, service: str = SERVICE) -> bytes:
    """Return the key that ``secret`` gives for a scope; it holds for a day, so it is kept."""
    key = b"AWS4" + secret
    for part in (day, region, service, TERMINAL):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def signature(key: bytes, text: str) -> str:
    """Return the signature of a string to sign, lower-case hex."""
    return hmac.digest(key, text.encode("latin-1", "replace"), "sha256").hex()
