"""AWS Signature Version 4: what a request claims, and what its signature would have to be.

Pure functions over text and bytes; they know neither a request nor a credential. Source: "Authenticating
Requests (AWS Signature Version 4)", Amazon S3 API Reference. The path is taken as it was sent: S3,
unlike other services, never normalises ``.``, ``..`` and ``//``.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from urllib.parse import quote, unquote_to_bytes

from s3shim.errors import Code, S3Error
from s3shim.signing import ALGORITHM, SERVICE, TERMINAL, signature

_EMPTY_HASH = sha256(b"").hexdigest()

MAX_EXPIRES = 604_800  # seconds: seven days

_COMPONENTS = ("Credential", "SignedHeaders", "Signature")
_QUERY_ITEMS = (
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Signature",
    "X-Amz-Date",
    "X-Amz-SignedHeaders",
    "X-Amz-Expires",
)
_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_DAY = re.compile(r"[0-9]{8}")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._~/-]*")
_BLANKS = re.compile(r"[ \t]+")
_EXPIRES = re.compile(r"[0-9]{1,6}")
_MAX_REGION = 64
_ECHO = 256
_CANONICAL = 16 * 1024  # bytes of a canonical request that are told

# Sent by clients, caches and SDKs without a signature; date and payload hash are signed in their own right.
_MAY_BE_UNSIGNED = frozenset({"x-amz-date", "x-amz-content-sha256", "x-amz-user-agent", "x-amz-cf-id"})


@dataclass(slots=True)
class Claim:
    """What a request says of its signature: ``timestamp`` is ISO 8601 basic, the rest stands as sent."""

    access_key: str
    day: str
    region: str
    signed_headers: str
    signature: str
    timestamp: str = ""

    @property
    def scope(self) -> str:
        """The credential scope: day, region, service, terminal."""
        return f"{self.day}/{self.region}/{SERVICE}/{TERMINAL}"


def parse_authorization(value: str) -> Claim:
    """Read an Authorization header; its timestamp is still to be set.

    Raises InvalidRequest for Signature Version 2, InvalidArgument for any other scheme, and
    AuthorizationHeaderMalformed.
    """
    stem, comma, signature = value.rpartition(_SIGNATURE)
    if comma and len(stem) <= _STEM and "," not in signature and "=" not in signature:
        # One client says the same of all its requests of a day.
        return Claim(*_claimed(stem), signature)
    return Claim(*_components(value))


_SIGNATURE = ", Signature="
_STEM = 512  # characters of an Authorization header without its signature that are kept


@lru_cache(maxsize=1024)
def _claimed(stem: str) -> tuple[str, str, str, str]:
    return _components(f"{stem}{_SIGNATURE}-")[:4]


def _components(value: str) -> tuple[str, str, str, str, str]:
    scheme, _, rest = value.partition(" ")
    if scheme == "AWS":
        raise version_2_refused()
    if scheme != ALGORITHM:
        raise _bad_header("Unsupported Authorization Type")
    if ALGORITHM in rest:
        # A second header, which servers that know each name once join to the first.
        raise _bad_header("Only one Authorization header is allowed.")
    found: dict[str, str] = {}
    for component in rest.split(","):
        name, equals, content = component.strip(" \t").partition("=")
        if not equals or name not in _COMPONENTS or name in found:
            raise _malformed("the components have the form Name=value and each is there once")
        found[name] = content
    for name in _COMPONENTS:
        if name not in found:
            raise _malformed(f"the component {name} is missing")
    access_key, day, region = parse_credential(found["Credential"], Code.AuthorizationHeaderMalformed)
    return access_key, day, region, found["SignedHeaders"], found["Signature"]


def parse_query(items: Iterable[tuple[str, str]]) -> tuple[Claim, int]:
    """Read the decoded query items of a presigned URL; return the claim and its life in seconds.

    Raises AuthorizationQueryParametersError.
    """
    found: dict[str, str] = {}
    lower = {name.lower() for name in _QUERY_ITEMS}
    for name, value in items:
        if name.lower() not in lower:
            continue
        if name in found or name not in _QUERY_ITEMS:
            raise _bad_query(f"{name[:_ECHO]} is there twice or is not spelled as X-Amz-* parameters are.")
        found[name] = value
    missing = [name for name in _QUERY_ITEMS if not found.get(name)]
    if missing:
        raise _bad_query(f"Query-string authentication version 4 requires the parameter {missing[0]}.")
    if found["X-Amz-Algorithm"] != ALGORITHM:
        raise _bad_query(f'X-Amz-Algorithm only supports "{ALGORITHM}"')
    expires = found["X-Amz-Expires"]
    if not _EXPIRES.fullmatch(expires) or not 1 <= int(expires) <= MAX_EXPIRES:
        raise _bad_query(f"X-Amz-Expires must be a number from 1 to {MAX_EXPIRES} (seconds)")
    code = Code.AuthorizationQueryParametersError
    access_key, day, region = parse_credential(found["X-Amz-Credential"], code)
    timestamp = found["X-Amz-Date"]
    if seconds_of(timestamp) is None:
        raise _bad_query("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
    if timestamp[:8] != day:
        raise _bad_query("Invalid credential date. This date is not the same as X-Amz-Date.")
    signed, signature = found["X-Amz-SignedHeaders"], found["X-Amz-Signature"]
    return Claim(access_key, day, region, signed, signature, timestamp), int(expires)


def parse_credential(text: str, code: Code) -> tuple[str, str, str]:
    """Return (access key, day, region) of a Credential; raise ``code`` where it is malformed."""
    access_key, *scope = text.split("/")
    if len(scope) != 4 or not access_key:
        why = f'expecting "<access-key>/YYYYMMDD/REGION/{SERVICE}/{TERMINAL}"'
    elif scope[3] != TERMINAL:
        why = f'incorrect terminal, this endpoint uses "{TERMINAL}"'
    elif scope[2] != SERVICE:
        why = f'incorrect service, this endpoint belongs to "{SERVICE}"'
    elif not 1 <= len(scope[1]) <= _MAX_REGION:
        why = "the region is not valid"
    elif not _DAY.fullmatch(scope[0]):
        why = "the date must be in the format yyyyMMdd"
    else:
        return access_key, scope[0], scope[1]
    raise S3Error(code, f"The Credential is malformed; {why}.")


def version_2_refused() -> S3Error:
    """Return the answer to a request signed with Signature Version 2."""
    return S3Error(
        Code.InvalidRequest,
        f"The authorization mechanism you have provided is not supported. Please use {ALGORITHM}.",
    )


def _bad_header(message: str) -> S3Error:
    return S3Error(Code.InvalidArgument, message, ArgumentName="Authorization")


def _malformed(why: str) -> S3Error:
    return S3Error(Code.AuthorizationHeaderMalformed, f"The authorization header is malformed; {why}.")


def _bad_query(message: str) -> S3Error:
    return S3Error(Code.AuthorizationQueryParametersError, message)


@lru_cache(maxsize=64)
def seconds_of(timestamp: str) -> int | None:
    """Return an ISO 8601 basic timestamp as seconds since the epoch, None where it is not one."""
    if not _TIMESTAMP.fullmatch(timestamp):
        return None
    try:
        moment = datetime(
            int(timestamp[:4]),
            int(timestamp[4:6]),
            int(timestamp[6:8]),
            int(timestamp[9:11]),
            int(timestamp[11:13]),
            int(timestamp[13:15]),
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return int(moment.timestamp())


def timestamp_of_date(value: str) -> str | None:
    """Return the timestamp that stands for a Date header (RFC 9110 or ISO 8601 basic), None for no date."""
    if _TIMESTAMP.fullmatch(value):
        return value
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    # Not strftime: it does not fill the year to four digits.
    return moment.replace(tzinfo=None).isoformat(timespec="seconds").replace("-", "").replace(":", "") + "Z"


def canonical_path(path: str) -> str:
    """Return a raw path with every byte encoded in the one canonical way; ``%2F`` is not ``/``."""
    if _PLAIN_PATH.fullmatch(path):
        return path
    parts = path.encode("latin-1", "replace").split(b"/")
    return "/".join([quote(unquote_to_bytes(part), safe="") for part in parts])


def canonical_query(items: Iterable[tuple[str, str]]) -> str:
    """Return decoded query items in canonical form, without the signature itself."""
    signed = [item for item in items if item[0] != "X-Amz-Signature"]
    pairs = sorted([(quote(name, safe=""), quote(value, safe="")) for name, value in signed])
    return "&".join([f"{name}={value}" for name, value in pairs])


@lru_cache(maxsize=1024)
def signed_names(signed_headers: str) -> tuple[str, ...] | None:
    """Return the names in a SignedHeaders; None where they are not sorted, lower-case and unique."""
    names = signed_headers.split(";")
    return tuple(names) if all(low < high for low, high in pairwise(["", *names])) else None


def canonical_headers(signed_headers: str, headers: Mapping[str, str]) -> str | None:
    """Return the block of the signed headers, each line with its LF.

    None where ``signed_headers`` names an absent header, or is not sorted and unique: no signature over that
    is a right one. Raises InvalidArgument for a folded value.
    """
    names = signed_names(signed_headers)
    if names is None:
        return None
    try:
        block = "".join([f"{name}:{headers[name]}\n" for name in names])
    except KeyError:
        return None
    if block.count("\n") != len(names) or "\r" in block:
        folded = next(name for name in names if "\n" in headers[name] or "\r" in headers[name])
        raise S3Error(Code.InvalidArgument, "A header value must not be folded.", ArgumentName=folded)
    if "  " in block or "\t" in block or ": " in block or " \n" in block:
        block = "".join([f"{name}:{_BLANKS.sub(' ', headers[name]).strip(' ')}\n" for name in names])
    return block


def told_headers(signed_headers: str, headers: Mapping[str, str]) -> str:
    """Return a block that no signature is right over, for the error: an absent header has no value."""
    return "".join([f"{name}:{headers.get(name, '')}\n" for name in signed_headers.split(";")])


def check_signed(signed_headers: str, sent: Iterable[str]) -> None:
    """Raise AccessDenied unless host and every x-amz-* header in ``sent`` (lower case) are signed."""
    signed = _signed_set(signed_headers)
    unsigned = [
        name
        for name in sent
        if name.startswith("x-amz-") and name not in signed and name not in _MAY_BE_UNSIGNED
    ]
    if "host" not in signed:
        unsigned.append("host")
    if unsigned:
        raise S3Error(
            Code.AccessDenied,
            "There were headers present in the request which were not signed",
            HeadersNotSigned=", ".join(unsigned)[:_ECHO],
        )


@lru_cache(maxsize=1024)
def _signed_set(signed_headers: str) -> frozenset[str]:
    return frozenset(signed_headers.lower().split(";"))


class ChunkChain:
    """The signatures of a body in signed chunks: each covers the one before, the first the request's.

    Source: "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks"
    and "... Including Trailing Headers", Amazon S3 API Reference.
    """

    def __init__(self, key: bytes, claim: Claim) -> None:
        self._key = key
        self._stem = f"{claim.timestamp}\n{claim.scope}\n"
        self._last = claim.signature

    def chunk(self, digest: str) -> str:
        """Return the signature of the next chunk, whose data has the SHA-256 ``digest`` in hex."""
        return self._next("PAYLOAD", f"{_EMPTY_HASH}\n{digest}")

    def trailer(self, digest: str) -> str:
        """Return the signature of trailers whose canonical form has the SHA-256 ``digest`` in hex."""
        return self._next("TRAILER", digest)

    def _next(self, kind: str, what: str) -> str:
        self._last = signature(self._key, f"{ALGORITHM}-{kind}\n{self._stem}{self._last}\n{what}")
        return self._last


def same(computed: str, provided: str) -> bool:
    """Compare two signatures in constant time; ``provided`` may hold anything."""
    return hmac.compare_digest(computed.encode(), provided.encode("utf-8", "replace"))


def mismatch(claim: Claim, text: str, canonical: bytes) -> S3Error:
    """Return SignatureDoesNotMatch with what a developer needs to find the difference, as Amazon S3 does.

    The canonical request is what this side has seen, the signature itself is not among it.
    """
    return S3Error(
        Code.SignatureDoesNotMatch,
        AWSAccessKeyId=claim.access_key[:_ECHO],
        StringToSign=text[: 4 * _ECHO],
        SignatureProvided=claim.signature[:_ECHO],
        StringToSignBytes=text[: 4 * _ECHO].encode("latin-1", "replace").hex(" "),
        CanonicalRequest=canonical[:_CANONICAL].decode("latin-1"),
        CanonicalRequestBytes=canonical[:_CANONICAL].hex(" "),
    )


def unknown_key(claim: Claim) -> S3Error:
    """Return InvalidAccessKeyId."""
    return S3Error(Code.InvalidAccessKeyId, AWSAccessKeyId=claim.access_key[:_ECHO])
