"""PutObject and DeleteObject of the local store."""

from __future__ import annotations

from s3shim.backends.local.records import Extent, ObjectRecord
from s3shim.backends.local.store import Store
from s3shim.backends.local.tables import Edit, View
from s3shim.checksums import crc64nvme
from s3shim.conditions import NO_CONDITIONS, Conditions, check_write
from s3shim.errors import Code, S3Error
from s3shim.model import NULL_VERSION, Body, Deleted, ObjectInfo, ObjectMeta, ObjectRef


def put_object(
    store: Store, ref: ObjectRef, body: Body, meta: ObjectMeta, conditions: Conditions
) -> ObjectInfo:
    """See Backend.put_object.

    The bucket and the conditions are looked at before the body is read too: what is bound to fail
    should fail early.
    """
    with store.index.read() as view:
        bucket_id = view.bucket(ref.bucket).id
        if conditions is not NO_CONDITIONS:
            _check(view, bucket_id, ref.key, conditions)
    data, ended = _gather(body, store.settings.inline_max)
    if not ended:
        extent = store.files.write(body, data)
        record = _record(extent.length, body, meta)
        record.extents = [extent]
        return _commit(store, ref, bucket_id, record, b"", conditions)
    if body.length is not None and body.length != len(data):
        raise S3Error(Code.IncompleteBody)
    return _commit(store, ref, bucket_id, _record(len(data), body, meta), data, conditions)


def _gather(body: Body, limit: int) -> tuple[bytes, bool]:
    # The body and whether that is all of it; nothing is read of one that is known to be larger.
    if body.length is not None and body.length > limit:
        return b"", False
    parts: list[bytes] = []
    room = limit + 1
    while room > 0:
        data = body.read(room)
        if not data:
            return b"".join(parts), True
        parts.append(data)
        room -= len(data)
    return b"".join(parts), False


def _record(size: int, body: Body, meta: ObjectMeta) -> ObjectRecord:
    digests = body.digests
    return ObjectRecord(
        sequence=0,
        size=size,
        etag=digests.md5,
        last_modified=0,
        extents=[],
        content_type=meta.content_type,
        system=meta.system,
        user=meta.user,
        tags=meta.tags,
        checksums=digests.checksums,
    )


def _commit(
    store: Store, ref: ObjectRef, bucket_id: int, record: ObjectRecord, data: bytes, conditions: Conditions
) -> ObjectInfo:
    settings = store.settings
    written = list(record.extents)
    digest = crc64nvme(data)

    def change(edit: Edit) -> None:
        if edit.bucket(ref.bucket).id != bucket_id:
            raise S3Error(Code.NoSuchBucket, BucketName=ref.bucket)
        current = _check(edit, bucket_id, ref.key, conditions)
        record.sequence = edit.next_sequence()
        record.last_modified = settings.clock()
        if data:
            record.extents = [edit.add_inline(record.sequence, data, digest)]
        if current is not None:
            edit.remove_object(bucket_id, ref.key, current, record.last_modified + settings.grace)
        edit.add_object(bucket_id, ref.key, record)

    try:
        store.committer.run(change)
    except S3Error:
        _discard(store, written)
        raise
    return record.info(ref.key)


def _discard(store: Store, written: list[Extent]) -> None:
    # A commit that failed may yet have reached the disk: only a file that the index does not know goes.
    for extent in written:
        with store.index.read() as view:
            known = view.references(extent.id)
        if not known:
            store.files.unlink(extent.id)


def delete_object(store: Store, ref: ObjectRef, conditions: Conditions) -> Deleted:
    """See Backend.delete_object."""
    if ref.version_id not in (None, NULL_VERSION):
        with store.index.read() as view:
            view.bucket(ref.bucket)
        return Deleted()

    def change(edit: Edit) -> None:
        bucket_id = edit.bucket(ref.bucket).id
        current = _check(edit, bucket_id, ref.key, conditions)
        if current is not None:
            due = store.settings.clock() + store.settings.grace
            edit.remove_object(bucket_id, ref.key, current, due)

    store.committer.run(change)
    return Deleted()


def _check(view: View, bucket_id: int, key: str, conditions: Conditions) -> ObjectRecord | None:
    current = view.current(bucket_id, key)
    if conditions is not NO_CONDITIONS:
        check_write(conditions, None if current is None or current.delete_marker else current.info(key))
    return current
