"""Multipart uploads of the local store. A part is stored as an object is, but under its upload."""

from __future__ import annotations

import os
from functools import partial
from itertools import islice

from s3shim.backends.local import upload_rows
from s3shim.backends.local.records import PartRecord, UploadRecord
from s3shim.backends.local.store import Store
from s3shim.backends.local.tables import Edit
from s3shim.backends.local.writing import store_body
from s3shim.model import Body, Page, PartInfo, UploadInfo, UploadQuery, UploadRef
from s3shim.paging import list_uploads_page


class Uploads:
    """The part of LocalBackend that begins, fills, lists and aborts multipart uploads."""

    store: Store

    def create_multipart_upload(self, bucket: str, upload: UploadInfo) -> UploadInfo:
        """See Backend."""
        settings = self.store.settings
        nonce = os.urandom(16)

        def change(edit: Edit) -> UploadInfo:
            bucket_id = edit.bucket(bucket).id
            sequence = edit.next_sequence()
            record = UploadRecord(
                nonce=nonce,
                initiated=settings.clock(),
                initiator=upload.initiator,
                content_type=upload.meta.content_type,
                system=upload.meta.system,
                user=upload.meta.user,
                tags=upload.meta.tags,
                checksum_algorithm=upload.checksum_algorithm,
                checksum_type=upload.checksum_type,
            )
            upload_rows.put(edit, bucket_id, upload.key, sequence, record)
            return record.info(upload.key, upload_rows.upload_id_of(sequence, nonce))

        return self.store.committer.run(change)

    def head_multipart_upload(self, upload: UploadRef) -> UploadInfo:
        """See Backend."""
        with self.store.index.read() as view:
            return upload_rows.find(view, upload).record.info(upload.key, upload.upload_id)

    def upload_part(self, upload: UploadRef, part_number: int, body: Body) -> PartInfo:
        """See Backend. The upload is looked for before the body is read too."""
        settings = self.store.settings
        self.head_multipart_upload(upload)
        stored = store_body(self.store, body)
        digests = body.digests

        def change(edit: Edit) -> PartInfo:
            found = upload_rows.find(edit, upload)
            part = PartRecord(
                size=stored.size,
                etag=digests.md5,
                last_modified=settings.clock(),
                extents=stored.extents(edit, edit.next_sequence()),
                checksums=digests.checksums,
            )
            upload_rows.replace_part(edit, found.sequence, part_number, part, settings.due())
            return part.info(part_number)

        try:
            return self.store.committer.run(change)
        except Exception:
            stored.discard(self.store)
            raise

    def abort_multipart_upload(self, upload: UploadRef) -> None:
        """See Backend."""

        def change(edit: Edit) -> None:
            upload_rows.remove(edit, upload_rows.removable(edit, upload), self.store.settings.due())

        self.store.committer.run(change, frees=True)

    def list_parts(self, upload: UploadRef, marker: int, max_parts: int) -> tuple[UploadInfo, list[PartInfo]]:
        """See Backend."""
        with self.store.index.read() as view:
            found = upload_rows.find(view, upload)
            rows = islice(upload_rows.parts(view, found.sequence, marker), max_parts)
            parts = [part.info(part_number) for part_number, part in rows]
            return found.record.info(upload.key, upload.upload_id), parts

    def list_multipart_uploads(self, bucket: str, query: UploadQuery) -> Page[UploadInfo]:
        """See Backend."""
        with self.store.index.read() as view:
            return list_uploads_page(partial(upload_rows.seek, view, view.bucket(bucket).id), query)
