"""Objects made of objects that are there, in memory: copies, renamed and appended ones."""

from __future__ import annotations

from dataclasses import replace

from s3shim.backends.memory.bucket import Shelf, now_ms
from s3shim.conditions import Conditions, check_copy
from s3shim.copying import Copy
from s3shim.model import ObjectInfo, ObjectRef


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
