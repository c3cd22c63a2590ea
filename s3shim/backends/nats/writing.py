"""PutObject: the body into chunks of a new nuid, then the entry by compare-and-set.

A body of one window is one hop: its chunks and the question for the present entry are sent together. Of a
longer one several windows are on their way while the next is read from the client.
"""

from __future__ import annotations

import time

from s3shim.backends.nats.at_once import Found, begin
from s3shim.backends.nats.chunks import write_parts
from s3shim.backends.nats.failures import Uncertain
from s3shim.backends.nats.format import write_entry
from s3shim.backends.nats.store import Calls
from s3shim.backends.nats.written import Written, both, store_rest
from s3shim.conditions import Conditions
from s3shim.model import Body, ObjectInfo, ObjectMeta, ObjectPart, ObjectRef


async def finish(
    written: Written,
    info: ObjectInfo,
    parts: list[ObjectPart],
    conditions: Conditions,
    found: Found | None = None,
) -> None:
    """Store the rest of the chunks, and make them the object. Raises as ``Catalog.replace``, but Uncertain.

    ``found`` is what ``begin`` found, where it has stored the rest.

    Nothing is left behind where it fails, unless it cannot be told whether it did: then the sweep finds out.
    """
    store, bucket = written.store, written.bucket
    try:
        written.check_age()
        if found is None:
            found = Found(await both(store.catalog.entry(bucket, info.key), store_rest(written)))
        content = written.content
        await write_parts(store.js, bucket, written.nuid, parts)
        data = write_entry(bucket, info, content, parts)
    except BaseException:
        await written.remove()
        raise
    try:
        replaced = await store.catalog.replace(
            bucket, info.key, data, content, conditions, found.entry, written.looked
        )
    except Uncertain:
        raise
    except Exception:
        # One that was cancelled is uncertain too.
        await written.remove()
        raise
    store.reclaim.replaced(bucket, info.key, replaced)


class Writing(Calls):
    """PutObject."""

    def put_object(self, ref: ObjectRef, body: Body, meta: ObjectMeta, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        store = self.store
        written = Written(store, ref.bucket)
        written.take(body)
        now = time.time_ns() // 1_000_000
        info = ObjectInfo(ref.key, written.size, written.digests.md5, now, meta, written.sums)
        store.call(finish(written, info, [], conditions, begin(written, ref.key)))
        return info
