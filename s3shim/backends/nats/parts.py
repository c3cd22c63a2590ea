"""UploadPart: the chunks of a part under a nuid of its own, then its record."""

from __future__ import annotations

import time

from s3shim.backends.nats.failures import WRONG_LAST_SEQUENCE, JetStreamError, answered
from s3shim.backends.nats.store import Calls, Store
from s3shim.backends.nats.upload_records import PartRecord, load_part, part_key
from s3shim.backends.nats.uploads import find_open, find_upload
from s3shim.backends.nats.written import Written, store_rest
from s3shim.errors import Code, S3Error
from s3shim.model import Body, PartInfo, UploadRef

_ATTEMPTS = 50


class Parts(Calls):
    """UploadPart."""

    def upload_part(self, upload: UploadRef, part_number: int, body: Body) -> PartInfo:
        """See Backend."""
        self.store.call(find_upload(self.store, upload))
        written = Written(self.store, upload.bucket)
        written.take(body)
        return finish_part(written, upload, part_number, written.sums)


def finish_part(written: Written, upload: UploadRef, part_number: int, checksums: dict[str, str]) -> PartInfo:
    """Make what was written a part. Raises NoSuchUpload, and what stores raise."""
    now = time.time_ns() // 1_000_000
    info = PartInfo(part_number, written.size, written.digests.md5, now, checksums)
    written.store.call(_record(written, upload, info))
    return info


async def _record(written: Written, upload: UploadRef, info: PartInfo) -> None:
    """Store the rest of a part and its record; take it back where the upload has ended meanwhile."""
    store = written.store
    recorded = False
    try:
        await store_rest(written)
        content = written.content
        record = PartRecord(
            info.part_number,
            info.size,
            info.etag,
            info.last_modified,
            info.checksums,
            content.nuid,
            content.chunk,
            content.chunks,
            content.first,
            content.last,
        )
        with answered(upload.bucket):
            replaced = await _put(store, upload, record)
        recorded = True
        if replaced is not None:
            # Somebody may be completing the upload with it.
            store.reclaim.later(upload.bucket, upload.key, replaced.nuid)
        await find_open(store, upload)
    except S3Error as error:
        if recorded and error.code is not Code.ServiceUnavailable:
            with answered(upload.bucket):
                await _take_back(store, upload, info.part_number, written.nuid)
        if error.code is not Code.ServiceUnavailable:
            await written.remove()
        raise
    except BaseException:
        if not recorded:
            await written.remove()
        raise


async def _put(store: Store, upload: UploadRef, record: PartRecord) -> PartRecord | None:
    """Make the record that of the part; return the one before it. Raises FAILURES, SlowDown."""
    key = part_key(upload.upload_id, record.part_number)
    for _ in range(_ATTEMPTS):
        before = await store.kv.last(key)
        try:
            await store.kv.put(key, record.dump(), 0 if before is None else before.seq)
        except JetStreamError as refused:
            if refused.code not in WRONG_LAST_SEQUENCE:
                raise
            continue
        return load_part(before.data) if before is not None and before.data else None
    raise S3Error(Code.SlowDown)


async def _take_back(store: Store, upload: UploadRef, part_number: int, nuid: str) -> None:
    """Remove the record of a part if it is still this one. Raises FAILURES."""
    key = part_key(upload.upload_id, part_number)
    found = await store.kv.get(key)
    if found is not None and load_part(found.data).nuid == nuid:
        await store.kv.delete(key, found.seq)
