"""Multipart uploads in memory."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

from s3shim.backends.memory.bucket import Completed, Shelf, Upload, now_ms, read_whole
from s3shim.conditions import Conditions, check_copy
from s3shim.copying import Copy
from s3shim.model import (
    Body,
    ObjectInfo,
    ObjectPart,
    Page,
    PartInfo,
    UploadInfo,
    UploadQuery,
    UploadRef,
)
from s3shim.multipart import Completion, assemble
from s3shim.paging import list_uploads_page, upload_position
from s3shim.ranges import ByteRange

_REPLAY_MS = 24 * 3600 * 1000


class Uploads(Shelf):
    """The part of MemoryBackend that Capability.MULTIPART promises."""

    def _upload(self, ref: UploadRef) -> Upload:
        return self.bucket(ref.bucket).upload(ref)

    def create_multipart_upload(self, bucket: str, upload: UploadInfo) -> UploadInfo:
        """See Backend."""
        with self.lock:
            found = self.bucket(bucket)
            upload_id = f"{next(self.upload_numbers):016x}{os.urandom(16).hex()}"
            info = replace(upload, upload_id=upload_id, initiated=now_ms())
            found.uploads[upload_position(info.key, upload_id)] = Upload(info)
        return info

    def head_multipart_upload(self, upload: UploadRef) -> UploadInfo:
        """See Backend."""
        with self.lock:
            return self._upload(upload).info

    def upload_part(self, upload: UploadRef, part_number: int, body: Body) -> PartInfo:
        """See Backend."""
        self.head_multipart_upload(upload)
        data, digests = read_whole(body)
        part = PartInfo(part_number, len(data), digests.md5, now_ms(), digests.checksums)
        with self.lock:
            self._upload(upload).parts[part_number] = part, data
        return part

    def upload_part_copy(
        self, upload: UploadRef, part_number: int, copy: Copy, byte_range: ByteRange | None
    ) -> PartInfo:
        """See Backend."""
        with self.lock:
            found = self._upload(upload)
            source, data = self.bucket(copy.source.bucket).find(copy.source)
            check_copy(copy.conditions, source)
            if byte_range is not None:
                start, length = byte_range.resolve_whole(source.size)
                data = data[start : start + length]
            etag = source.etag
            if source.parts_count or len(data) != source.size:
                description = f"{source.etag} {byte_range}"
                etag = hashlib.md5(description.encode(), usedforsecurity=False).hexdigest()
            part = PartInfo(part_number, len(data), etag, now_ms(), {})
            found.parts[part_number] = part, data
        return part

    def complete_multipart_upload(
        self, upload: UploadRef, completion: Completion, conditions: Conditions
    ) -> ObjectInfo:
        """See Backend."""
        with self.lock:
            bucket = self.bucket(upload.bucket)
            position = upload_position(upload.key, upload.upload_id)
            now = now_ms()
            done = bucket.completed.get(position)
            if (
                done is not None
                and done.fingerprint == completion.fingerprint
                and now - done.info.last_modified < _REPLAY_MS
            ):
                return done.info
            found = bucket.upload(upload)
            whole = assemble(found.info, {n: part for n, (part, _) in found.parts.items()}, completion)
            info = ObjectInfo(
                upload.key,
                whole.size,
                whole.etag,
                now,
                found.info.meta,
                whole.checksums,
                checksum_type=whole.checksum_type,
                parts_count=len(whole.parts),
            )
            data = b"".join(found.parts[part.part_number][1] for part in whole.parts)
            parts = [ObjectPart(part.part_number, part.size, part.checksums) for part in whole.parts]
            bucket.place(info, data, conditions, parts)
            del bucket.uploads[position]
            bucket.completed[position] = Completed(completion.fingerprint, info)
        return info

    def abort_multipart_upload(self, upload: UploadRef) -> None:
        """See Backend."""
        with self.lock:
            self._upload(upload)
            del self.bucket(upload.bucket).uploads[upload_position(upload.key, upload.upload_id)]

    def list_parts(self, upload: UploadRef, marker: int, max_parts: int) -> tuple[UploadInfo, list[PartInfo]]:
        """See Backend."""
        with self.lock:
            found = self._upload(upload)
            numbers = sorted(number for number in found.parts if number > marker)
            return found.info, [found.parts[number][0] for number in numbers[:max_parts]]

    def list_multipart_uploads(self, bucket: str, query: UploadQuery) -> Page[UploadInfo]:
        """See Backend."""
        with self.lock:
            return list_uploads_page(self.bucket(bucket).seek_upload, query)

    def expire_multipart_uploads(self, before: int) -> int:
        """See Backend."""
        self.check()
        expired = 0
        with self.lock:
            for bucket in self.buckets.values():
                old = [at for at, upload in bucket.uploads.items() if upload.info.initiated < before]
                for position in old:
                    del bucket.uploads[position]
                expired += len(old)
        return expired
