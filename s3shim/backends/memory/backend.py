"""The memory backend: a dict of buckets under one lock."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from s3shim.backends.base import Backend, Capability
from s3shim.backends.memory.bucket import Bucket, now_ms, read_whole
from s3shim.backends.memory.derived import Derived
from s3shim.backends.memory.uploads import Uploads
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
    ObjectPart,
    ObjectRef,
    ObjectStream,
    Page,
    ReadyChunks,
)
from s3shim.ranges import ByteRange


class MemoryBackend(Uploads, Derived, Backend):
    """Objects in the memory of one process."""

    capabilities: ClassVar[Capability] = (
        Capability.CONDITIONAL_WRITE
        | Capability.MULTIPART
        | Capability.RENAME
        | Capability.APPEND
        | Capability.LAST_MODIFIED
    )

    def list_buckets(self) -> list[BucketInfo]:
        """See Backend."""
        self.check()
        with self.lock:
            return [self.buckets[name].info for name in sorted(self.buckets)]

    def head_bucket(self, bucket: str) -> BucketInfo:
        """See Backend."""
        with self.lock:
            return self.bucket(bucket).info

    def create_bucket(self, info: BucketInfo) -> None:
        """See Backend."""
        self.check()
        with self.lock:
            existing = self.buckets.get(info.name)
            if existing is not None:
                same = existing.info.owner == info.owner
                raise S3Error(
                    Code.BucketAlreadyOwnedByYou if same else Code.BucketAlreadyExists, BucketName=info.name
                )
            self.buckets[info.name] = Bucket(info)

    def delete_bucket(self, bucket: str) -> None:
        """See Backend."""
        with self.lock:
            if self.bucket(bucket).keys:
                raise S3Error(Code.BucketNotEmpty, BucketName=bucket)
            del self.buckets[bucket]

    def list_objects(self, bucket: str, query: ListQuery) -> Page[ObjectInfo]:
        """See Backend."""
        with self.lock:
            return self.bucket(bucket).page(query)

    def _find(self, ref: ObjectRef) -> tuple[ObjectInfo, bytes]:
        with self.lock:
            return self.bucket(ref.bucket).find(ref)

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
        return ObjectStream(info, start, length, ReadyChunks(part))

    def get_object_parts(self, ref: ObjectRef, conditions: Conditions) -> tuple[ObjectInfo, list[ObjectPart]]:
        """See Backend."""
        with self.lock:
            bucket = self.bucket(ref.bucket)
            info, _ = bucket.find(ref)
            parts = bucket.parts[ref.key]
        check_read(conditions, info)
        return info, parts

    def put_object(self, ref: ObjectRef, body: Body, meta: ObjectMeta, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        with self.lock:
            bucket = self.bucket(ref.bucket)
        data, digests = read_whole(body)
        info = ObjectInfo(ref.key, len(data), digests.md5, now_ms(), meta, digests.checksums)
        with self.lock:
            if self.bucket(ref.bucket) is not bucket:
                raise S3Error(Code.NoSuchBucket, BucketName=ref.bucket)
            bucket.place(info, data, conditions)
        return info

    def delete_object(self, ref: ObjectRef, conditions: Conditions) -> Deleted:
        """See Backend."""
        with self.lock:
            bucket = self.bucket(ref.bucket)
            if ref.version_id in (None, NULL_VERSION):
                current = bucket.objects.get(ref.key)
                check_write(conditions, current[0] if current else None)
                if current is not None:
                    bucket.remove(ref.key)
        return Deleted()

    def get_document(self, bucket: str, name: str) -> bytes | None:
        """See Backend."""
        with self.lock:
            return self.bucket(bucket).documents.get(name)

    def put_document(self, bucket: str, name: str, document: bytes | None) -> None:
        """See Backend."""
        with self.lock:
            documents = self.bucket(bucket).documents
            if document is None:
                documents.pop(name, None)
            else:
                documents[name] = document

    def put_object_tags(self, ref: ObjectRef, tags: dict[str, str]) -> None:
        """See Backend."""
        with self.lock:
            bucket = self.bucket(ref.bucket)
            info, data = bucket.find(ref)
            bucket.objects[ref.key] = replace(info, meta=replace(info.meta, tags=tags)), data

    def put_object_last_modified(self, ref: ObjectRef, last_modified: int, conditions: Conditions) -> None:
        """See Backend."""
        with self.lock:
            bucket = self.bucket(ref.bucket)
            info, data = bucket.find(ref)
            check_write(conditions, info)
            bucket.objects[ref.key] = replace(info, last_modified=last_modified), data
