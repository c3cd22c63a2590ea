"""Services with one fault each, which the machine must find."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crash.services import LocalService, Service
from s3shim.backends.base import Backend
from s3shim.backends.memory import MemoryBackend
from s3shim.conditions import NO_CONDITIONS
from s3shim.model import ListQuery, ObjectRef


class ForgetsTagsOnCopy(MemoryBackend):
    def copy_object(self, copy: Any, target: Any, conditions: Any) -> Any:
        info = super().copy_object(copy, target, conditions)
        self.put_object_tags(target, {})
        return info


class ListsInUtf16(MemoryBackend):
    def list_objects(self, bucket: str, query: ListQuery) -> Any:
        page = super().list_objects(bucket, query)
        page.items.sort(key=lambda info: info.key.encode("utf-16-be"))
        return page


class LosesAnOverwrite(MemoryBackend):
    writes = 0

    def put_object(self, ref: Any, body: Any, meta: Any, conditions: Any) -> Any:
        before = self.bucket(ref.bucket).objects.get(ref.key)
        info = super().put_object(ref, body, meta, conditions)
        self.writes += 1
        if before is not None and self.writes % 5 == 0:
            self.bucket(ref.bucket).objects[ref.key] = before
        return info


class IgnoresIfNoneMatch(MemoryBackend):
    def put_object(self, ref: Any, body: Any, meta: Any, conditions: Any) -> Any:
        return super().put_object(ref, body, meta, replace(conditions, if_none_match=None))


class ChecksConditionsOfCompleteNot(MemoryBackend):
    def complete_multipart_upload(self, upload: Any, completion: Any, conditions: Any) -> Any:
        return super().complete_multipart_upload(upload, completion, NO_CONDITIONS)


class TagsCountAsWrites(MemoryBackend):
    def put_object_tags(self, ref: ObjectRef, tags: Any) -> None:
        super().put_object_tags(ref, tags)
        bucket = self.bucket(ref.bucket)
        info, data = bucket.objects[ref.key]
        bucket.objects[ref.key] = replace(info, last_modified=info.last_modified + 1000), data


class SkipsAKeyBetweenPages(MemoryBackend):
    def list_objects(self, bucket: str, query: ListQuery) -> Any:
        page = super().list_objects(bucket, query)
        if page.next_marker is not None and page.items:
            page.next_marker += "\x01"
            following = super().list_objects(bucket, replace(query, marker=page.items[-1].key, max_keys=1))
            if following.items:
                page.next_marker = following.items[0].key
        return page


class AbortLeavesTheUpload(MemoryBackend):
    def abort_multipart_upload(self, upload: Any) -> None:
        self.head_multipart_upload(upload)


class LosesTheLastWriteAtARestart(MemoryBackend):
    last: ObjectRef | None = None

    def put_object(self, ref: Any, body: Any, meta: Any, conditions: Any) -> Any:
        self.last = ref
        return super().put_object(ref, body, meta, conditions)

    def close(self) -> None:
        ref, self.last = self.last, None
        if ref is not None and ref.bucket in self.buckets and ref.key in self.buckets[ref.bucket].objects:
            super().delete_object(ref, NO_CONDITIONS)
        super().close()


class ReclaimsAFileInUse(LocalService):
    """Unlinks the file of an object that is there."""

    def reclaim(self) -> None:
        super().reclaim()
        for path in (self.root / "blobs").rglob("*"):
            if path.is_file():
                path.unlink()
                return


def on(backend: type[Backend]) -> type[Service]:
    """Return the service on a storage that is wrong."""
    return type(backend.__name__, (Service,), {"kind": backend})


WRONG_SERVICES: dict[str, type[Service]] = {
    "forgets tags on copy": on(ForgetsTagsOnCopy),
    "lists by UTF-16": on(ListsInUtf16),
    "loses an overwrite": on(LosesAnOverwrite),
    "ignores If-None-Match": on(IgnoresIfNoneMatch),
    "completes against a condition": on(ChecksConditionsOfCompleteNot),
    "takes tags for a write": on(TagsCountAsWrites),
    "skips a key between pages": on(SkipsAKeyBetweenPages),
    "does not abort": on(AbortLeavesTheUpload),
    "loses a write at a restart": on(LosesTheLastWriteAtARestart),
    "unlinks a file in use": ReclaimsAFileInUse,
}
