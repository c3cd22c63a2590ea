"""What makes a version, for another version that takes it over: its extents stay counted and change hands."""

from __future__ import annotations

from s3shim.backends.local.records import Layout, ObjectRecord, key_stem, number, version_key
from s3shim.backends.local.tables import Edit, View


def layout_of(view: View, record: ObjectRecord) -> Layout:
    """Return the layout of a version, without parts where it has none; InternalError where it is damaged."""
    return view.layout(record) if record.parts_count else Layout(record.extents, [])


def drop_rows(edit: Edit, bucket_id: int, key: str, record: ObjectRecord) -> None:
    """Remove the rows of a version of ``key``, but nothing that it is made of: that is another's now."""
    edit.delete(version_key(key_stem(bucket_id, key), record.sequence), edit.tables.objects)
    if record.parts_count:
        edit.delete(number(record.sequence), edit.tables.layouts)
