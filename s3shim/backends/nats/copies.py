"""CopyObject: the bytes are read and written again, an object cannot share another's."""

from __future__ import annotations

import time
from dataclasses import replace

from s3shim.backends.nats.format import Entry, with_meta
from s3shim.backends.nats.reading import parts_at
from s3shim.backends.nats.rewriting import rewrite
from s3shim.backends.nats.store import Calls, Store
from s3shim.backends.nats.writing import finish
from s3shim.conditions import Conditions, check_copy, check_write
from s3shim.copying import Copy
from s3shim.model import ObjectInfo, ObjectRef


class Copying(Calls):
    """CopyObject."""

    def copy_object(self, copy: Copy, target: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """See Backend. An object of ours that is copied to itself only gets other metadata."""
        store = self.store
        if (copy.source.bucket, copy.source.key) == (target.bucket, target.key):
            try:
                return store.call(_copy_to_itself(store, copy, conditions))
            except Foreign:
                pass
        source, written = rewrite(store, copy, None, target.bucket)
        info = _copied(copy, source.stream.info, target.key)
        if not source.place.entry.record.get("etag"):
            info.etag, info.checksums = written.digests.md5, written.sums
        parts = store.call(parts_at(store, source.place))
        store.call(finish(written, info, parts, conditions))
        return info


class Foreign(Exception):
    """The object is another client's, or a link."""


async def _copy_to_itself(store: Store, copy: Copy, conditions: Conditions) -> ObjectInfo:
    """Give an object of ours other metadata and a new time. Raises Foreign."""
    key = copy.source.key
    made: list[ObjectInfo] = []

    def make(entry: Entry) -> bytes:
        if not entry.record.get("etag") or copy.source.version_id not in (None, "null"):
            raise Foreign
        source = entry.info(key)
        check_copy(copy.conditions, source)
        check_write(conditions, source)
        made.append(_copied(copy, source, key))
        return with_meta(entry, made[-1])

    await store.catalog.change(copy.source.bucket, key, make)
    return made[-1]


def _copied(copy: Copy, source: ObjectInfo, key: str) -> ObjectInfo:
    meta = replace(
        source.meta if copy.meta is None else copy.meta,
        tags=source.meta.tags if copy.tags is None else copy.tags,
    )
    return replace(source, key=key, last_modified=time.time_ns() // 1_000_000, meta=meta)
