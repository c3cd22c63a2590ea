"""Objects in the memory of one process: the reference of the contract, for tests.

Nothing survives the process. ``close`` and a new ``start`` keep what was stored.
"""

from __future__ import annotations

import hashlib
import os
import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from threading import Lock
from typing import ClassVar, TypeVar

from s3shim.backends.base import Backend, Capability
from s3shim.conditions import Conditions, check_copy, check_read, check_write, range_applies
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.model import (
    NULL_VERSION,
    Body,
    BucketInfo,
    Deleted,
    Digests,
    ListQuery,
    ObjectInfo,
    ObjectMeta,
    ObjectPart,
    ObjectRef,
    ObjectStream,
    Page,
    PartInfo,
    UploadInfo,
    UploadQuery,
    UploadRef,
    Whole,
)
from s3shim.multipart import Completion, assemble
from s3shim.paging import list_page, list_uploads_page, upload_position
from s3shim.ranges import ByteRange

T = TypeVar("T")

_READ = 1 << 20
_REPLAY_MS = 24 * 3600 * 1000


@dataclass(slots=True)
class _Upload:
    info: UploadInfo
    parts: dict[int, tuple[PartInfo, bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class _Completed:
    fingerprint: str
    info: ObjectInfo


def _itself(info: T, _key: str) -> T:
    return info


class _Bucket:
    """Uploads, under way and completed, are found by their ``upload_position``."""

    __slots__ = ("completed", "documents", "info", "keys", "objects", "parts", "uploads")

    def __init__(self, info: BucketInfo) -> None:
        self.info = info
        self.objects: dict[str, tuple[ObjectInfo, bytes]] = {}
        self.parts: dict[str, list[ObjectPart]] = {}
        self.keys: list[str] = []
        self.documents: dict[str, bytes] = {}
        self.uploads: dict[str, _Upload] = {}
        self.completed: dict[str, _Completed] = {}

    def seek(self, start: str) -> Iterator[tuple[str, Callable[[str], ObjectInfo]]]:
        for key in self.keys[bisect_left(self.keys, start) :]:
            yield key, partial(_itself, self.objects[key][0])

    def seek_upload(self, start: str) -> Iterator[tuple[str, Callable[[str], UploadInfo]]]:
        positions = sorted(self.uploads)
        for position in positions[bisect_left(positions, start) :]:
            yield position, partial(_itself, self.uploads[position].info)

    def find(self, ref: ObjectRef) -> tuple[ObjectInfo, bytes]:
        if ref.version_id not in (None, NULL_VERSION):
            raise S3Error(Code.NoSuchVersion, Key=ref.key, VersionId=ref.version_id)
        try:
            return self.objects[ref.key]
        except KeyError:
            raise S3Error(Code.NoSuchKey, Key=ref.key) from None

    def upload(self, ref: UploadRef) -> _Upload:
        try:
            return self.uploads[upload_position(ref.key, ref.upload_id)]
        except KeyError:
            raise S3Error(Code.NoSuchUpload, UploadId=ref.upload_id) from None

    def place(
        self, info: ObjectInfo, data: bytes, conditions: Conditions, parts: list[ObjectPart] | None = None
    ) -> None:
        """Make ``data`` the object, or raise what ``conditions.check_write`` raises."""
        current = self.objects.get(info.key)
        check_write(conditions, current[0] if current else None)
        self.objects[info.key] = info, data
        self.parts[info.key] = parts or []
        if current is None:
            insort(self.keys, info.key)


class MemoryBackend(Backend):
    """A dict of buckets under one lock."""

    capabilities: ClassVar[Capability] = Capability.CONDITIONAL_WRITE | Capability.MULTIPART

    def __init__(self) -> None:
        self._lock = Lock()
        self._buckets: dict[str, _Bucket] = {}
        self._upload_numbers = count(1)
        self._open = False

    def start(self) -> None:
        """Serve from now on."""
        self._open = True

    def close(self) -> None:
        """Refuse calls from now on."""
        self._open = False

    def check(self) -> None:
        """Raise ServiceUnavailable unless started."""
        if not self._open:
            raise S3Error(Code.ServiceUnavailable)

    def _bucket(self, name: str) -> _Bucket:
        self.check()
        bucket = self._buckets.get(name)
        if bucket is None:
            raise S3Error(Code.NoSuchBucket, BucketName=name)
        return bucket

    def list_buckets(self) -> list[BucketInfo]:
        """See Backend."""
        self.check()
        with self._lock:
            return [self._buckets[name].info for name in sorted(self._buckets)]

    def head_bucket(self, bucket: str) -> BucketInfo:
        """See Backend."""
        with self._lock:
            return self._bucket(bucket).info

    def create_bucket(self, info: BucketInfo) -> None:
        """See Backend."""
        self.check()
        with self._lock:
            existing = self._buckets.get(info.name)
            if existing is not None:
                same = existing.info.owner == info.owner
                raise S3Error(
                    Code.BucketAlreadyOwnedByYou if same else Code.BucketAlreadyExists, BucketName=info.name
                )
            self._buckets[info.name] = _Bucket(info)

    def delete_bucket(self, bucket: str) -> None:
        """See Backend."""
        with self._lock:
            if self._bucket(bucket).keys:
                raise S3Error(Code.BucketNotEmpty, BucketName=bucket)
            del self._buckets[bucket]

    def list_objects(self, bucket: str, query: ListQuery) -> Page[ObjectInfo]:
        """See Backend."""
        with self._lock:
            return list_page(self._bucket(bucket).seek, query)

    def _find(self, ref: ObjectRef) -> tuple[ObjectInfo, bytes]:
        with self._lock:
            return self._bucket(ref.bucket).find(ref)

    def head_object(self, ref: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        info, _ = self._find(ref)
        check_read(conditions, info)
        return info

    def get_object(
        self, ref: ObjectRef, byte_range: ByteRange | None, conditions: Conditions
    ) -> ObjectStream:
        """See Backend."""
        info, data = self._find(ref)
        check_read(conditions, info)
        start, length = 0, info.size
        if byte_range is not None and range_applies(conditions, info):
            start, length = byte_range.resolve(info.size)
        part = data[start : start + length]
        return ObjectStream(info, start, length, Whole(part))

    def get_object_parts(self, ref: ObjectRef, conditions: Conditions) -> tuple[ObjectInfo, list[ObjectPart]]:
        """See Backend."""
        with self._lock:
            bucket = self._bucket(ref.bucket)
            info, _ = bucket.find(ref)
            parts = bucket.parts[ref.key]
        check_read(conditions, info)
        return info, parts

    def put_object(self, ref: ObjectRef, body: Body, meta: ObjectMeta, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        with self._lock:
            bucket = self._bucket(ref.bucket)
        data, digests = _read(body)
        info = ObjectInfo(ref.key, len(data), digests.md5, _now(), meta, digests.checksums)
        with self._lock:
            if self._bucket(ref.bucket) is not bucket:
                raise S3Error(Code.NoSuchBucket, BucketName=ref.bucket)
            bucket.place(info, data, conditions)
        return info

    def delete_object(self, ref: ObjectRef, conditions: Conditions) -> Deleted:
        """See Backend."""
        with self._lock:
            bucket = self._bucket(ref.bucket)
            if ref.version_id in (None, NULL_VERSION):
                current = bucket.objects.get(ref.key)
                check_write(conditions, current[0] if current else None)
                if current is not None:
                    del bucket.objects[ref.key]
                    del bucket.parts[ref.key]
                    del bucket.keys[bisect_left(bucket.keys, ref.key)]
        return Deleted()

    def get_document(self, bucket: str, name: str) -> bytes | None:
        """See Backend."""
        with self._lock:
            return self._bucket(bucket).documents.get(name)

    def put_document(self, bucket: str, name: str, document: bytes | None) -> None:
        """See Backend."""
        with self._lock:
            documents = self._bucket(bucket).documents
            if document is None:
                documents.pop(name, None)
            else:
                documents[name] = document

    def put_object_tags(self, ref: ObjectRef, tags: dict[str, str]) -> None:
        """See Backend."""
        with self._lock:
            bucket = self._bucket(ref.bucket)
            info, data = bucket.find(ref)
            bucket.objects[ref.key] = replace(info, meta=replace(info.meta, tags=tags)), data

    def copy_object(self, copy: Copy, target: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        with self._lock:
            bucket = self._bucket(target.bucket)
            origin = self._bucket(copy.source.bucket)
            source, data = origin.find(copy.source)
            check_copy(copy.conditions, source)
            meta = replace(
                source.meta if copy.meta is None else copy.meta,
                tags=source.meta.tags if copy.tags is None else copy.tags,
            )
            info = replace(source, key=target.key, last_modified=_now(), meta=meta)
            bucket.place(info, data, conditions, origin.parts[copy.source.key])
        return info

    def _upload(self, ref: UploadRef) -> _Upload:
        return self._bucket(ref.bucket).upload(ref)

    def create_multipart_upload(self, bucket: str, upload: UploadInfo) -> UploadInfo:
        """See Backend."""
        with self._lock:
            found = self._bucket(bucket)
            upload_id = f"{next(self._upload_numbers):016x}{os.urandom(16).hex()}"
            info = replace(upload, upload_id=upload_id, initiated=_now())
            found.uploads[upload_position(info.key, upload_id)] = _Upload(info)
        return info

    def head_multipart_upload(self, upload: UploadRef) -> UploadInfo:
        """See Backend."""
        with self._lock:
            return self._upload(upload).info

    def upload_part(self, upload: UploadRef, part_number: int, body: Body) -> PartInfo:
        """See Backend."""
        self.head_multipart_upload(upload)
        data, digests = _read(body)
        part = PartInfo(part_number, len(data), digests.md5, _now(), digests.checksums)
        with self._lock:
            self._upload(upload).parts[part_number] = part, data
        return part

    def upload_part_copy(
        self, upload: UploadRef, part_number: int, copy: Copy, byte_range: ByteRange | None
    ) -> PartInfo:
        """See Backend."""
        with self._lock:
            found = self._upload(upload)
            source, data = self._bucket(copy.source.bucket).find(copy.source)
            check_copy(copy.conditions, source)
            if byte_range is not None:
                start, length = byte_range.resolve_whole(source.size)
                data = data[start : start + length]
            etag = source.etag
            if source.parts_count or len(data) != source.size:
                description = f"{source.etag} {byte_range}"
                etag = hashlib.md5(description.encode(), usedforsecurity=False).hexdigest()
            part = PartInfo(part_number, len(data), etag, _now(), {})
            found.parts[part_number] = part, data
        return part

    def complete_multipart_upload(
        self, upload: UploadRef, completion: Completion, conditions: Conditions
    ) -> ObjectInfo:
        """See Backend."""
        with self._lock:
            bucket = self._bucket(upload.bucket)
            position = upload_position(upload.key, upload.upload_id)
            now = _now()
            done = bucket.completed.get(position)
            if (
                done is not None
                and done.fingerprint == completion.fingerprint
                and now - done.info.last_modified < _REPLAY_MS
            ):
                return done.info
            found = bucket.upload(upload)
            whole = assemble(found.info, {n: part for n, (part, _) in found.parts.items()}, completion)
            info = ObjectInfo(
                upload.key,
                whole.size,
                whole.etag,
                now,
                found.info.meta,
                whole.checksums,
                checksum_type=whole.checksum_type,
                parts_count=len(whole.parts),
            )
            data = b"".join(found.parts[part.part_number][1] for part in whole.parts)
            parts = [ObjectPart(part.part_number, part.size, part.checksums) for part in whole.parts]
            bucket.place(info, data, conditions, parts)
            del bucket.uploads[position]
            bucket.completed[position] = _Completed(completion.fingerprint, info)
        return info

    def abort_multipart_upload(self, upload: UploadRef) -> None:
        """See Backend."""
        with self._lock:
            self._upload(upload)
            del self._bucket(upload.bucket).uploads[upload_position(upload.key, upload.upload_id)]

    def list_parts(self, upload: UploadRef, marker: int, max_parts: int) -> tuple[UploadInfo, list[PartInfo]]:
        """See Backend."""
        with self._lock:
            found = self._upload(upload)
            numbers = sorted(number for number in found.parts if number > marker)
            return found.info, [found.parts[number][0] for number in numbers[:max_parts]]

    def list_multipart_uploads(self, bucket: str, query: UploadQuery) -> Page[UploadInfo]:
        """See Backend."""
        with self._lock:
            return list_uploads_page(self._bucket(bucket).seek_upload, query)

    def expire_multipart_uploads(self, before: int) -> int:
        """See Backend."""
        self.check()
        expired = 0
        with self._lock:
            for bucket in self._buckets.values():
                old = [at for at, upload in bucket.uploads.items() if upload.info.initiated < before]
                for position in old:
                    del bucket.uploads[position]
                expired += len(old)
        return expired


def _now() -> int:
    return time.time_ns() // 1_000_000


def _read(body: Body) -> tuple[bytes, Digests]:
    """Return the whole body and its digests."""
    data = b"".join(iter(lambda: body.read(_READ), b""))
    if body.length is not None and body.length != len(data):
        raise S3Error(Code.IncompleteBody)
    return data, body.digests
