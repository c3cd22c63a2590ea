"""Deletes and tags: changes of an object that leave its bytes alone."""

from __future__ import annotations

from collections.abc import Callable

from s3shim.backends.nats.format import Entry, with_last_modified, with_tags
from s3shim.backends.nats.locating import locate
from s3shim.backends.nats.store import Calls, Store
from s3shim.conditions import Conditions, check_write
from s3shim.model import NULL_VERSION, Deleted, ObjectRef


class Deriving(Calls):
    """DeleteObject, PutObjectTagging."""

    def delete_object(self, ref: ObjectRef, conditions: Conditions) -> Deleted:
        """See Backend."""
        store = self.store
        if ref.version_id in (None, NULL_VERSION):
            gone = store.call(store.catalog.delete(ref.bucket, ref.key, conditions))
            store.reclaim.replaced(ref.bucket, ref.key, gone)
            if gone is not None and gone.traceless:
                store.cached.index.forget(ref.bucket, ref.key, gone.seq)
        else:
            store.call(store.buckets.find(ref.bucket))
        return Deleted()

    def put_object_tags(self, ref: ObjectRef, tags: dict[str, str]) -> None:
        """See Backend."""
        self.store.call(_change(self.store, ref, lambda entry: with_tags(entry, tags)))

    def put_object_last_modified(self, ref: ObjectRef, last_modified: int, conditions: Conditions) -> None:
        """See Backend."""

        def make(entry: Entry) -> bytes:
            check_write(conditions, entry.info(ref.key))
            return with_last_modified(entry, last_modified)

        self.store.call(_change(self.store, ref, make))


async def _change(store: Store, ref: ObjectRef, make: Callable[[Entry], bytes]) -> None:
    place = await locate(store, ref)
    await store.catalog.change(place.bucket, place.key, make)
