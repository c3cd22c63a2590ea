"""HeadObject and GetObject of the local store."""

from __future__ import annotations

from s3shim.backends.local.chunks import ExtentChunks
from s3shim.backends.local.records import ObjectRecord, damaged
from s3shim.backends.local.store import Store
from s3shim.backends.local.tables import View
from s3shim.conditions import Conditions, check_read, range_applies
from s3shim.errors import Code, S3Error
from s3shim.model import NULL_VERSION, ObjectInfo, ObjectRef, ObjectStream
from s3shim.ranges import ByteRange

_ATTEMPTS = 5


def head_object(store: Store, ref: ObjectRef, conditions: Conditions) -> ObjectInfo:
    """See Backend.head_object."""
    with store.index.read() as view:
        record = _find(view, ref)
    info = record.info(ref.key)
    check_read(conditions, info)
    return info


def get_object(
    store: Store, ref: ObjectRef, byte_range: ByteRange | None, conditions: Conditions
) -> ObjectStream:
    """See Backend.get_object.

    A file may be unlinked between the look at its record and its opening, when its object has been
    replaced: the record is read again then. A file that is missing twice for one record is damage.
    """
    missed = 0
    for _ in range(_ATTEMPTS):
        with store.index.read() as view:
            record = _find(view, ref)
            info = record.info(ref.key)
            check_read(conditions, info)
            start, length = 0, info.size
            if byte_range is not None and range_applies(conditions, info):
                start, length = byte_range.resolve(info.size)
            try:
                chunks = ExtentChunks(view, store.files, record, start, length)
            except FileNotFoundError as error:
                if record.sequence == missed:
                    raise damaged("object %r in %s: %s", ref.key, ref.bucket, error) from error
                missed = record.sequence
                continue
        chunks.prefetch()
        return ObjectStream(info, start, length, chunks)
    raise S3Error(Code.ServiceUnavailable)


def _find(view: View, ref: ObjectRef) -> ObjectRecord:
    bucket_id = view.bucket(ref.bucket).id
    if ref.version_id not in (None, NULL_VERSION):
        raise S3Error(Code.NoSuchVersion, Key=ref.key, VersionId=ref.version_id)
    record = view.current(bucket_id, ref.key)
    if record is None or record.delete_marker:
        raise S3Error(Code.NoSuchKey, Key=ref.key)
    return record
