"""What becomes of parts.

A completed upload is an object at a place of our own, which is then copied to its key with its record:
only then are its ETag, its checksums and its table of parts known. It also dates the object by its
completion in an upstream that dates it by the beginning of the upload, as Garage does.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from s3shim.backends.upstream.entries import MAX_INLINE, Entry
from s3shim.backends.upstream.locks import UPLOAD, Lock
from s3shim.backends.upstream.parts import Parts
from s3shim.backends.upstream.uploads import Upload, is_upload_id, no_such_upload
from s3shim.conditions import Conditions
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectInfo, ObjectMeta, ObjectPart, ObjectRef, UploadRef
from s3shim.multipart import Completion, Whole, assemble

REPLAY_MS = 24 * 3600 * 1000
_EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"


class Completing(Parts):
    """The part of UpstreamBackend that makes objects of parts."""

    def complete_multipart_upload(
        self, upload: UploadRef, completion: Completion, conditions: Conditions
    ) -> ObjectInfo:
        """See Backend."""
        seen = self.bucket(upload.bucket)
        with self.locks.hold(Lock(UPLOAD, upload.bucket, upload.upload_id)):
            done = self._completed(upload)
            if done is not None:
                if done[0] != completion.fingerprint:
                    raise no_such_upload(upload)
                return done[1]
            found = self.upload(upload)
            parts = self.parts(upload)
            stored = {number: part.info for number, part in parts.items()}
            whole = assemble(found.info, stored, completion)
            found_parts = [(part.part_number, parts[part.part_number].upstream_etag) for part in whole.parts]
            sent = [(number, etag) for number, etag in found_parts if etag]
            with self.committing(seen, upload.key):
                self.check_conditions(ObjectRef(upload.bucket, upload.key), conditions)
                info = self._make(upload, found, whole, sent)
                self._keep_completed(upload, completion, info)
            self.forget_upload(upload)
            if sent:
                self.drop(self.staged(upload.upload_id))
            else:
                self.abort_upstream(self.staged(upload.upload_id), found.upstream_id)
        return info

    def _make(
        self, upload: UploadRef, found: Upload, whole: Whole, sent: list[tuple[int, str]]
    ) -> ObjectInfo:
        """Make the object of the parts; its lock is held."""
        ref = ObjectRef(upload.bucket, upload.key)
        # Some upstreams give a copy an ETag of its own.
        entry = Entry(0, whole.checksums, whole.checksum_type, len(whole.parts), whole.etag)
        rows: list[list[object]] = [[part.part_number, part.size, part.checksums] for part in whole.parts]
        if len(json.dumps(rows)) <= MAX_INLINE:
            entry.parts = [ObjectPart(part.part_number, part.size, part.checksums) for part in whole.parts]
        else:
            entry.manifest = upload.upload_id
            self.keep_manifest(ref, entry.manifest, rows)
        meta = found.info.meta
        if sent:
            staged = self.staged(upload.upload_id)
            etag = self.complete_upstream(staged, found.upstream_id, whole.size, sent)
            self.place_copy(staged, whole.size, ref, meta, entry, etag)
        else:
            entry.modified = self.now()
            self.put_upstream(self.at(ref), self.headers(meta, entry), b"", _EMPTY_MD5)
        return ObjectInfo(
            upload.key,
            whole.size,
            whole.etag,
            entry.modified,
            meta,
            whole.checksums,
            checksum_type=whole.checksum_type,
            parts_count=len(whole.parts),
        )

    # -- the same completion again ------------------------------------------------------------

    def _keep_completed(self, upload: UploadRef, completion: Completion, info: ObjectInfo) -> None:
        record = {"fingerprint": completion.fingerprint, "info": asdict(info)}
        self.write_own(_completed_name(upload), json.dumps(record).encode())

    def _completed(self, upload: UploadRef) -> tuple[str, ObjectInfo] | None:
        """Return the fingerprint and the answer of a completion of the last 24 hours."""
        if not is_upload_id(upload.upload_id):
            raise no_such_upload(upload)
        data = self.read_own(_completed_name(upload))
        if data is None:
            return None
        try:
            record = json.loads(data)
            fields = record["info"]
            info = ObjectInfo(meta=ObjectMeta(**fields.pop("meta")), **fields)
            fingerprint = str(record["fingerprint"])
        except (ValueError, KeyError, TypeError):
            raise S3Error(Code.InternalError) from None
        if info.key != upload.key or self.now() - info.last_modified >= REPLAY_MS:
            raise no_such_upload(upload)
        return fingerprint, info


def _completed_name(upload: UploadRef) -> str:
    return f"completed/{upload.bucket}/{upload.upload_id}"
