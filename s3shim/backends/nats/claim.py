"""The record of an upload in the hands of one who completes it: whoever writes it over another fails."""

from __future__ import annotations

import time

from s3shim.backends.nats.failures import FAILURES, WRONG_LAST_SEQUENCE, JetStreamError, answer_of
from s3shim.backends.nats.store import Store
from s3shim.backends.nats.upload_records import (
    COMMITTING,
    COMPLETING,
    OPEN,
    PartRecord,
    UploadRecord,
    completed_key,
    is_upload_id,
    load_completed,
    load_part,
    parts_prefix,
)
from s3shim.backends.nats.uploads import find_upload
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectInfo, UploadRef

_BEAT = 5_000
_GONE = 30_000


class Overtaken(Exception):
    """Somebody else has changed the upload's record."""


class Claim:
    """``record`` is the upload's, under ``key`` of the key-value bucket, as this one last saw or wrote it."""

    def __init__(self, store: Store, upload: UploadRef) -> None:
        self.store = store
        self.upload = upload
        self.key = ""
        self.record = UploadRecord("", "", 0, "", {}, None, "")

    @property
    def incarnation(self) -> str:
        """Which of the buckets of one name it is of."""
        return self.key.split(".")[2]

    @property
    def free(self) -> bool:
        """Whether nobody is completing the upload."""
        gone = self.record.state == COMPLETING and now() - self.record.beat > _GONE
        return self.record.state == OPEN or gone

    @property
    def committing(self) -> bool:
        """Whether the record says what is to be committed."""
        return self.record.state == COMMITTING

    def look(self) -> None:
        """Read the record. Raises NoSuchUpload, NoSuchBucket, ServiceUnavailable."""
        self.key, self.record = self.store.call(find_upload(self.store, self.upload))

    def check(self) -> None:
        """Raise Overtaken unless the record is the one that was seen; ServiceUnavailable."""
        seen = self.record.seq
        try:
            self.look()
        except S3Error as error:
            if error.code is Code.ServiceUnavailable:
                raise
            raise Overtaken from None
        if self.record.seq != seen:
            raise Overtaken

    def take(self, nuid: str) -> str:
        """Begin to complete, with ``nuid`` for the object; return that of one who began. Raises Overtaken."""
        old, self.record.nuid, self.record.state = self.record.nuid, nuid, COMPLETING
        self.save()
        return old

    def beat(self) -> None:
        """Say now and then that this one is still at it. Raises Overtaken."""
        if now() - self.record.beat > _BEAT:
            self.save()

    def save(self) -> None:
        """Write the record down over the one that was seen. Raises Overtaken, ServiceUnavailable."""
        self.record.beat = now()
        try:
            change = self.store.kv.put(self.key, self.record.dump(), self.record.seq)
            self.record.seq = self.store.bridge.call(change)
        except JetStreamError as refused:
            if refused.code in WRONG_LAST_SEQUENCE:
                raise Overtaken from None
            raise answer_of(refused, self.upload.bucket) from None
        except FAILURES as failure:
            raise answer_of(failure, self.upload.bucket) from None

    def give_back(self) -> None:
        """Let the upload be as it was before. Raises Overtaken."""
        self.record.state, self.record.nuid, self.record.message, self.record.outcome = OPEN, "", "", ""
        self.save()

    def parts(self) -> dict[int, PartRecord]:
        """Return the parts of the upload, as they are now."""
        values = self.store.cached.scan(parts_prefix(self.upload.upload_id), self.upload.bucket)
        parts = [load_part(value.data) for value in values]
        return {part.part_number: part for part in parts}

    def replayed(self, fingerprint: str) -> ObjectInfo | None:
        """Return what the same completion was answered before."""
        store, upload = self.store, self.upload
        if not is_upload_id(upload.upload_id):
            return None
        found = store.call(store.kv.get(completed_key(upload.upload_id)), upload.bucket)
        if found is None:
            return None
        done = load_completed(found.data)
        info = done.object_info()
        asked = store.call(store.buckets.find(upload.bucket)).incarnation, upload.key, fingerprint
        return info if (done.incarnation, info.key, done.fingerprint) == asked else None


def now() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000
