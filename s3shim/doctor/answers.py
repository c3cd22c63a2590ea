"""Refusals that say themselves what is wrong, before any signature is looked at."""

from __future__ import annotations

from s3shim.doctor.compare import Finding
from s3shim.doctor.evidence import Evidence

_ALWAYS = {
    "InvalidAccessKeyId": (
        "access-key",
        "The server does not know the access key {AWSAccessKeyId}: add it to the credentials file, or give "
        "the client one of the keys in it.",
    ),
    "RequestTimeTooSkewed": (
        "clock",
        "The client's clock said {RequestTime} when the server's said {ServerTime}, and they may differ by "
        "15 minutes: set both by NTP.",
    ),
    "InvalidToken": (
        "token",
        "The client sends a session token (x-amz-security-token), which belongs to temporary credentials "
        "that this server does not issue: remove AWS_SESSION_TOKEN, or the token in the client's profile.",
    ),
}

_BY_ELEMENT = {
    "HeadersNotSigned": (
        "header-added",
        "The server got headers that the client did not sign: {HeadersNotSigned}; let no proxy add x-amz-* "
        "headers, and let the client sign host.",
    ),
    "Region": (
        "region",
        "The client signed for another region than the server's, {Region}: set the client's region to it, or "
        "start s3shim with --region any.",
    ),
}

_BY_MESSAGE = {
    "Request has expired": (
        "expired",
        "The presigned URL ended at {Expires}, and it was {ServerTime}: make a new one with a longer life, "
        "and set both clocks by NTP.",
    ),
    "Request is not valid yet": (
        "clock",
        "The presigned URL is dated more than 15 minutes after the server's clock ({ServerTime}): set both "
        "clocks by NTP.",
    ),
    "AWS authentication requires a valid Date": (
        "date-missing",
        "The server got neither x-amz-date nor a valid Date: let no proxy remove them.",
    ),
    "The authorization mechanism you have provided is not supported": (
        "version-2",
        "The client signs with Signature Version 2, which is not served: set its signature version to 4 "
        "(boto3: signature_version='s3v4'; s3cmd: no --signature-v2; rclone: no v2_auth).",
    ),
    "the date of the Credential is not": (
        "date",
        "The day in the client's Credential is not that of x-amz-date: let no proxy change x-amz-date or "
        "Date.",
    ),
    "Missing required header for this request: x-amz-content-sha256": (
        "header-removed",
        "The server did not get x-amz-content-sha256, which every signed request has: let no proxy remove "
        "it.",
    ),
}


def explain(evidence: Evidence) -> Finding | None:
    """Return what the answer's code says, None where it takes more to know."""
    answer = evidence.answer
    chosen = _ALWAYS.get(answer.get("Code", ""))
    if answer.get("Code") != "SignatureDoesNotMatch":
        for element, made in _BY_ELEMENT.items():
            chosen = chosen or (made if element in answer else None)
        for text, made in _BY_MESSAGE.items():
            chosen = chosen or (made if text in answer.get("Message", "") else None)
    return Finding(chosen[0], chosen[1].format_map(_Told(answer))) if chosen else None


class _Told(dict[str, str]):
    def __missing__(self, name: str) -> str:
        return "(not told)"
