"""ListParts, ListMultipartUploads, and the end of those that nobody completes."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import partial

from s3shim.backends.nats.store import Calls, Store
from s3shim.backends.nats.upload_records import (
    OPEN,
    UploadRecord,
    load_part,
    load_upload,
    part_key,
    parts_prefix,
    uploads_prefix,
)
from s3shim.backends.nats.uploads import abort, find_upload, free_part
from s3shim.errors import S3Error
from s3shim.model import Page, PartInfo, UploadInfo, UploadQuery, UploadRef
from s3shim.paging import list_uploads_page, upload_position


class UploadListing(Calls):
    """ListParts, ListMultipartUploads."""

    def list_parts(self, upload: UploadRef, marker: int, max_parts: int) -> tuple[UploadInfo, list[PartInfo]]:
        """See Backend."""
        store = self.store
        record = store.call(find_upload(store, upload))[1]
        start = part_key(upload.upload_id, marker + 1)
        values = store.cached.scan(parts_prefix(upload.upload_id), upload.bucket, start)
        return record.info(), [load_part(value.data).info() for value in values[:max_parts]]

    def list_multipart_uploads(self, bucket: str, query: UploadQuery) -> Page[UploadInfo]:
        """See Backend. The uploads are sorted for each page: a key may be too long for a subject."""
        store = self.store
        incarnation = store.call(store.buckets.find(bucket)).incarnation
        found = {}
        for value in store.cached.scan(uploads_prefix(bucket, incarnation), bucket):
            record = load_upload(value.data, value.seq)
            found[upload_position(record.key, record.upload_id)] = record
        positions = sorted(found)

        def seek(start: str) -> Iterator[tuple[str, Callable[[str], UploadInfo]]]:
            for position in positions[bisect_left(positions, start) :]:
                yield position, partial(_info, found[position])

        return list_uploads_page(seek, query)

    def expire_multipart_uploads(self, before: int) -> int:
        """See Backend. Uploads of buckets that are gone are removed too."""
        return expire(self.store, before)


def _info(record: UploadRecord, _position: str) -> UploadInfo:
    return record.info()


def expire(store: Store, before: int) -> int:
    """Abort the uploads that were initiated before a time (ms); return how many."""
    expired = 0
    buckets = store.call(_buckets(store))
    for value in store.cached.scan("upload."):
        _, name, incarnation, upload_id = value.key.split(".")
        bucket = buckets.get((name, incarnation))
        record = load_upload(value.data, value.seq)
        if bucket is None:
            for part in store.cached.scan(parts_prefix(upload_id)):
                store.call(free_part(store, name, part.key, ""))
            store.call(free_part(store, name, value.key, ""))
        elif record.initiated < before and (record.state == OPEN or record.beat < before):
            try:
                abort(store, UploadRef(bucket, record.key, upload_id))
            except S3Error:
                continue
            expired += 1
    return expired


async def _buckets(store: Store) -> dict[tuple[str, str], str]:
    """Return the buckets by name and incarnation of their stores."""
    names = [info.name for info in await store.buckets.list()]
    found = await asyncio.gather(*map(store.buckets.find, names), return_exceptions=True)
    streams = [each for each in found if not isinstance(each, BaseException)]
    return {(each.store, each.incarnation): each.info.name for each in streams}


def held(store: Store, bucket: str) -> set[str]:
    """Return the ids of chunks of a bucket that uploads under way need: of parts, and of objects to be."""
    known = store.call(store.buckets.find(bucket))
    needed = set()
    for value in store.cached.scan(uploads_prefix(bucket, known.incarnation), bucket):
        record = load_upload(value.data, value.seq)
        needed.add(record.nuid)
        needed.update(
            load_part(part.data).nuid for part in store.cached.scan(parts_prefix(record.upload_id), bucket)
        )
    return needed
