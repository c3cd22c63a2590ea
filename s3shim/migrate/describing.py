"""What is not bytes: metadata, tags and Last-Modified."""

from __future__ import annotations

from dataclasses import replace

from s3shim.backends.base import Backend, Capability
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.migrate.failures import CHANGED, Changed
from s3shim.migrate.records import Known
from s3shim.migrate.writing import kept
from s3shim.model import ObjectInfo, ObjectRef

_CANNOT = frozenset({Code.NotImplemented, Code.EntityTooLarge, Code.InvalidRequest})


def describe(target: Backend, ref: ObjectRef, wanted: Known, found: Known) -> ObjectInfo | None:
    """Give the object ``found`` the metadata and tags of ``wanted``; return its new record.

    None where the destination cannot do it without the bytes. Raises Changed, S3Error.
    """
    meta = wanted.info.meta
    try:
        copy = Copy(ref, found.unchanged, meta, meta.tags)
        return target.copy_object(copy, ref, kept(target, found.unchanged))
    except S3Error as error:
        if error.code in _CANNOT:
            return None
        if error.code in CHANGED:
            raise Changed from error
        raise


def keeps_dates(target: Backend) -> bool:
    """Whether the destination takes over a Last-Modified."""
    return Capability.LAST_MODIFIED in target.capabilities


def date(target: Backend, ref: ObjectRef, wanted: Known, made: Known) -> Known:
    """Give the object ``made`` the Last-Modified of ``wanted``; return it as it is then.

    Raises Changed, S3Error.
    """
    modified = wanted.info.last_modified
    try:
        target.put_object_last_modified(ref, modified, kept(target, made.unchanged))
    except S3Error as error:
        if error.code in CHANGED:
            raise Changed from error
        raise
    return Known(replace(made.info, last_modified=modified), made.parts)
