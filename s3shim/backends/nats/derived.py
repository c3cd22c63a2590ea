"""Deletes, tags and copies: changes of objects that are there."""

from __future__ import annotations

import time
from dataclasses import replace

from s3shim.backends.nats.format import with_meta, with_tags
from s3shim.backends.nats.reading import locate, open_object
from s3shim.backends.nats.store import Store
from s3shim.backends.nats.stored import StoredBody, read_parts
from s3shim.backends.nats.writing import Written, finish, release
from s3shim.conditions import NO_CONDITIONS, Conditions, check_copy, check_write
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.model import NULL_VERSION, Deleted, ObjectInfo, ObjectRef

_ATTEMPTS = 100


def delete_object(store: Store, ref: ObjectRef, conditions: Conditions) -> Deleted:
    """See Backend.delete_object."""
    if ref.version_id in (None, NULL_VERSION):
        gone = store.call(store.catalog.delete(ref.bucket, ref.key, conditions))
        release(store, ref.bucket, ref.key, gone)
    else:
        store.call(store.buckets.find(ref.bucket))
    return Deleted()


def put_object_tags(store: Store, ref: ObjectRef, tags: dict[str, str]) -> None:
    """See Backend.put_object_tags."""
    store.call(_put_tags(store, ref, tags))


async def _put_tags(store: Store, ref: ObjectRef, tags: dict[str, str]) -> None:
    for _ in range(_ATTEMPTS):
        place = await locate(store, ref)
        entry = place.entry
        if await store.catalog.rewrite(place.bucket, place.key, with_tags(entry, tags), entry):
            return
    raise S3Error(Code.SlowDown)


def copy_object(store: Store, copy: Copy, target: ObjectRef, conditions: Conditions) -> ObjectInfo:
    """See Backend.copy_object. The bytes are read and written again: an object cannot share another's."""
    if (copy.source.bucket, copy.source.key) == (target.bucket, target.key):
        info = store.call(_copy_to_itself(store, copy, conditions))
        if info is not None:
            return info
    place, stream = open_object(store, copy.source, None, NO_CONDITIONS)
    try:
        check_copy(copy.conditions, stream.info)
        written = Written(store, target.bucket)
        algorithm = next(iter(stream.info.checksums), "crc64nvme")
        written.take(StoredBody(stream.chunks, stream.length, "md5", algorithm))
    finally:
        stream.chunks.close()
    parts = store.call(read_parts(store, place.bucket, place.entry))
    info = _copied(copy, stream.info, target.key)
    if not place.entry.record.get("etag"):
        info.etag, info.checksums = written.digests.md5, written.sums
    store.call(finish(written, info, parts, conditions))
    return info


async def _copy_to_itself(store: Store, copy: Copy, conditions: Conditions) -> ObjectInfo | None:
    """Give an object of ours other metadata and a new time; None where it is not one of ours."""
    key = copy.source.key
    for _ in range(_ATTEMPTS):
        place = await locate(store, copy.source)
        entry = place.entry
        if not entry.record.get("etag") or (place.bucket, place.key) != (copy.source.bucket, key):
            return None
        source = entry.info(key)
        check_copy(copy.conditions, source)
        check_write(conditions, source)
        info = _copied(copy, source, key)
        if await store.catalog.rewrite(place.bucket, key, with_meta(entry, info), entry):
            return info
    raise S3Error(Code.SlowDown)


def _copied(copy: Copy, source: ObjectInfo, key: str) -> ObjectInfo:
    meta = replace(
        source.meta if copy.meta is None else copy.meta,
        tags=source.meta.tags if copy.tags is None else copy.tags,
    )
    return replace(source, key=key, last_modified=time.time_ns() // 1_000_000, meta=meta)
