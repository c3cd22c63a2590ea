"""Objects made of objects that are there, in memory: copies, renamed and appended ones."""

from __future__ import annotations

from dataclasses import replace

from s3shim.appending import append, check_added, check_offset
from s3shim.backends.memory.bucket import Shelf, now_ms, read_whole
from s3shim.conditions import NO_CONDITIONS, Conditions, check_copy, check_write
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.model import Body, ObjectInfo, ObjectMeta, ObjectRef
from s3shim.renaming import Rename


class Derived(Shelf):
    """The part of MemoryBackend that makes objects of others."""

    def copy_object(self, copy: Copy, target: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        with self.lock:
            bucket = self.bucket(target.bucket)
            origin = self.bucket(copy.source.bucket)
            source, data = origin.find(copy.source)
            check_copy(copy.conditions, source)
            meta = replace(
                source.meta if copy.meta is None else copy.meta,
                tags=source.meta.tags if copy.tags is None else copy.tags,
            )
            info = replace(source, key=target.key, last_modified=now_ms(), meta=meta)
            bucket.place(info, data, conditions, origin.parts[copy.source.key])
        return info

    def rename_object(self, rename: Rename) -> None:
        """See Backend."""
        with self.lock:
            bucket = self.bucket(rename.bucket)
            if rename.is_done(*bucket.renamed.get(rename.target, ("", ""))):
                return
            source, data = bucket.find(ObjectRef(rename.bucket, rename.source))
            target = bucket.objects.get(rename.target)
            rename.check(source, target[0] if target else None)
            parts = bucket.parts[rename.source]
            bucket.remove(rename.source)
            bucket.place(replace(source, key=rename.target), data, NO_CONDITIONS, parts)
            if rename.token:
                bucket.renamed[rename.target] = rename.token, rename.source

    def append_object(
        self, ref: ObjectRef, body: Body, meta: ObjectMeta, offset: int, conditions: Conditions
    ) -> ObjectInfo:
        """See Backend."""
        with self.lock:
            bucket = self.bucket(ref.bucket)
            seen, _ = bucket.objects.get(ref.key, (None, b""))
            check_write(conditions, seen)
            check_offset(offset, seen)
        for algorithm in seen.checksums if seen else ():
            body.also(algorithm)
        data, digests = read_whole(body)
        check_added(len(data))
        info = ObjectInfo(ref.key, len(data), digests.md5, now_ms(), meta, digests.checksums)
        with self.lock:
            if self.bucket(ref.bucket) is not bucket:
                raise S3Error(Code.NoSuchBucket, BucketName=ref.bucket)
            whole, before = bucket.objects.get(ref.key, (None, b""))
            check_write(conditions, whole)
            check_offset(offset, whole)
            parts = []
            if whole is not None and offset:
                joined = append(whole, bucket.parts[ref.key], len(data), digests)
                parts = joined.parts
                info = replace(
                    whole,
                    size=joined.size,
                    etag=joined.etag,
                    last_modified=now_ms(),
                    checksums=joined.checksums,
                    checksum_type=joined.checksum_type,
                    parts_count=len(parts),
                )
            bucket.place(info, before + data, NO_CONDITIONS, parts)
        return info
