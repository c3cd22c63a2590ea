"""What source and destination know of an object, and what it means where they do not tell."""

from __future__ import annotations

from dataclasses import dataclass

from s3shim.backends.base import Backend
from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.errors import Code, S3Error
from s3shim.migrate.failures import Changed, Damaged, Unreadable
from s3shim.migrate.records import Known, look
from s3shim.model import ObjectInfo, ObjectRef

ABSENT = Conditions(if_none_match=ETagList(any=True))


@dataclass(slots=True)
class Found:
    """What is at the destination, None for nothing of use; ``conditions`` hold while that is so."""

    known: Known | None
    conditions: Conditions


def look_at_source(source: Backend, ref: ObjectRef) -> Known | None:
    """Return the object, None where it is gone. Raises Damaged, Unreadable."""
    try:
        return look(source, ref)
    except S3Error as error:
        if error.code in (Code.NoSuchKey, Code.NoSuchBucket):
            return None
        if error.code is Code.InternalError:
            raise Damaged("its record cannot be read") from error
        raise Unreadable(error) from error


def look_at_target(target: Backend, ref: ObjectRef) -> Found:
    """Return what is there. Raises S3Error."""
    try:
        known = look(target, ref)
    except S3Error as error:
        if error.code in (Code.NoSuchKey, Code.NoSuchBucket):
            return Found(None, ABSENT)
        if error.code is Code.InternalError:  # what is damaged there may be replaced
            return Found(None, NO_CONDITIONS)
        raise
    return Found(known, known.unchanged)


def look_at_made(target: Backend, ref: ObjectRef, made: ObjectInfo) -> Known:
    """Return what has been written, ``made`` as the destination says. Raises Changed, S3Error."""
    if not made.parts_count:
        return Known(made)
    try:
        return look(target, ref)
    except S3Error as error:
        if error.code is Code.NoSuchKey:
            raise Changed from error
        raise
