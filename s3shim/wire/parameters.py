"""Values of query parameters."""

from __future__ import annotations

import re

from s3shim.errors import Code, S3Error

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_MAX_INTEGER = 2**31 - 1


def integer(value: str | None, name: str, *, default: int, least: int, most: int) -> int:
    """Return the number in a parameter: ``default`` where it was not sent, cut to ``most``.

    Raises InvalidArgument for text, for what is below ``least``, and beyond 32 bits.
    """
    if value is None:
        return default
    number = int(value) if _INTEGER.fullmatch(value) else -1
    if not least <= number <= _MAX_INTEGER:
        raise S3Error(
            Code.InvalidArgument,
            f"Provided {name} not an integer or within integer range",
            ArgumentName=name,
            ArgumentValue=value[:100],
        )
    return min(number, most)


def boolean(value: str | None, name: str) -> bool:
    """Return whether a parameter says true; raise InvalidArgument for anything but true and false."""
    if value is None or value.lower() == "false":
        return False
    if value.lower() == "true":
        return True
    raise S3Error(
        Code.InvalidArgument, f"Invalid value for {name}", ArgumentName=name, ArgumentValue=value[:100]
    )


def encoding_type(value: str | None) -> bool:
    """Return whether names shall be URL-encoded; raise InvalidArgument for anything but ``url``."""
    if value not in (None, "url"):
        raise S3Error(
            Code.InvalidArgument,
            "Invalid Encoding Method specified in Request",
            ArgumentName="encoding-type",
            ArgumentValue=(value or "")[:100],
        )
    return value == "url"
