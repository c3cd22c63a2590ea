"""PutObject, PutObjectTagging, DeleteObject and DeleteObjects of the local store."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import lmdb

from s3shim.backends.local.reading import find
from s3shim.backends.local.records import Extent, ObjectRecord
from s3shim.backends.local.store import Store
from s3shim.backends.local.tables import Edit, View
from s3shim.checksums import crc64nvme
from s3shim.conditions import NO_CONDITIONS, Conditions, check_write
from s3shim.errors import Code, S3Error
from s3shim.model import NULL_VERSION, Body, Deleted, ObjectInfo, ObjectMeta, ObjectRef

_log = logging.getLogger(__name__)


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
            check_target(view, bucket_id, ref.key, conditions)
    stored = store_body(store, body)
    return _commit(store, ref, bucket_id, new_record(stored.size, body, meta), stored, conditions)


@dataclass(slots=True)
class Stored:
    """A body of ``size`` bytes that is read: in a ``file``, or as ``data`` that are not in the index yet."""

    size: int
    file: Extent | None
    data: bytes = b""
    _held: bool = False

    def extents(self, edit: Edit, sequence: int) -> list[Extent]:
        """Return the extents, which are used from now on; inline bytes go in under ``sequence``."""
        if self.file is not None:
            self._held = True
            edit.hold([self.file])
            return [self.file]
        return [edit.add_inline(sequence, self.data, crc64nvme(self.data))] if self.data else []

    def discard(self, store: Store) -> None:
        """Remove the file, unless the index knows it: a commit that failed may yet have reached the disk."""
        if self.file is None:
            return
        try:
            if not (self._held and self._known(store, self.file)):
                store.files.unlink(self.file.id)
        except (S3Error, OSError, lmdb.Error) as error:
            # Why it is not wanted is what counts; the next start removes what stays.
            _log.error("file %s cannot be removed: %s", self.file.id.hex(), error)

    @staticmethod
    def _known(store: Store, file: Extent) -> bool:
        with store.index.read() as view:
            return store.index.unsettled or view.references(file.id) > 0


def store_body(store: Store, body: Body) -> Stored:
    """Read a body to its end; a large one is a durable file then.

    ServiceUnavailable or InsufficientStorage before anything is read, where it is known to be in vain.
    """
    store.admit(body.length)
    data, ended = _gather(body, store.settings.inline_max)
    if not ended:
        file = store.files.write(body, data)
        return Stored(file.length, file)
    if body.length is not None and body.length != len(data):
        raise S3Error(Code.IncompleteBody)
    return Stored(len(data), None, data)


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


def new_record(size: int, body: Body, meta: ObjectMeta) -> ObjectRecord:
    """Return the record of a body of ``size`` bytes that has been read, without its place and time."""
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
    store: Store,
    ref: ObjectRef,
    bucket_id: int,
    record: ObjectRecord,
    stored: Stored,
    conditions: Conditions,
) -> ObjectInfo:
    settings = store.settings

    def change(edit: Edit) -> None:
        check_bucket(edit, ref.bucket, bucket_id)
        current = check_target(edit, bucket_id, ref.key, conditions)
        record.sequence = edit.next_sequence()
        record.last_modified = settings.clock()
        record.extents = stored.extents(edit, record.sequence)
        edit.replace(bucket_id, ref.key, record, current, settings.due())

    try:
        store.committer.run(change)
    except Exception:
        stored.discard(store)
        raise
    return record.info(ref.key)


def put_object_tags(store: Store, ref: ObjectRef, tags: dict[str, str]) -> None:
    """See Backend.put_object_tags."""

    def change(edit: Edit) -> None:
        record = find(edit, ref)
        record.tags = tags
        edit.put_record(edit.bucket(ref.bucket).id, ref.key, record)

    store.committer.run(change, frees=not tags)


def put_object_last_modified(
    store: Store, ref: ObjectRef, last_modified: int, conditions: Conditions
) -> None:
    """See Backend.put_object_last_modified."""

    def change(edit: Edit) -> None:
        record = find(edit, ref)
        check_write(conditions, record.info(ref.key))
        record.last_modified = last_modified
        edit.put_record(edit.bucket(ref.bucket).id, ref.key, record)

    store.committer.run(change)


def delete_object(store: Store, ref: ObjectRef, conditions: Conditions) -> Deleted:
    """See Backend.delete_object."""
    if ref.version_id not in (None, NULL_VERSION):
        with store.index.read() as view:
            view.bucket(ref.bucket)
        return Deleted()

    def change(edit: Edit) -> None:
        bucket_id = edit.bucket(ref.bucket).id
        current = check_target(edit, bucket_id, ref.key, conditions)
        if current is not None:
            edit.remove_object(bucket_id, ref.key, current, store.settings.due())

    store.committer.run(change, frees=True)
    return Deleted()


def delete_objects(store: Store, bucket: str, refs: list[ObjectRef]) -> list[Deleted | S3Error]:
    """See Backend.delete_objects. All in one commit; damaged records go too."""

    def change(edit: Edit) -> list[Deleted | S3Error]:
        bucket_id = edit.bucket(bucket).id
        due = store.settings.due()
        for key in {ref.key for ref in refs if ref.version_id in (None, NULL_VERSION)}:
            current = edit.removable(bucket_id, key)
            if current is not None:
                edit.remove_object(bucket_id, key, current, due)
        return [Deleted() for _ in refs]

    return store.committer.run(change, frees=True)


def check_bucket(view: View, name: str, bucket_id: int) -> None:
    """Raise NoSuchBucket unless the bucket of this name is the one with this id still."""
    if view.bucket(name).id != bucket_id:
        raise S3Error(Code.NoSuchBucket, BucketName=name)


def check_target(view: View, bucket_id: int, key: str, conditions: Conditions) -> ObjectRecord | None:
    """Return the version that a write replaces, or None; raises what ``check_write`` raises.

    Without conditions a damaged record is replaced too, otherwise it is an InternalError.
    """
    if conditions is NO_CONDITIONS:
        return view.removable(bucket_id, key)
    current = view.current(bucket_id, key)
    check_write(conditions, None if current is None or current.delete_marker else current.info(key))
    return current
