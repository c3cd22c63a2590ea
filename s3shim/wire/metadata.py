"""The metadata of an object, between headers and record.

Values are kept as the bytes that came (as latin-1 text, WSGI's form), so UTF-8, latin-1 and RFC 2047
words all come back as they were sent.

Source: "Working with object metadata", Amazon S3 User Guide: 2 KB of user-defined and 2 KB of
system-defined metadata.
"""

from __future__ import annotations

import re

from s3shim.errors import Code, S3Error
from s3shim.model import ObjectMeta
from s3shim.wire.request import Headers
from s3shim.wire.tags import parse_tagging_header

MAX_USER_METADATA = 2048
MAX_SYSTEM_METADATA = 2048

USER_PREFIX = "x-amz-meta-"
SYSTEM_HEADERS = {
    "cache-control": "Cache-Control",
    "content-disposition": "Content-Disposition",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "expires": "Expires",
}

# What RFC 9110, 5.5 does not allow in a field value.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")


def header_value(value: str, name: str) -> str:
    """Return text as a header value in WSGI's form; raise InvalidArgument for control characters."""
    if _CONTROL.search(value):
        raise S3Error(Code.InvalidArgument, "A header value holds a control character.", ArgumentName=name)
    if value.isascii():
        return value
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode().decode("latin-1")
    return value


def read_metadata(headers: Headers) -> ObjectMeta:
    """Return the metadata in the headers of a request.

    Raises InvalidTag, InvalidArgument for control characters, and MetadataTooLarge beyond 2,048 bytes of
    either user-defined (names and values) or system-defined metadata.
    """
    meta = ObjectMeta()
    tagging = headers.get("x-amz-tagging")
    if tagging is not None:
        meta.tags = parse_tagging_header(tagging)
    user_size = system_size = 0
    for name, value in headers.items():
        if name.startswith(USER_PREFIX):
            rest = name[len(USER_PREFIX) :]
            if not rest:
                raise S3Error(Code.InvalidArgument, "A metadata header has no name.", ArgumentName=name)
            meta.user[rest] = header_value(value, name)
            user_size += len(rest) + len(meta.user[rest])
        elif name in SYSTEM_HEADERS and value:
            if name == "content-encoding":
                value = _without_framing(value)
                if not value:
                    continue
            meta.system[name] = header_value(value, name)
            system_size += len(value)
        elif name == "content-type" and value:
            meta.content_type = header_value(value, name)
            system_size += len(value)
    if user_size > MAX_USER_METADATA:
        raise S3Error(Code.MetadataTooLarge, Size=user_size, MaxSizeAllowed=MAX_USER_METADATA)
    if system_size > MAX_SYSTEM_METADATA:
        raise S3Error(Code.MetadataTooLarge, Size=system_size, MaxSizeAllowed=MAX_SYSTEM_METADATA)
    return meta


def refuse_metadata(meta: ObjectMeta) -> None:
    """Raise InvalidRequest for metadata where it would be of no effect; SDKs send a Content-Type unasked."""
    if meta.user or meta.system or meta.tags:
        raise S3Error(
            Code.InvalidRequest, "Metadata and tags of an object do not change where it is appended to."
        )


def _without_framing(encodings: str) -> str:
    """Return Content-Encoding without aws-chunked, which is of the transfer and not of the object."""
    if "aws-chunked" not in encodings.lower():
        return encodings
    names = [name.strip(" \t") for name in encodings.split(",")]
    return ", ".join([name for name in names if name.lower() != "aws-chunked"])
