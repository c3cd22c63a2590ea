"""Forms as browsers send them: made, signed and posted byte for byte."""

from __future__ import annotations

import hmac
import json
import time
from base64 import b64encode
from hashlib import sha256
from typing import Any

from tests.wire.answer import Answer
from tests.wire.client import BaseClient
from tests.wire.signing import stamp

BOUNDARY = "XX-boundary-XX"
TYPE = f"multipart/form-data; boundary={BOUNDARY}"
ANY_KEY = ["starts-with", "$key", ""]
KEY = {"key": "k"}
BUCKET = {"bucket": "full-bucket"}
ALLOWED: list[Any] = [ANY_KEY]

Field = tuple[str, str | bytes]


def expiration(seconds: float = 600) -> str:
    """Return a time from now as a policy has it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def encoded(document: Any) -> str:
    """Return a policy as a form carries it: bytes, text or what JSON can hold."""
    if isinstance(document, bytes):
        return b64encode(document).decode()
    text = document if isinstance(document, str) else json.dumps(document)
    return b64encode(text.encode()).decode()


def sign(policy: str, secret: str, day: str, region: str = "us-east-1") -> str:
    """Return the signature of a policy in base64."""
    key = b"AWS4" + secret.encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), sha256)
    return hmac.digest(key, policy.encode(), sha256).hex()


def signature_fields(
    client: BaseClient, policy: str, *, date: str | None = None, region: str = "us-east-1"
) -> dict[str, str]:
    """Return the fields with which ``client`` signs a policy that is in base64."""
    date = date or stamp(None)
    signer = client.signer
    return {
        "policy": policy,
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{signer.access_key}/{date[:8]}/{region}/s3/aws4_request",
        "x-amz-date": date,
        "x-amz-signature": sign(policy, signer.secret_key, date[:8], region),
    }


def signed_fields(
    client: BaseClient,
    bucket: str,
    fields: dict[str, str],
    conditions: list[Any] | None = None,
    *,
    date: str | None = None,
    policy: Any = None,
    expires: float = 600,
) -> dict[str, str]:
    """Return ``fields`` with what signs them.

    The policy is ``policy``, or allows the bucket, the signature's fields, and by ``conditions`` (the key as
    it likes) the rest.
    """
    date = date or stamp(None)
    unsigned = signature_fields(client, "", date=date)
    if policy is None:
        allowed = ALLOWED if conditions is None else conditions
        own = [{name: unsigned[name]} for name in ("x-amz-algorithm", "x-amz-credential", "x-amz-date")]
        policy = {
            "expiration": expiration(expires),
            "conditions": [{"bucket": bucket}, *own, *allowed],
        }
    return {**fields, **signature_fields(client, encoded(policy), date=date)}


def form_body(
    fields: dict[str, str] | list[Field],
    file: bytes = b"data",
    *,
    filename: str | None = "photo.jpg",
    after: bytes = b"",
    boundary: str = BOUNDARY,
) -> bytes:
    """Return a form; ``after`` are parts behind the file."""
    delimiter = b"--" + boundary.encode()
    parts = []
    for name, value in fields.items() if isinstance(fields, dict) else fields:
        content = value if isinstance(value, bytes) else value.encode()
        head = f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        parts.append(delimiter + b"\r\n" + head + content + b"\r\n")
    named = "" if filename is None else f'; filename="{filename}"'
    head = f'Content-Disposition: form-data; name="file"{named}\r\nContent-Type: image/jpeg\r\n\r\n'.encode()
    parts.append(delimiter + b"\r\n" + head + file + b"\r\n" + after)
    return b"".join(parts) + delimiter + b"--\r\n"


def post(client: BaseClient, target: str, body: bytes | Any, **headers: str) -> Answer:
    """Post a body to a bucket, as a form by default."""
    lines = {"Content-Type": TYPE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return client.request("POST", target, lines, body, sign=False)


def upload(
    client: BaseClient,
    bucket: str,
    fields: dict[str, str],
    conditions: list[Any] | None = None,
    file: bytes = b"data",
    **options: Any,
) -> Answer:
    """Sign and post a form; ``options`` are those of ``signed_fields`` and ``form_body``."""
    made = {name: options.pop(name) for name in ("filename", "after", "boundary") if name in options}
    body = form_body(signed_fields(client, bucket, fields, conditions, **options), file, **made)
    boundary = made.get("boundary", BOUNDARY)
    return post(client, f"/{bucket}", body, Content_Type=f"multipart/form-data; boundary={boundary}")
