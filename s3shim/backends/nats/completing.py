"""CompleteMultipartUpload: the parts' chunks are read, verified and sent again, in order, as one object.

An object of the Object Store is the chunks of one nuid in the order in which they came, so parts cannot be
strung together: only an upload of one part becomes the object as it is. One gateway does the work, and says
so in the upload's record; when it is gone, the next request begins anew. Before the object is committed the
record says how: whoever finds it then can tell what has happened, or do it.
"""

from __future__ import annotations

import time
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import asdict

from s3shim.backends.nats.catalog import info_of, seq_of
from s3shim.backends.nats.failures import FAILURES, WRONG_LAST_SEQUENCE, JetStreamError, answer_of
from s3shim.backends.nats.format import Content, Entry, write_entry
from s3shim.backends.nats.reading import read_content
from s3shim.backends.nats.store import Store
from s3shim.backends.nats.stored import StoredBody, write_parts
from s3shim.backends.nats.upload_records import (
    COMMITTING,
    COMPLETING,
    OPEN,
    Completed,
    PartRecord,
    UploadRecord,
    completed_key,
    is_upload_id,
    load_completed,
    load_part,
    parts_prefix,
)
from s3shim.backends.nats.uploads import find_upload, free_parts
from s3shim.backends.nats.writing import Written, release, store_rest
from s3shim.conditions import NO_CONDITIONS, Conditions, check_write
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectInfo, ObjectPart, UploadRef
from s3shim.multipart import Completion, Whole, assemble

_REPLAY = 24 * 3600
_BEAT = 5_000
_GONE = 30_000
_PAUSE = 0.1
_ATTEMPTS = 50


class Overtaken(Exception):
    """Somebody else has changed the upload's record."""


