"""CopyObject of the local store: a record and shared extents, whatever the size."""

from __future__ import annotations

import msgspec

from s3shim.backends.local.records import Layout, ObjectRecord
from s3shim.backends.local.sources import find_source
from s3shim.backends.local.store import Store
from s3shim.backends.local.tables import Edit
from s3shim.backends.local.writing import check_target
from s3shim.conditions import Conditions
from s3shim.copying import Copy
from s3shim.model import ObjectInfo, ObjectRef


class Copying:
    """The part of LocalBackend that copies objects."""

    store: Store

    def copy_object(self, copy: Copy, target: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """See Backend. The target is there before what it replaces goes, be it the source."""
        settings = self.store.settings

        def change(edit: Edit) -> ObjectInfo:
            bucket_id = edit.bucket(target.bucket).id
            source = find_source(edit, copy)
            current = check_target(edit, bucket_id, target.key, conditions)
            record = _described(source.record, copy)
            record.sequence = edit.next_sequence()
            record.last_modified = settings.clock()
            extents = source.share(edit)
            if record.parts_count:
                edit.put_layout(record.sequence, Layout(extents, source.layout.parts))
            else:
                record.extents = extents
            edit.replace(bucket_id, target.key, record, current, settings.due())
            return record.info(target.key)

        return self.store.committer.run(change)


def _described(source: ObjectRecord, copy: Copy) -> ObjectRecord:
    record = msgspec.structs.replace(source, rename_token="", renamed_from="")
    if copy.meta is not None:
        record.content_type = copy.meta.content_type
        record.system = copy.meta.system
        record.user = copy.meta.user
    if copy.tags is not None:
        record.tags = copy.tags
    return record
