"""Objects in the memory of one process: the reference of the contract, for tests.

Nothing survives the process. ``close`` and a new ``start`` keep what was stored.
"""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from threading import Lock
from typing import ClassVar

from s3shim.backends.base import Backend, Capability
from s3shim.conditions import Conditions, check_read, check_write, range_applies
from s3shim.errors import Code, S3Error
from s3shim.model import (
    NULL_VERSION,
    Body,
    BucketInfo,
    Deleted,
    ListQuery,
    ObjectInfo,
    ObjectMeta,
    ObjectRef,
    ObjectStream,
    Page,
    chunks_of,
)
from s3shim.paging import list_page
from s3shim.ranges import ByteRange

_READ = 1 << 20


class _Bucket:
    __slots__ = ("documents", "info", "keys", "objects")

    def __init__(self, info: BucketInfo) -> None:
        self.info = info
        self.objects: dict[str, tuple[ObjectInfo, bytes]] = {}
        self.keys: list[str] = []
        self.documents: dict[str, bytes] = {}

    def seek(self, start: str) -> Iterator[tuple[str, Callable[[], ObjectInfo]]]:
        for key in self.keys[bisect_left(self.keys, start) :]:
            info = self.objects[key][0]
            yield key, lambda info=info: info  # type: ignore[misc]


class MemoryBackend(Backend):
    """A dict of buckets under one lock."""

    capabilities: ClassVar[Capability] = Capability.CONDITIONAL_WRITE

    def __init__(self) -> None:
        self._lock = Lock()
        self._buckets: dict[str, _Bucket] = {}
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
            bucket = self._bucket(ref.bucket)
            if ref.version_id not in (None, NULL_VERSION):
                raise S3Error(Code.NoSuchVersion, Key=ref.key, VersionId=ref.version_id)
            try:
                return bucket.objects[ref.key]
            except KeyError:
                raise S3Error(Code.NoSuchKey, Key=ref.key) from None

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
        return ObjectStream(info, start, length, chunks_of((part,) if part else ()))

    def put_object(self, ref: ObjectRef, body: Body, meta: ObjectMeta, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        with self._lock:
            bucket = self._bucket(ref.bucket)
        parts = list(iter(lambda: body.read(_READ), b""))
        data = b"".join(parts)
        if body.length is not None and body.length != len(data):
            raise S3Error(Code.IncompleteBody)
        digests = body.digests
        now = time.time_ns() // 1_000_000
        info = ObjectInfo(ref.key, len(data), digests.md5, now, meta, digests.checksums)
        with self._lock:
            if self._bucket(ref.bucket) is not bucket:
                raise S3Error(Code.NoSuchBucket, BucketName=ref.bucket)
            current = bucket.objects.get(ref.key)
            check_write(conditions, current[0] if current else None)
            bucket.objects[ref.key] = info, data
            if current is None:
                insort(bucket.keys, ref.key)
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
