"""Conditional requests: RFC 9110, section 13, for reads; S3's two conditions for writes.

Times are milliseconds; HTTP dates carry seconds, so a stored time is cut to its second before it
is compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from s3shim.errors import Code, S3Error
from s3shim.model import ObjectInfo

ANY = "*"


@dataclass(slots=True)
class ETagList:
    """The entity tags of one header: the strong and the weak ones, without quotes; ``any`` for ``*``."""

    strong: frozenset[str] = frozenset()
    weak: frozenset[str] = frozenset()
    any: bool = False

    def matches_strongly(self, etag: str) -> bool:
        """RFC 9110, 8.8.3.2, strong comparison; our own tags are strong."""
        return self.any or etag in self.strong

    def matches_weakly(self, etag: str) -> bool:
        """RFC 9110, 8.8.3.2, weak comparison."""
        return self.any or etag in self.strong or etag in self.weak


@dataclass(slots=True)
class Conditions:
    """The conditions of one request; None where the header was not sent or not valid.

    ``if_range`` is an entity tag without quotes, or a time in milliseconds; a value that can never
    match is the empty string. ``if_match_size`` (bytes) and ``if_match_modified`` are for deletes.
    """

    if_match: ETagList | None = None
    if_none_match: ETagList | None = None
    if_modified_since: int | None = None
    if_unmodified_since: int | None = None
    if_range: str | int | None = None
    if_match_size: int | None = None
    if_match_modified: int | None = None


NO_CONDITIONS = Conditions()


def check_read(conditions: Conditions, info: ObjectInfo) -> None:
    """Raise PreconditionFailed or NotModified in the order of RFC 9110, 13.2.2."""
    if conditions is NO_CONDITIONS:
        return
    second = info.last_modified // 1000 * 1000
    if conditions.if_match is not None:
        if not conditions.if_match.matches_strongly(info.etag):
            raise S3Error(Code.PreconditionFailed, Condition="If-Match")
    elif conditions.if_unmodified_since is not None and second > conditions.if_unmodified_since:
        raise S3Error(Code.PreconditionFailed, Condition="If-Unmodified-Since")
    if conditions.if_none_match is not None:
        if conditions.if_none_match.matches_weakly(info.etag):
            raise S3Error(Code.NotModified, info=info)
    elif conditions.if_modified_since is not None and second <= conditions.if_modified_since:
        raise S3Error(Code.NotModified, info=info)


def check_copy(conditions: Conditions, info: ObjectInfo) -> None:
    """Raise PreconditionFailed where the source of a copy does not meet the x-amz-copy-source-if-*."""
    try:
        check_read(conditions, info)
    except S3Error as error:
        if error.code is Code.NotModified:
            raise S3Error(Code.PreconditionFailed) from None
        raise


def range_applies(conditions: Conditions, info: ObjectInfo) -> bool:
    """Whether If-Range lets the Range header count (RFC 9110, 13.1.5)."""
    wanted = conditions.if_range
    if wanted is None:
        return True
    if isinstance(wanted, int):
        return wanted == info.last_modified // 1000 * 1000
    return wanted == info.etag


def check_write(conditions: Conditions, current: ObjectInfo | None) -> None:
    """Raise PreconditionFailed, or NoSuchKey for an If-Match on a key that is not there.

    ``current`` is the current object, None where there is none. Source: "How to prevent object
    overwrites with conditional writes", Amazon S3 User Guide.
    """
    unwanted = conditions.if_none_match
    if unwanted is not None and current is not None and unwanted.matches_weakly(current.etag):
        raise S3Error(Code.PreconditionFailed, Condition="If-None-Match")
    if conditions.if_match is not None:
        if current is None:
            raise S3Error(Code.NoSuchKey)
        if not conditions.if_match.matches_strongly(current.etag):
            raise S3Error(Code.PreconditionFailed, Condition="If-Match")
    size, modified = conditions.if_match_size, conditions.if_match_modified
    if size is None and modified is None:
        return
    if current is None:
        raise S3Error(Code.NoSuchKey)
    if size not in (None, current.size):
        raise S3Error(Code.PreconditionFailed, Condition="x-amz-if-match-size")
    if modified not in (None, current.last_modified // 1000 * 1000):
        raise S3Error(Code.PreconditionFailed, Condition="x-amz-if-match-last-modified-time")
