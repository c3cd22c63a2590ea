"""The memory backend, and what each request has changed in it."""

from __future__ import annotations

from typing import Any, NamedTuple

from s3shim.backends.memory import MemoryBackend
from s3shim.errors import S3Error


class Change(NamedTuple):
    """A write that the backend carried out; ``owner`` is the bucket's, ``keys`` those that it named."""

    operation: str
    bucket: str
    owner: str
    keys: frozenset[str]


# Where a writing method has the bucket and the keys: the positions of its arguments that tell.
_REFS = {
    "put_object": 0,
    "delete_object": 0,
    "put_object_tags": 0,
    "copy_object": 1,
    "upload_part": 0,
    "upload_part_copy": 0,
    "complete_multipart_upload": 0,
    "abort_multipart_upload": 0,
}
_BUCKETS = ("delete_bucket", "put_document")


class WatchedBackend(MemoryBackend):
    """``changes`` are the writes that were carried out since it was last emptied."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[Change] = []

    def owner(self, bucket: str) -> str:
        """Return the account that has the bucket, "" where there is none."""
        try:
            return self.head_bucket(bucket).owner
        except S3Error:
            return ""

    def create_bucket(self, info: Any) -> None:
        super().create_bucket(info)
        self.changes.append(Change("create_bucket", info.name, info.owner, frozenset()))

    def delete_objects(self, bucket: str, refs: Any) -> Any:
        done = super().delete_objects(bucket, refs)
        keys = frozenset(ref.key for ref in refs)
        self.changes.append(Change("delete_objects", bucket, self.owner(bucket), keys))
        return done

    def create_multipart_upload(self, bucket: str, upload: Any) -> Any:
        done = super().create_multipart_upload(bucket, upload)
        change = Change("create_multipart_upload", bucket, self.owner(bucket), frozenset([upload.key]))
        self.changes.append(change)
        return done


def _watch(name: str) -> None:
    write = getattr(MemoryBackend, name)

    def watched(self: WatchedBackend, *arguments: Any) -> Any:
        if name in _BUCKETS:
            bucket, keys = arguments[0], frozenset()
        else:
            ref = arguments[_REFS[name]]
            bucket, keys = ref.bucket, frozenset([ref.key])
        owner = self.owner(bucket)
        done = write(self, *arguments)
        self.changes.append(Change(name, bucket, owner, keys))
        return done

    setattr(WatchedBackend, name, watched)


for _name in (*_REFS, *_BUCKETS):
    _watch(_name)
