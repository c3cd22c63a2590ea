"""UploadPartCopy: the bytes of the source are read and written again, as a part."""

from __future__ import annotations

from s3shim.backends.nats.parts import finish_part
from s3shim.backends.nats.rewriting import rewrite
from s3shim.backends.nats.store import Calls
from s3shim.backends.nats.uploads import find_upload
from s3shim.copying import Copy
from s3shim.model import PartInfo, UploadRef
from s3shim.ranges import ByteRange


class PartCopies(Calls):
    """UploadPartCopy."""

    def upload_part_copy(
        self, upload: UploadRef, part_number: int, copy: Copy, byte_range: ByteRange | None
    ) -> PartInfo:
        """See Backend."""
        store = self.store
        store.call(find_upload(store, upload))
        _, written = rewrite(store, copy, byte_range, upload.bucket)
        return finish_part(written, upload, part_number, {})
