"""UploadPartCopy of the local store: a part of shared extents."""

from __future__ import annotations

import hashlib

from s3shim.backends.local import upload_rows
from s3shim.backends.local.records import PartRecord
from s3shim.backends.local.sources import Source, find_source
from s3shim.backends.local.store import Store
from s3shim.backends.local.tables import Edit
from s3shim.copying import Copy
from s3shim.model import PartInfo, UploadRef
from s3shim.ranges import ByteRange


class PartCopying:
    """The part of LocalBackend that makes parts of other objects."""

    store: Store

    def upload_part_copy(
        self, upload: UploadRef, part_number: int, copy: Copy, byte_range: ByteRange | None
    ) -> PartInfo:
        """See Backend."""
        settings = self.store.settings

        def change(edit: Edit) -> PartInfo:
            found = upload_rows.find(edit, upload)
            source = find_source(edit, copy, byte_range)
            part = PartRecord(
                size=source.length,
                etag=_etag(source),
                last_modified=settings.clock(),
                extents=source.share(edit),
            )
            upload_rows.replace_part(edit, found.sequence, part_number, part, settings.due())
            return part.info(part_number)

        return self.store.committer.run(change)


def _etag(source: Source) -> str:
    # The MD5 of the bytes where it is known, otherwise what tells them from all others.
    record, start, length = source.record, source.start, source.length
    if not record.parts_count and length == record.size:
        return record.etag
    which = f"{record.etag}:{start}-{start + length - 1}:{record.sequence}"
    return hashlib.md5(which.encode(), usedforsecurity=False).hexdigest()
