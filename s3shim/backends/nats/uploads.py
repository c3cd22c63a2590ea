"""Multipart uploads: begun, found, ended without an object."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from s3shim.backends.nats.failures import FAILURES, WRONG_LAST_SEQUENCE, JetStreamError, answer_of, answered
from s3shim.backends.nats.store import Calls, Store
from s3shim.backends.nats.upload_records import (
    OPEN,
    UploadRecord,
    is_upload_id,
    load_part,
    load_upload,
    new_upload_id,
    parts_prefix,
    record_of,
    upload_key,
)
from s3shim.errors import Code, S3Error
from s3shim.model import UploadInfo, UploadRef

_PATIENCE, _PAUSE = 40, 0.05


class Uploads(Calls):
    """CreateMultipartUpload, AbortMultipartUpload."""

    def create_multipart_upload(self, bucket: str, upload: UploadInfo) -> UploadInfo:
        """See Backend."""
        store = self.store
        incarnation = store.call(store.buckets.find(bucket)).incarnation
        info = replace(upload, upload_id=new_upload_id(), initiated=time.time_ns() // 1_000_000)
        key = upload_key(bucket, incarnation, info.upload_id)
        store.call(store.kv.put(key, record_of(info).dump(), 0), bucket)
        return info

    def head_multipart_upload(self, upload: UploadRef) -> UploadInfo:
        """See Backend."""
        return self.store.call(find_upload(self.store, upload))[1].info()

    def abort_multipart_upload(self, upload: UploadRef) -> None:
        """See Backend."""
        abort(self.store, upload)


async def find_upload(store: Store, upload: UploadRef) -> tuple[str, UploadRecord]:
    """Return an upload under way and its key. Raises NoSuchUpload, NoSuchBucket, ServiceUnavailable."""
    known = store.buckets.remembered(upload.bucket) or await store.buckets.find(upload.bucket)
    if is_upload_id(upload.upload_id):
        key = upload_key(upload.bucket, known.incarnation, upload.upload_id)
        with answered(upload.bucket):
            found = await store.kv.get(key)
        if found is not None:
            record = load_upload(found.data, found.seq)
            if record.key == upload.key:
                return key, record
    # What was remembered may be a bucket that is gone.
    await store.buckets.find(upload.bucket)
    raise S3Error(Code.NoSuchUpload, UploadId=upload.upload_id)


async def find_open(store: Store, upload: UploadRef) -> None:
    """Raise NoSuchUpload unless the upload takes parts; whoever completes it may soon be refused."""
    for _ in range(_PATIENCE):
        _, found = await find_upload(store, upload)
        if found.state == OPEN:
            return
        await asyncio.sleep(_PAUSE)
    raise S3Error(Code.NoSuchUpload, UploadId=upload.upload_id)


def abort(store: Store, upload: UploadRef) -> None:
    """End an upload; one that is being completed just now, its completion comes first or fails."""
    while True:
        key, record = store.call(find_upload(store, upload))
        try:
            store.bridge.call(store.kv.delete(key, record.seq))
            break
        except JetStreamError as refused:
            if refused.code not in WRONG_LAST_SEQUENCE:
                raise answer_of(refused, upload.bucket) from None
            time.sleep(_PAUSE)
        except FAILURES as failure:
            raise answer_of(failure, upload.bucket) from None
    free_parts(store, upload.bucket, upload.upload_id)
    store.reclaim.later(upload.bucket, upload.key, record.nuid)


def free_parts(store: Store, bucket: str, upload_id: str, *, keep: str = "") -> None:
    """Remove the records of all parts, and their chunks but those of the nuid ``keep``."""
    for value in store.cached.scan(parts_prefix(upload_id), bucket):
        store.call(free_part(store, bucket, value.key, load_part(value.data).nuid, keep))


async def free_part(store: Store, bucket: str, key: str, nuid: str, keep: str = "") -> None:
    """Remove a record, and the chunks of ``nuid`` unless that is ``keep``; the sweep takes what is left."""
    try:
        await store.kv.delete(key)
        if nuid and nuid != keep:
            await store.reclaim.remove(bucket, nuid)
    except FAILURES:
        return