class Completing:
    """One request to complete an upload, whose ``record`` is under ``key`` of the key-value bucket."""

    def __init__(
        self, store: Store, upload: UploadRef, completion: Completion, conditions: Conditions
    ) -> None:
        self.store = store
        self.upload = upload
        self.completion = completion
        self.conditions = conditions
        self.key = ""
        self.record = UploadRecord("", "", 0, "", {}, None, "")

    def run(self) -> ObjectInfo:
        """See Backend.complete_multipart_upload."""
        while True:
            try:
                self.key, self.record = self.store.call(find_upload(self.store, self.upload))
            except S3Error as error:
                if error.code is not Code.NoSuchUpload:
                    raise
                done = self._replayed()
                if done is None:
                    raise
                return done
            try:
                if self.record.state == OPEN or self._abandoned():
                    return self._complete()
                if self.record.state == COMMITTING:
                    return self._finish()
            except Overtaken:
                pass
            except FAILURES as failure:
                raise answer_of(failure, self.upload.bucket) from None
            time.sleep(_PAUSE)

    def _abandoned(self) -> bool:
        return self.record.state == COMPLETING and _now() - self.record.beat > _GONE

    def _replayed(self) -> ObjectInfo | None:
        """Return what the same completion was answered before."""
        if not is_upload_id(self.upload.upload_id):
            return None
        try:
            found = self.store.call(self.store.kv.get(completed_key(self.upload.upload_id)))
        except FAILURES as failure:
            raise answer_of(failure, self.upload.bucket) from None
        if found is None:
            return None
        done = load_completed(found.data)
        info = done.object_info()
        incarnation = self.store.call(self.store.buckets.find(self.upload.bucket)).incarnation
        asked = incarnation, self.upload.key, self.completion.fingerprint
        same = (done.incarnation, info.key, done.fingerprint) == asked
        return info if same else None

    def _complete(self) -> ObjectInfo:
        """Make the object of the parts; where that is refused, the upload is as it was."""
        store, bucket = self.store, self.upload.bucket
        self._choose(self._parts())
        written = Written(store, bucket)
        old, self.record.nuid = self.record.nuid, written.nuid
        self.record.state = COMPLETING
        self._save()
        alone = False
        try:
            # A part that was written before the record said so is found now; one that comes later is refused.
            stored = self._parts()
            whole = self._choose(stored)
            parts = [stored[part.part_number] for part in whole.parts]
            if old and old not in [part.nuid for part in stored.values()]:
                store.call(store.reclaim.remove(bucket, old))
            alone = len(parts) == 1
            if alone:
                self.record.nuid = parts[0].nuid
            content = self._one(parts[0]) if alone else self._gather(written, parts, whole.size)
            self._prepare(whole, content)
            return self._finish()
        except S3Error as error:
            if error.code is Code.ServiceUnavailable and self.record.state == COMMITTING:
                # It may have happened: the same request again, to any gateway, finds out.
                raise
            # An upload that was aborted has lost its parts: what is missing then is the upload.
            self._give_back(keep=alone)
            raise
        except Overtaken:
            if not alone:
                store.call(store.reclaim.remove(bucket, written.nuid))
            raise

    def _choose(self, stored: dict[int, PartRecord]) -> Whole:
        """Return what the listed parts make. Raises what ``assemble`` and ``check_write`` raise."""
        infos = {number: part.info() for number, part in stored.items()}
        whole = assemble(self.record.info(), infos, self.completion)
        current = self.store.call(self.store.catalog.entry(self.upload.bucket, self.upload.key))
        check_write(self.conditions, info_of(current, self.upload.key))
        return whole

    def _parts(self) -> dict[int, PartRecord]:
        values = self.store.scan(parts_prefix(self.upload.upload_id), self.upload.bucket)
        parts = [load_part(value.data) for value in values]
        return {part.part_number: part for part in parts}

    def _one(self, part: PartRecord) -> Content:
        """Return the content of the only part, which is the object's."""
        digest = StoredBody(self._pieces([part]), part.size, "sha256")
        while digest.read(1 << 20):
            continue
        return Content(
            self._incarnation,
            part.nuid,
            part.size,
            part.chunks,
            digest.sha256,
            first=part.first,
            last=part.last,
        )

    def _gather(self, written: Written, parts: list[PartRecord], size: int) -> Content:
        """Write the parts as one object."""
        written.take(StoredBody(self._pieces(parts), size))
        self.store.call(store_rest(written))
        return written.content

    @property
    def _incarnation(self) -> str:
        return self.key.split(".")[2]

    def _pieces(self, parts: list[PartRecord]) -> Iterator[bytes]:
        for part in parts:
            for piece in read_content(self.store, self.upload.bucket, part.entry()):
                if _now() - self.record.beat > _BEAT:
                    self._save()
                yield piece

    def _save(self) -> None:
        """Write the record down over the one that was seen. Raises Overtaken."""
        self.record.beat = _now()
        kv = self.store.kv
        try:
            self.record.seq = self.store.call(kv.put(self.key, self.record.dump(), self.record.seq))
        except JetStreamError as refused:
            if refused.code in WRONG_LAST_SEQUENCE:
                raise Overtaken from None
            raise answer_of(refused, self.upload.bucket) from None
        except FAILURES as failure:
            raise answer_of(failure, self.upload.bucket) from None

    def _prepare(self, whole: Whole, content: Content) -> None:
        """Store what the metadata has no room for, and say in the record what is to be committed."""
        upload, record = self.upload, self.record
        info = ObjectInfo(
            upload.key,
            whole.size,
            whole.etag,
            _now(),
            record.info().meta,
            whole.checksums,
            checksum_type=whole.checksum_type,
            parts_count=len(whole.parts),
        )
        parts = [ObjectPart(part.part_number, part.size, part.checksums) for part in whole.parts]
        try:
            self.store.call(write_parts(self.store, upload.bucket, content.nuid, parts))
        except FAILURES as failure:
            raise answer_of(failure, upload.bucket) from None
        record.message = b64encode(write_entry(upload.bucket, info, content, parts)).decode()
        record.outcome = (
            Completed(self._incarnation, self.completion.fingerprint, asdict(info)).dump().decode()
        )

    def _finish(self) -> ObjectInfo:
        """Commit what the record says, or find that it has been, and end the upload."""
        store, upload, record = self.store, self.upload, self.record
        replaced = self._commit()
        done = load_completed(record.outcome.encode())
        store.call(store.kv.put(completed_key(upload.upload_id), done.dump(), seconds=_REPLAY))
        store.call(store.kv.delete(self.key))
        free_parts(store, upload.bucket, upload.upload_id, keep=record.nuid)
        release(store, upload.bucket, upload.key, replaced)
        return done.object_info()

    def _commit(self) -> Entry | None:
        """Publish the metadata; return the entry that it replaced. Raises what ``check_write`` raises."""
        store, bucket, key, record = self.store, self.upload.bucket, self.upload.key, self.record
        data = b64decode(record.message)
        sure = record.state != COMMITTING
        for _ in range(_ATTEMPTS):
            current = store.call(store.catalog.entry(bucket, key))
            if current is not None and not current.deleted and current.nuid == record.nuid:
                return None
            if not sure and seq_of(current) != record.expected:
                # Ours was replaced, or came too late and never will: either way others came after it.
                if self.conditions is not NO_CONDITIONS:
                    raise S3Error(Code.ConditionalRequestConflict)
                return None
            check_write(self.conditions, info_of(current, key))
            if store.call(store.buckets.find(bucket)).incarnation != self._incarnation:
                raise S3Error(Code.NoSuchBucket, BucketName=bucket)
            record.state, record.expected = COMMITTING, seq_of(current)
            self._save()
            if store.call(store.catalog.rewrite(bucket, key, data, current)):
                return current
            sure = True
        raise S3Error(Code.SlowDown)

    def _give_back(self, *, keep: bool) -> None:
        """Let the upload be as it was before. Raises Overtaken."""
        nuid = self.record.nuid
        self.record.state, self.record.nuid, self.record.message, self.record.outcome = OPEN, "", "", ""
        self._save()
        if not keep:
            self.store.call(self.store.reclaim.remove(self.upload.bucket, nuid))


def _now() -> int:
    return time.time_ns() // 1_000_000
