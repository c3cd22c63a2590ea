"""Metadata and tags alone, where the bytes are there already."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.copying import Copy
from s3shim.errors import S3Error
from s3shim.migrate.failures import CHANGED, Changed
from s3shim.migrate.records import Known
from s3shim.migrate.writing import kept
from s3shim.model import ObjectInfo, ObjectRef


def describe(target: Backend, ref: ObjectRef, wanted: Known, found: Known) -> ObjectInfo:
    """Give the object ``found`` the metadata and tags of ``wanted``; return its new record.

    Raises Changed, S3Error.
    """
    meta = wanted.info.meta
    try:
        copy = Copy(ref, found.unchanged, meta, meta.tags)
        return target.copy_object(copy, ref, kept(target, found.unchanged))
    except S3Error as error:
        if error.code in CHANGED:
            raise Changed from error
        raise
