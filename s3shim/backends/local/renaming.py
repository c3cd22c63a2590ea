"""RenameObject of the local store: rows under another key, in one commit."""

from __future__ import annotations

import msgspec

from s3shim.backends.local.reading import find
from s3shim.backends.local.store import Store
from s3shim.backends.local.tables import Edit
from s3shim.model import ObjectRef
from s3shim.renaming import Rename


class Renaming:
    """The part of LocalBackend that renames objects."""

    store: Store

    def rename_object(self, rename: Rename) -> None:
        """See Backend."""
        settings = self.store.settings

        def change(edit: Edit) -> None:
            bucket_id = edit.bucket(rename.bucket).id
            target = edit.current(bucket_id, rename.target)
            if target is not None and rename.is_done(target.rename_token, target.renamed_from):
                return
            source = find(edit, ObjectRef(rename.bucket, rename.source))
            there = None if target is None or target.delete_marker else target.info(rename.target)
            rename.check(source.info(rename.source), there)
            layout = edit.layout(source)
            edit.drop_rows(bucket_id, rename.source, source)
            record = msgspec.structs.replace(
                source,
                sequence=edit.next_sequence(),
                rename_token=rename.token,
                renamed_from=rename.source if rename.token else "",
            )
            if record.parts_count:
                edit.put_layout(record.sequence, layout)
            edit.replace(bucket_id, rename.target, record, target, settings.due())

        self.store.committer.run(change)
