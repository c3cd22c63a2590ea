"""Byte ranges (RFC 9110, section 14), in S3's reading of them.

One range only: several ranges, another unit or a malformed value mean the whole object with 200; a
range that begins beyond the end is InvalidRange.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from s3shim.errors import Code, S3Error

_RANGE = re.compile(r"bytes=(?:([0-9]{1,64})-([0-9]{0,64})|-([0-9]{1,64}))", re.ASCII | re.IGNORECASE)


@dataclass(slots=True)
class ByteRange:
    """``first``-``last``, inclusive; ``first`` None is a suffix of ``last`` bytes, ``last`` None is open."""

    first: int | None
    last: int | None

    def resolve(self, size: int) -> tuple[int, int]:
        """Return (start, length) within an object of ``size`` bytes, or raise InvalidRange."""
        if self.first is None:
            length = min(self.last or 0, size)
            start = size - length
        else:
            start = self.first
            last = size - 1 if self.last is None else min(self.last, size - 1)
            length = last - start + 1
        if length <= 0:
            raise S3Error(
                Code.InvalidRange,
                headers={"Content-Range": f"bytes */{size}"},
                ActualObjectSize=size,
            )
        return start, length

    def resolve_whole(self, size: int) -> tuple[int, int]:
        """Return (start, length) as ``resolve`` does; InvalidRange where a byte of it is beyond the end."""
        start, length = self.resolve(size)
        if self.first is not None and self.last is not None and self.last >= size:
            raise S3Error(Code.InvalidRange, ActualObjectSize=size)
        return start, length


def parse_range(value: str | None) -> ByteRange | None:
    """Return the range that a Range header names, or None where it is to be ignored."""
    if value is None:
        return None
    match = _RANGE.fullmatch(value.strip())
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        return ByteRange(None, int(suffix))
    if last and int(last) < int(first):
        return None
    return ByteRange(int(first), int(last) if last else None)
