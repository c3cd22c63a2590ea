"""The end of a completion: what the upload's record says is committed, by whoever finds it said.

The record says beforehand which metadata message is to replace which, so that it can be told afterwards
whether it did: nobody makes the object of an upload twice, and a lost answer does no harm.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import asdict

from s3shim.backends.nats.chunks import write_parts
from s3shim.backends.nats.claim import Claim
from s3shim.backends.nats.format import Content, Entry, info_of, seq_of, write_entry
from s3shim.backends.nats.upload_records import COMMITTING, Completed, completed_key, load_completed
from s3shim.backends.nats.uploads import free_parts
from s3shim.conditions import NO_CONDITIONS, Conditions, check_write
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectInfo, ObjectPart

_REPLAY = 24 * 3600
_ATTEMPTS = 50


def prepare(
    claim: Claim, info: ObjectInfo, content: Content, parts: list[ObjectPart], fingerprint: str
) -> None:
    """Store what the metadata has no room for, and put into the record what is to be committed."""
    store, bucket = claim.store, claim.upload.bucket
    store.call(write_parts(store.js, bucket, content.nuid, parts))
    claim.record.message = b64encode(write_entry(bucket, info, content, parts)).decode()
    claim.record.outcome = Completed(claim.incarnation, fingerprint, asdict(info)).dump().decode()


def finish(claim: Claim, conditions: Conditions) -> ObjectInfo:
    """Commit what the record says, or find that it has been, and end the upload.

    Raises what ``check_write`` raises, ConditionalRequestConflict, NoSuchBucket, Overtaken, SlowDown;
    ServiceUnavailable where it cannot be told now: the same request again finds out.
    """
    store, upload, record = claim.store, claim.upload, claim.record
    replaced = _commit(claim, conditions)
    done = load_completed(record.outcome.encode())
    store.call(store.kv.put(completed_key(upload.upload_id), done.dump(), seconds=_REPLAY), upload.bucket)
    store.call(store.kv.delete(claim.key), upload.bucket)
    free_parts(store, upload.bucket, upload.upload_id, keep=record.nuid)
    store.reclaim.replaced(upload.bucket, upload.key, replaced)
    return done.object_info()


def _commit(claim: Claim, conditions: Conditions) -> Entry | None:
    """Publish the metadata; return the entry that it replaced."""
    store, bucket, key, record = claim.store, claim.upload.bucket, claim.upload.key, claim.record
    data = b64decode(record.message)
    sure = record.state != COMMITTING
    for _ in range(_ATTEMPTS):
        current = store.call(store.catalog.entry(bucket, key))
        if current is not None and not current.deleted and current.nuid == record.nuid:
            return None
        if not sure and seq_of(current) != record.expected:
            # Ours was replaced, or came too late and never will: either way others came after it.
            if conditions is not NO_CONDITIONS:
                raise S3Error(Code.ConditionalRequestConflict)
            return None
        check_write(conditions, info_of(current, key))
        looked = store.call(store.catalog.find_same(bucket, claim.incarnation))
        record.state, record.expected = COMMITTING, seq_of(current)
        claim.save()
        if store.call(store.catalog.rewrite(bucket, key, data, current)):
            store.call(store.catalog.confirm(bucket, key, claim.incarnation, record.nuid, looked))
            return current
        sure = True
    raise S3Error(Code.SlowDown)
