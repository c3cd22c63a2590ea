"""HeadObject and GetObject of the local store."""

from __future__ import annotations

from s3shim.backends.local.chunks import ExtentChunks, open_at_once, open_in_turn, pieces_of
from s3shim.backends.local.records import AT_ONCE, ObjectRecord, damaged
from s3shim.backends.local.store import Store
from s3shim.backends.local.tables import View
from s3shim.conditions import Conditions, check_read, range_applies
from s3shim.errors import Code, S3Error
from s3shim.model import NULL_VERSION, ObjectInfo, ObjectPart, ObjectRef, ObjectStream
from s3shim.ranges import ByteRange

_ATTEMPTS = 5


def head_object(store: Store, ref: ObjectRef, conditions: Conditions) -> ObjectInfo:
    """See Backend.head_object."""
    with store.index.read() as view:
        record = find(view, ref)
    info = record.info(ref.key)
    check_read(conditions, info)
    return info


def get_object_parts(
    store: Store, ref: ObjectRef, conditions: Conditions
) -> tuple[ObjectInfo, list[ObjectPart]]:
    """See Backend.get_object_parts."""
    with store.index.read() as view:
        record = find(view, ref)
        info = record.info(ref.key)
        check_read(conditions, info)
        laid = view.layout(record).parts
    return info, [ObjectPart(part.part_number, part.size, part.checksums) for part in laid]


def get_object(
    store: Store, ref: ObjectRef, byte_range: ByteRange | None, conditions: Conditions
) -> ObjectStream:
    """See Backend.get_object.

    A file may be unlinked between the look at its record and its opening, when its object has been
    replaced: the record is read again then. A file that is missing twice for one record is damage.

    Where more is to be read than is opened at once, a ReaderLock protects it. The lock must be older than
    the transaction that gives the record, so the record is read again once there is one.
    """
    missed = 0
    lock = None
    try:
        for _ in range(_ATTEMPTS):
            with store.index.read() as view:
                record = find(view, ref)
                info = record.info(ref.key)
                check_read(conditions, info)
                start, length = 0, info.size
                if byte_range is not None and range_applies(conditions, info):
                    start, length = byte_range.resolve(info.size)
                pieces = pieces_of(view.layout(record).extents, start, length)
                if len(pieces) <= AT_ONCE:
                    try:
                        chunks = open_at_once(view, store.files, pieces)
                    except FileNotFoundError as error:
                        if record.sequence == missed:
                            raise damaged("object %r in %s: %s", ref.key, ref.bucket, error) from error
                        missed = record.sequence
                        continue
                elif lock is None:
                    lock = store.lock_readers(view.sequence())
                    continue
                else:
                    chunks, lock = open_in_turn(store.index, store.files, pieces, lock), None
            if isinstance(chunks, ExtentChunks):
                chunks.prefetch()
            return ObjectStream(info, start, length, chunks)
    finally:
        if lock is not None:
            lock.close()
    raise S3Error(Code.ServiceUnavailable)


def find(view: View, ref: ObjectRef) -> ObjectRecord:
    """Return the record that ``ref`` names; NoSuchBucket, NoSuchKey, NoSuchVersion."""
    bucket_id = view.bucket(ref.bucket).id
    if ref.version_id not in (None, NULL_VERSION):
        raise S3Error(Code.NoSuchVersion, Key=ref.key, VersionId=ref.version_id)
    record = view.current(bucket_id, ref.key)
    if record is None or record.delete_marker:
        raise S3Error(Code.NoSuchKey, Key=ref.key)
    return record
