"""How a row of the table is written, and the members that many rows honour."""

from __future__ import annotations

from s3shim.backends.base import Capability
from s3shim.routes.model import load
from s3shim.routes.operation import Handler, Operation

RENAME = Capability.RENAME

OWNER = "ExpectedBucketOwner"
PAYER = "RequestPayer"

CHECKSUMS = (
    "ChecksumCRC32 ChecksumCRC32C ChecksumCRC64NVME ChecksumSHA1 ChecksumSHA256 ChecksumSHA512 ChecksumMD5 "
    "ChecksumXXHASH64 ChecksumXXHASH3 ChecksumXXHASH128"
)
BODY_DIGESTS = f"ContentMD5 ChecksumAlgorithm {CHECKSUMS}"
SYSTEM_METADATA = "CacheControl ContentDisposition ContentEncoding ContentLanguage ContentType Expires"
SOURCE = (
    "CopySource CopySourceIfMatch CopySourceIfModifiedSince CopySourceIfNoneMatch "
    "CopySourceIfUnmodifiedSince ExpectedSourceBucketOwner"
)
READ_CONDITIONS = "IfMatch IfModifiedSince IfNoneMatch IfUnmodifiedSince"
OVERRIDES = (
    "ResponseCacheControl ResponseContentDisposition ResponseContentEncoding ResponseContentLanguage "
    "ResponseContentType ResponseExpires"
)
READ = f"{READ_CONDITIONS} Range PartNumber {OVERRIDES} VersionId ChecksumMode {PAYER} {OWNER}"
LIST = f"Delimiter EncodingType MaxKeys Prefix {PAYER} {OWNER} OptionalObjectAttributes"


def row(
    name: str,
    target: str,
    action: str,
    handler: Handler,
    *honours: str,
    needs: Capability = Capability.NONE,
) -> Operation:
    """Return a row; ``target`` is "METHOD scope" or "METHOD scope?selector"."""
    method, _, rest = target.partition(" ")
    scope, _, selector = rest.partition("?")
    members = frozenset(" ".join(honours).split())
    described = load().operations[name].members.values()
    takes_body = any(member.place in ("body", "form") for member in described)
    return Operation(
        name, scope, method, selector, handler, f"s3:{action}", needs, members, takes_body=takes_body
    )
