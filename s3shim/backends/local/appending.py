"""PutObject at an offset in the local store: the new bytes' extent goes behind those that are there."""

from __future__ import annotations

import msgspec

from s3shim.appending import Appended, append, check_added, check_offset
from s3shim.backends.local.records import LaidPart, Layout, ObjectRecord
from s3shim.backends.local.store import Store
from s3shim.backends.local.tables import Edit, View
from s3shim.backends.local.writing import check_bucket, check_target, new_record, store_body
from s3shim.conditions import Conditions
from s3shim.model import Body, ObjectInfo, ObjectMeta, ObjectPart, ObjectRef


class Appending:
    """The part of LocalBackend that appends to objects."""

    store: Store

    def append_object(
        self, ref: ObjectRef, body: Body, meta: ObjectMeta, offset: int, conditions: Conditions
    ) -> ObjectInfo:
        """See Backend. What is bound to fail fails before the body is read."""
        store, settings = self.store, self.store.settings
        with store.index.read() as view:
            bucket_id = view.bucket(ref.bucket).id
            seen = _check(view, bucket_id, ref.key, offset, conditions)
        if seen is not None and offset:
            for algorithm in seen.checksums:
                body.also(algorithm)
        stored = store_body(store, body)
        check_added(stored.size)
        digests, fresh = body.digests, new_record(stored.size, body, meta)

        def change(edit: Edit) -> ObjectInfo:
            check_bucket(edit, ref.bucket, bucket_id)
            current = _check(edit, bucket_id, ref.key, offset, conditions)
            record, layout = fresh, Layout([], [])
            if current is not None and offset:
                layout = edit.layout(current)
                parts = [ObjectPart(part.part_number, part.size, part.checksums) for part in layout.parts]
                joined = append(current.info(ref.key), parts, stored.size, digests)
                edit.drop_rows(bucket_id, ref.key, current)
                record, current = _record(current, joined), None
                layout.parts = [LaidPart(p.part_number, p.size, p.checksums) for p in joined.parts]
            record.sequence = edit.next_sequence()
            record.last_modified = settings.clock()
            extents = layout.extents + stored.extents(edit, record.sequence)
            if layout.parts:
                edit.put_layout(record.sequence, Layout(extents, layout.parts))
            else:
                record.extents = extents
            edit.replace(bucket_id, ref.key, record, current, settings.due())
            return record.info(ref.key)

        try:
            return store.committer.run(change)
        except Exception:
            stored.discard(store)
            raise


def _check(view: View, bucket_id: int, key: str, offset: int, conditions: Conditions) -> ObjectRecord | None:
    """Return the version at whose end ``offset`` is, None where there is none."""
    current = check_target(view, bucket_id, key, conditions)
    check_offset(offset, None if current is None or current.delete_marker else current.info(key))
    return current


def _record(current: ObjectRecord, joined: Appended) -> ObjectRecord:
    return msgspec.structs.replace(
        current,
        size=joined.size,
        etag=joined.etag,
        extents=[],
        checksums=joined.checksums,
        checksum_type=joined.checksum_type,
        parts_count=len(joined.parts),
        rename_token="",
        renamed_from="",
        appended=current.appended + 1,
    )
