"""CompleteMultipartUpload of the local store.

The parts' extents become the object's: only rows of the index change, and the files stay where they are.
"""

from __future__ import annotations

from hmac import compare_digest

from s3shim.backends.local import upload_rows
from s3shim.backends.local.records import (
    CompletedRecord,
    LaidPart,
    Layout,
    ObjectRecord,
    PartRecord,
    UploadRecord,
)
from s3shim.backends.local.store import Store
from s3shim.backends.local.tables import Edit
from s3shim.backends.local.writing import check_target
from s3shim.conditions import Conditions
from s3shim.model import ObjectInfo, UploadRef
from s3shim.multipart import Completion, Whole, assemble


class Completing:
    """The part of LocalBackend that completes multipart uploads."""

    store: Store

    def complete_multipart_upload(
        self, upload: UploadRef, completion: Completion, conditions: Conditions
    ) -> ObjectInfo:
        """See Backend."""
        settings = self.store.settings
        fingerprint = completion.fingerprint

        def change(edit: Edit) -> ObjectInfo:
            found = upload_rows.look(edit, upload)
            if found is None:
                return _answered(edit, upload, fingerprint)
            parts = dict(upload_rows.parts(edit, found.sequence))
            stored = {part_number: part.info(part_number) for part_number, part in parts.items()}
            whole = assemble(found.record.info(upload.key, upload.upload_id), stored, completion)
            current = check_target(edit, found.bucket_id, upload.key, conditions)
            record = _record(found.record, whole)
            record.sequence = edit.next_sequence()
            record.last_modified = settings.clock()
            due = settings.due()
            edit.put_layout(record.sequence, _layout(whole, parts))
            _end(edit, found, whole, parts, due)
            edit.replace(found.bucket_id, upload.key, record, current, due)
            answer = CompletedRecord(found.record.nonce, found.bucket_id, upload.key, fingerprint, record)
            upload_rows.put_completed(edit, found.sequence, record.last_modified, answer)
            return record.info(upload.key)

        return self.store.committer.run(change)


def _record(upload: UploadRecord, whole: Whole) -> ObjectRecord:
    return ObjectRecord(
        sequence=0,
        size=whole.size,
        etag=whole.etag,
        last_modified=0,
        extents=[],
        content_type=upload.content_type,
        system=upload.system,
        user=upload.user,
        tags=upload.tags,
        checksums=whole.checksums,
        checksum_type=whole.checksum_type,
        parts_count=len(whole.parts),
    )


def _layout(whole: Whole, parts: dict[int, PartRecord]) -> Layout:
    extents = [extent for part in whole.parts for extent in parts[part.part_number].extents]
    return Layout(extents, [LaidPart(part.part_number, part.size, part.checksums) for part in whole.parts])


def _end(
    edit: Edit, upload: upload_rows.Upload, whole: Whole, parts: dict[int, PartRecord], due: int
) -> None:
    # The listed parts' extents are the object's now and stay counted, the others' are released.
    listed = {part.part_number for part in whole.parts}
    for part_number, part in parts.items():
        if part_number not in listed:
            edit.release(part.extents, due)
    upload_rows.forget_upload(edit, upload.key, list(parts))


def _answered(edit: Edit, upload: UploadRef, fingerprint: str) -> ObjectInfo:
    # The same answer as before to the same question; nothing is known of any other.
    sequence, nonce = upload_rows.parse_id(upload)
    found = upload_rows.completed(edit, sequence)
    if found is None or not compare_digest(found.nonce, nonce):
        raise upload_rows.no_such_upload(upload)
    asked = (edit.bucket(upload.bucket).id, upload.key, fingerprint)
    if asked != (found.bucket_id, found.key, found.fingerprint):
        raise upload_rows.no_such_upload(upload)
    return found.record.info(upload.key)
