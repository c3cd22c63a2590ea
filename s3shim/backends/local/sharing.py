"""Extents for another object or part of the same bytes: files are shared, inline bytes are copied."""

from __future__ import annotations

from s3shim.backends.local.chunks import pieces_of
from s3shim.backends.local.records import FILE, INLINE, Extent
from s3shim.backends.local.tables import Edit
from s3shim.checksums import crc64nvme


def share(edit: Edit, extents: list[Extent], start: int, length: int) -> list[Extent]:
    """Return extents, used from now on, of ``length`` bytes from ``start`` on of what ``extents`` make."""
    shared = []
    for extent, first, last in pieces_of(extents, start, length):
        if extent.kind == INLINE:
            data = edit.inline_bytes(extent)[first:last]
            shared.append(edit.add_inline(edit.next_sequence(), data, crc64nvme(data)))
        else:
            piece = Extent(FILE, extent.id, last - first, extent.digest, first, extent.file_length)
            shared.append(piece)
    edit.hold(shared, least=1)
    return shared
