"""Conditional and range headers, parsed (RFC 9110, sections 8.8.3 and 13.1)."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

from werkzeug.http import parse_date

from s3shim.conditions import ANY, NO_CONDITIONS, Conditions, ETagList
from s3shim.errors import Code, S3Error
from s3shim.wire.request import S3Request

_MATCH_SIZE = "x-amz-if-match-size"
_MATCH_MODIFIED = "x-amz-if-match-last-modified-time"
_SIZE = re.compile("[0-9]{1,18}", re.ASCII)

# An entity tag, quoted or (as clients of S3 send it) bare.
_TAG = re.compile(r'\s*(?:(W/)?"([^"]*)"|([^",\s]+))\s*(?:,|$)')


def etag_list(value: str) -> ETagList:
    """Return the entity tags in a header; what cannot be read matches nothing."""
    if value.strip() == ANY:
        return ETagList(any=True)
    strong: set[str] = set()
    weak: set[str] = set()
    position = 0
    while position < len(value):
        match = _TAG.match(value, position)
        if match is None:
            position = value.find(",", position) + 1 or len(value)
            continue
        tag = match[2] if match[2] is not None else match[3]
        (weak if match[1] else strong).add(tag)
        position = match.end()
    return ETagList(frozenset(strong), frozenset(weak))


def _milliseconds(value: str | None) -> int | None:
    if value is None:
        return None
    parsed = parse_date(value)
    return None if parsed is None else int(parsed.astimezone(UTC).timestamp()) * 1000


def read_conditions(request: S3Request) -> Conditions:
    """Return the conditions of a GET or HEAD; an invalid date is no condition, as RFC 9110 has it."""
    conditions = conditions_in(request, "")
    if_range = request.headers.get("if-range")
    if if_range:
        conditions = replace(conditions, if_range=_if_range(if_range))
    return conditions


def source_conditions_in(request: S3Request, prefix: str) -> Conditions:
    """Return the conditions on what a write is made of; raise InvalidArgument for a date that is none.

    What makes a read return more than was asked for would make a write go where it must not.
    """
    get = request.headers.get
    match, none_match = get(prefix + "if-match"), get(prefix + "if-none-match")
    modified = object_time(get(prefix + "if-modified-since"), prefix + "if-modified-since")
    unmodified = object_time(get(prefix + "if-unmodified-since"), prefix + "if-unmodified-since")
    if match is None and none_match is None and modified is None and unmodified is None:
        return NO_CONDITIONS
    return Conditions(
        if_match=etag_list(match) if match is not None else None,
        if_none_match=etag_list(none_match) if none_match is not None else None,
        if_modified_since=modified,
        if_unmodified_since=unmodified,
    )


def conditions_in(request: S3Request, prefix: str) -> Conditions:
    """Return the four conditions whose header names begin with ``prefix``."""
    get = request.headers.get
    match, none_match = get(prefix + "if-match"), get(prefix + "if-none-match")
    modified, unmodified = get(prefix + "if-modified-since"), get(prefix + "if-unmodified-since")
    if not (match or none_match or modified or unmodified):
        return NO_CONDITIONS
    return Conditions(
        if_match=etag_list(match) if match else None,
        if_none_match=etag_list(none_match) if none_match else None,
        if_modified_since=_milliseconds(modified),
        if_unmodified_since=_milliseconds(unmodified),
    )


def _if_range(value: str) -> str | int:
    value = value.strip()
    if value.startswith('"') and value.endswith('"') and len(value) > 1:
        return value[1:-1]
    if value.startswith("W/"):
        return ""  # a weak tag never matches here (RFC 9110, 13.1.5)
    parsed = _milliseconds(value)
    return value if parsed is None else parsed


def delete_conditions(request: S3Request) -> Conditions:
    """Return the conditions of a DeleteObject: those of a PUT, the size, and the time of the object.

    Raises InvalidArgument for a size that is no number and a time that is none.
    """
    get = request.headers.get
    size, modified = get(_MATCH_SIZE), get(_MATCH_MODIFIED)
    conditions = write_conditions(request)
    if size is None and modified is None:
        return conditions
    return replace(
        conditions,
        if_match_size=object_size(size, _MATCH_SIZE),
        if_match_modified=object_time(modified, _MATCH_MODIFIED),
    )


def object_size(value: str | None, name: str) -> int | None:
    """Return the size in a condition, None where there is none; raise InvalidArgument for what is no size."""
    if value is None:
        return None
    if not _SIZE.fullmatch(value):
        raise S3Error(Code.InvalidArgument, f"{name} is not a size in bytes.", ArgumentName=name)
    return int(value)


def object_time(value: str | None, name: str) -> int | None:
    """Return the time in a condition, an HTTP date or ISO 8601, in ms; raise InvalidArgument for neither."""
    if value is None:
        return None
    found = _milliseconds(value)
    if found is None:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise S3Error(Code.InvalidArgument, f"{name} is not a date.", ArgumentName=name) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        found = int(moment.timestamp()) * 1000
    return found


def rename_conditions(request: S3Request) -> Conditions:
    """Return the conditions on the target of a rename: those of a PUT, and on its time."""
    conditions = write_conditions(request)
    times = source_conditions_in(request, "")
    if times.if_modified_since is None and times.if_unmodified_since is None:
        return conditions
    return replace(
        conditions,
        if_modified_since=times.if_modified_since,
        if_unmodified_since=times.if_unmodified_since,
    )


def write_conditions(request: S3Request) -> Conditions:
    """Return the conditions of a PUT.

    S3 knows ``If-None-Match: *`` and ``If-Match`` with an entity tag, not both; anything else is
    NotImplemented rather than a condition that is not kept.
    """
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is None and none_match is None:
        return NO_CONDITIONS
    if none_match is not None and (none_match.strip() != ANY or match is not None):
        raise S3Error(
            Code.NotImplemented,
            "A header you provided implies functionality that is not implemented",
            Header="If-None-Match",
        )
    return Conditions(
        if_match=etag_list(match) if match is not None else None,
        if_none_match=etag_list(none_match) if none_match is not None else None,
    )
