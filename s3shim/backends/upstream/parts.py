"""Parts on their way up, to a place of our own: none of them is to be seen under a key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from s3shim.backends.upstream.bodies import Counted, hold_back, md5_of, read_ahead
from s3shim.backends.upstream.locks import BUCKET, KEY, Lock
from s3shim.backends.upstream.uploads import Part, Uploads
from s3shim.conditions import Conditions, ETagList, check_copy
from s3shim.copying import Copy
from s3shim.model import Body, PartInfo, UploadRef
from s3shim.ranges import ByteRange

_SMALL = 64 * 1024
"""Bytes of the largest object that is copied through here: no more work than to have the upstream do it."""


class Parts(Uploads):
    """The part of UpstreamBackend that uploads parts."""

    def upload_part(self, upload: UploadRef, part_number: int, body: Body) -> PartInfo:
        """See Backend."""
        self.head_multipart_upload(upload)
        data = read_ahead(body, self.settings.block_size)
        if not isinstance(data, bytes):
            return self._stream_part(upload, part_number, data, body)
        info = PartInfo(part_number, len(data), body.digests.md5, 0, body.digests.checksums)
        with self.holding(upload, part=part_number) as found:
            etag = ""
            if data or self.dialect.empty_parts:
                etag = self.send_part(self.slot(found, part_number), data)
                self.same_bytes(etag, info.etag)
            self.keep_part(upload, Part(info, etag))
        return info

    def _stream_part(
        self, upload: UploadRef, part_number: int, chunks: Iterator[bytes], body: Body
    ) -> PartInfo:
        """Send a part that does not fit into memory; its last bytes only once all of it was verified.

        Until then the upstream keeps the part that was there before.
        """
        began = self.now()
        found = self.upload(upload)
        counted = Counted(chunks, body)
        with ExitStack() as held:

            def verified() -> None:
                held.enter_context(self.holding(upload, part=part_number))
                if self.dialect.dated_by_begin:
                    self.refuse_late(upload, part_number, began)

            sent = hold_back(counted, verified)
            etag = self.send_part(self.slot(found, part_number), sent, body.length)
            self.same_bytes(etag, body.digests.md5)
            info = PartInfo(part_number, counted.size, body.digests.md5, 0, body.digests.checksums)
            self.keep_part(upload, Part(info, etag))
        return info

    def upload_part_copy(
        self, upload: UploadRef, part_number: int, copy: Copy, byte_range: ByteRange | None
    ) -> PartInfo:
        """See Backend. The bytes do not leave the upstream."""
        seen = self.bucket(copy.source.bucket)
        source_locks = (
            Lock(BUCKET, copy.source.bucket, exclusive=False),
            Lock(KEY, copy.source.bucket, copy.source.key, exclusive=False),
        )
        with self.holding(upload, part=part_number) as found, self.locks.hold(*source_locks):
            self.still(seen)
            source = self.find(copy.source)
            check_copy(self.as_listed(copy.conditions, source), source.info)
            start, length = 0, source.info.size
            if byte_range is not None:
                start, length = byte_range.resolve_whole(length)
            etag = ""
            if length > _SMALL:
                extent = None if length == source.info.size else (start, length)
                slot = self.slot(found, part_number)
                etag = self.copy_part_upstream(slot, self.at(copy.source), source.upstream_etag, extent)
            elif length:
                # Garage copies no part of an object that it keeps beside its record.
                stream = self.get_object(
                    copy.source, ByteRange(start, start + length - 1), _only(source.info.etag)
                )
                etag = self.send_part(self.slot(found, part_number), b"".join(stream.chunks))
            # The ETag of the whole is made of such as are 16 bytes.
            told = etag or source.info.etag
            if not self.is_md5(told):
                told = md5_of(f"{told} {start} {length}".encode())
            info = PartInfo(part_number, length, told, 0, {})
            self.keep_part(upload, Part(info, etag))
        return info


def _only(etag: str) -> Conditions:
    return Conditions(if_match=ETagList(frozenset({etag})))
