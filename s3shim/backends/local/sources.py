"""The source of a copy: found, checked, and the bytes of it that are wanted."""

from __future__ import annotations

from dataclasses import dataclass

from s3shim.backends.local.reading import find
from s3shim.backends.local.records import Extent, Layout, ObjectRecord
from s3shim.backends.local.sharing import share
from s3shim.backends.local.tables import Edit
from s3shim.conditions import check_copy
from s3shim.copying import Copy
from s3shim.ranges import ByteRange


@dataclass(slots=True)
class Source:
    """An object with its layout, and ``length`` bytes of it from ``start`` on."""

    record: ObjectRecord
    layout: Layout
    start: int
    length: int

    def share(self, edit: Edit) -> list[Extent]:
        """Return extents of these bytes that are used from now on."""
        return share(edit, self.layout.extents, self.start, self.length)


def find_source(edit: Edit, copy: Copy, byte_range: ByteRange | None = None) -> Source:
    """Return the source; NoSuchBucket, NoSuchKey, NoSuchVersion, PreconditionFailed, InvalidRange."""
    record = find(edit, copy.source)
    check_copy(copy.conditions, record.info(copy.source.key))
    start, length = (0, record.size) if byte_range is None else byte_range.resolve_whole(record.size)
    return Source(record, edit.layout(record), start, length)
