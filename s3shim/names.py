"""The rules for bucket names and object keys.

Source: "Bucket naming rules" and "Naming Amazon S3 objects" in the Amazon S3 User Guide.
"""

from __future__ import annotations

import re

from s3shim.errors import Code, S3Error

MAX_KEY_BYTES = 1024

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_ADDRESS = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+", re.ASCII)
_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def is_bucket_name(name: str) -> bool:
    """Whether ``name`` is one that a general purpose bucket may have."""
    return not (
        not _BUCKET.fullmatch(name)
        or ".." in name
        or ".-" in name
        or "-." in name
        or _ADDRESS.fullmatch(name)
        or name.startswith(_PREFIXES)
        or name.endswith(_SUFFIXES)
    )


def check_bucket_name(name: str) -> None:
    """Raise InvalidBucketName unless ``is_bucket_name``."""
    if not is_bucket_name(name):
        raise S3Error(Code.InvalidBucketName, BucketName=name[:255])


def check_key(key: str) -> None:
    """Raise KeyTooLongError beyond 1,024 bytes of UTF-8, InvalidArgument for a NUL.

    A NUL is refused because the storages end a key with it; AWS accepts it.
    """
    size = len(key) if key.isascii() else len(key.encode())
    if size > MAX_KEY_BYTES:
        raise S3Error(Code.KeyTooLongError, Size=size, MaxSizeAllowed=MAX_KEY_BYTES)
    if "\0" in key:
        raise S3Error(Code.InvalidArgument, "Object key must not contain a NUL character.")


def shown(text: bytes | str) -> str:
    """Return a key or a name as visible ASCII on one line."""
    decoded = text if isinstance(text, str) else text.decode("utf-8", "backslashreplace")
    return decoded.encode("unicode_escape").decode("ascii")
