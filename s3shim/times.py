"""Times as text: ISO 8601 in UTC with milliseconds, in S3's documents and in the log."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

_MILLISECONDS = [f".{number:03d}Z" for number in range(1000)]


def timestamp(milliseconds: int) -> str:
    """Return a time, milliseconds since the epoch, as ``2006-01-02T15:04:05.000Z``."""
    seconds, rest = divmod(milliseconds, 1000)
    return _second(seconds) + _MILLISECONDS[rest]


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def milliseconds(text: str) -> int:
    """Return the milliseconds since the epoch of an RFC 3339 time in UTC, with any number of decimals.

    Raises ValueError.
    """
    whole, _, rest = text.removesuffix("Z").partition(".")
    second = datetime.fromisoformat(f"{whole}+00:00")
    return int(second.timestamp()) * 1000 + (int(rest[:3].ljust(3, "0")) if rest else 0)
