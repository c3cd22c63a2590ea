"""Multipart uploads: begun, listed, filled with parts, ended. How they are completed: ``completing``."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from s3shim.backends.nats.failures import FAILURES, WRONG_LAST_SEQUENCE, JetStreamError, answer_of
from s3shim.backends.nats.reading import open_object
from s3shim.backends.nats.store import Store
from s3shim.backends.nats.stored import StoredBody
from s3shim.backends.nats.upload_records import (
    OPEN,
    PartRecord,
    UploadRecord,
    is_upload_id,
    load_part,
    load_upload,
    new_upload_id,
    part_key,
    parts_prefix,
    record_of,
    upload_key,
    uploads_prefix,
)
from s3shim.backends.nats.writing import Written, store_rest
from s3shim.conditions import NO_CONDITIONS, check_copy
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.model import Body, Page, PartInfo, UploadInfo, UploadQuery, UploadRef
from s3shim.paging import list_uploads_page, upload_position
from s3shim.ranges import ByteRange

_ATTEMPTS = 50
_PATIENCE, _PAUSE = 40, 0.05


def create_multipart_upload(store: Store, bucket: str, upload: UploadInfo) -> UploadInfo:
    """See Backend."""
    incarnation = store.call(store.buckets.find(bucket)).incarnation
    info = replace(upload, upload_id=new_upload_id(), initiated=time.time_ns() // 1_000_000)
    try:
        store.call(store.kv.put(upload_key(bucket, incarnation, info.upload_id), record_of(info).dump(), 0))
    except FAILURES as failure:
        raise answer_of(failure, bucket) from None
    return info


def head_multipart_upload(store: Store, upload: UploadRef) -> UploadInfo:
    """See Backend."""
    return store.call(find_upload(store, upload))[1].info()


async def find_upload(store: Store, upload: UploadRef) -> tuple[str, UploadRecord]:
    """Return an upload under way and its key. Raises NoSuchUpload, NoSuchBucket, ServiceUnavailable."""
    known = store.buckets.remembered(upload.bucket) or await store.buckets.find(upload.bucket)
    if is_upload_id(upload.upload_id):
        key = upload_key(upload.bucket, known.incarnation, upload.upload_id)
        try:
            found = await store.kv.get(key)
        except FAILURES as failure:
            raise answer_of(failure, upload.bucket) from None
        if found is not None:
            record = load_upload(found.data, found.seq)
            if record.key == upload.key:
                return key, record
    # What was remembered may be a bucket that is gone.
    await store.buckets.find(upload.bucket)
    raise S3Error(Code.NoSuchUpload, UploadId=upload.upload_id)


def upload_part(store: Store, upload: UploadRef, part_number: int, body: Body) -> PartInfo:
    """See Backend."""
    store.call(find_upload(store, upload))
    written = Written(store, upload.bucket)
    written.take(body)
    return _finish_part(written, upload, part_number, written.digests.md5, written.sums)


def upload_part_copy(
    store: Store, upload: UploadRef, part_number: int, copy: Copy, byte_range: ByteRange | None
) -> PartInfo:
    """See Backend. The bytes are read and written again."""
    store.call(find_upload(store, upload))
    if byte_range is not None:
        whole = open_object(store, copy.source, None, NO_CONDITIONS)[1]
        whole.chunks.close()
        check_copy(copy.conditions, whole.info)
        byte_range.resolve_whole(whole.info.size)
    stream = open_object(store, copy.source, byte_range, NO_CONDITIONS)[1]
    try:
        check_copy(copy.conditions, stream.info)
        written = Written(store, upload.bucket)
        written.take(StoredBody(stream.chunks, stream.length, "md5"))
    finally:
        stream.chunks.close()
    return _finish_part(written, upload, part_number, written.digests.md5, {})


def _finish_part(
    written: Written, upload: UploadRef, part_number: int, etag: str, checksums: dict[str, str]
) -> PartInfo:
    info = PartInfo(part_number, written.size, etag, time.time_ns() // 1_000_000, checksums)
    written.store.call(_record_part(written, upload, info))
    return info


async def _record_part(written: Written, upload: UploadRef, info: PartInfo) -> None:
    """Store the rest of a part and its record; take it back where the upload has ended meanwhile."""
    store, bucket = written.store, written.bucket
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
            content.chunks,
            content.first,
            content.last,
        )
        replaced = await _put_part(store, upload, record)
        if replaced is not None:
            # Somebody may be completing the upload with it.
            store.reclaim.later(bucket, upload.key, replaced.nuid)
        await _find_open(store, upload)
    except BaseException as error:
        if isinstance(error, S3Error) and error.code is Code.NoSuchUpload:
            await remove_part(store, upload.bucket, upload.upload_id, info.part_number, written.nuid)
        elif not isinstance(error, S3Error) or error.code is not Code.ServiceUnavailable:
            await written.remove()
        raise


async def _find_open(store: Store, upload: UploadRef) -> None:
    """Raise NoSuchUpload unless the upload takes parts; whoever completes it may soon be refused."""
    for _ in range(_PATIENCE):
        _, found = await find_upload(store, upload)
        if found.state == OPEN:
            return
        await asyncio.sleep(_PAUSE)
    raise S3Error(Code.NoSuchUpload, UploadId=upload.upload_id)


async def _put_part(store: Store, upload: UploadRef, record: PartRecord) -> PartRecord | None:
    """Make the record that of the part; return the one before it."""
    key = part_key(upload.upload_id, record.part_number)
    try:
        for _ in range(_ATTEMPTS):
            before = await store.kv.last(key)
            try:
                await store.kv.put(key, record.dump(), 0 if before is None else before.seq)
            except JetStreamError as refused:
                if refused.code not in WRONG_LAST_SEQUENCE:
                    raise
                continue
            return load_part(before.data) if before is not None and before.data else None
    except FAILURES as failure:
        raise answer_of(failure, upload.bucket) from None
    raise S3Error(Code.SlowDown)


async def remove_part(store: Store, bucket: str, upload_id: str, part_number: int, nuid: str) -> None:
    """Remove the record of a part, if it is still this one, and its chunks."""
    key = part_key(upload_id, part_number)
    try:
        found = await store.kv.get(key)
        if found is not None and load_part(found.data).nuid == nuid:
            await store.kv.delete(key, found.seq)
        await store.reclaim.remove(bucket, nuid)
    except FAILURES:
        return


def abort_multipart_upload(store: Store, upload: UploadRef) -> None:
    """See Backend."""
    key, record = store.call(find_upload(store, upload))
    try:
        store.call(store.kv.delete(key, record.seq))
    except JetStreamError as refused:
        if refused.code not in WRONG_LAST_SEQUENCE:
            raise answer_of(refused, upload.bucket) from None
        # Somebody has begun to complete it, or has ended it: let that one come first.
        time.sleep(0.05)
        return abort_multipart_upload(store, upload)
    except FAILURES as failure:
        raise answer_of(failure, upload.bucket) from None
    free_parts(store, upload.bucket, upload.upload_id, keep="")
    if record.nuid:
        store.reclaim.later(upload.bucket, upload.key, record.nuid)


def free_parts(store: Store, bucket: str, upload_id: str, *, keep: str) -> None:
    """Remove the records of all parts, and their chunks but those of the nuid ``keep``."""
    for value in store.values.scan(parts_prefix(upload_id)):
        store.call(_free_part(store, bucket, value.key, load_part(value.data).nuid, keep))


async def _free_part(store: Store, bucket: str, key: str, nuid: str, keep: str) -> None:
    try:
        await store.kv.delete(key)
        if nuid != keep:
            await store.reclaim.remove(bucket, nuid)
    except FAILURES:
        return


def list_parts(
    store: Store, upload: UploadRef, marker: int, max_parts: int
) -> tuple[UploadInfo, list[PartInfo]]:
    """See Backend."""
    record = store.call(find_upload(store, upload))[1]
    start = part_key(upload.upload_id, marker + 1)
    values = store.scan(parts_prefix(upload.upload_id), upload.bucket, start)
    return record.info(), [load_part(value.data).info() for value in values[:max_parts]]


def list_multipart_uploads(store: Store, bucket: str, query: UploadQuery) -> Page[UploadInfo]:
    """See Backend. The uploads of a bucket are sorted for each page: their keys are too long to be keys."""
    incarnation = store.call(store.buckets.find(bucket)).incarnation
    found = {}
    for value in store.scan(uploads_prefix(bucket, incarnation), bucket):
        record = load_upload(value.data, value.seq)
        found[upload_position(record.key, record.upload_id)] = record
    positions = sorted(found)

    def seek(start: str) -> Iterator[tuple[str, Callable[[str], UploadInfo]]]:
        for position in positions[bisect_left(positions, start) :]:
            yield position, partial(_info, found[position])

    return list_uploads_page(seek, query)


def _info(record: UploadRecord, _position: str) -> UploadInfo:
    return record.info()


def expire_multipart_uploads(store: Store, before: int) -> int:
    """See Backend. Uploads of buckets that are gone are removed too."""
    expired = 0
    incarnations = store.call(_incarnations(store))
    for value in store.scan("upload.", ""):
        _, name, incarnation, upload_id = value.key.split(".")
        bucket = incarnations.get((name, incarnation))
        record = load_upload(value.data, value.seq)
        if bucket is None:
            store.call(_free_part(store, name, value.key, "", ""))
            for part in store.scan(parts_prefix(upload_id), ""):
                store.call(_free_part(store, name, part.key, "", ""))
        elif record.initiated < before and record.state == OPEN:
            abort_multipart_upload(store, UploadRef(bucket, record.key, upload_id))
            expired += 1
    return expired


async def _incarnations(store: Store) -> dict[tuple[str, str], str]:
    found = await asyncio.gather(
        *(store.buckets.find(info.name) for info in await store.buckets.list()), return_exceptions=True
    )
    streams = [each for each in found if not isinstance(each, BaseException)]
    return {(each.store, each.incarnation): each.info.name for each in streams}
