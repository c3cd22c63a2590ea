"""Objects in the local store."""

from __future__ import annotations

from functools import partial

from s3shim.backends.local import reading, writing
from s3shim.backends.local.store import Store
from s3shim.conditions import Conditions
from s3shim.errors import S3Error
from s3shim.model import (
    Body,
    Deleted,
    ListQuery,
    ObjectInfo,
    ObjectMeta,
    ObjectPart,
    ObjectRef,
    ObjectStream,
    Page,
)
from s3shim.paging import list_page
from s3shim.ranges import ByteRange


class Objects:
    """The part of LocalBackend that keeps objects."""

    store: Store

    def list_objects(self, bucket: str, query: ListQuery) -> Page[ObjectInfo]:
        """See Backend."""
        with self.store.index.read() as view:
            return list_page(partial(view.seek, view.bucket(bucket).id), query)

    def head_object(self, ref: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        return reading.head_object(self.store, ref, conditions)

    def get_object(
        self, ref: ObjectRef, byte_range: ByteRange | None, conditions: Conditions
    ) -> ObjectStream:
        """See Backend."""
        return reading.get_object(self.store, ref, byte_range, conditions)

    def get_object_parts(self, ref: ObjectRef, conditions: Conditions) -> tuple[ObjectInfo, list[ObjectPart]]:
        """See Backend."""
        return reading.get_object_parts(self.store, ref, conditions)

    def put_object(self, ref: ObjectRef, body: Body, meta: ObjectMeta, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        return writing.put_object(self.store, ref, body, meta, conditions)

    def put_object_tags(self, ref: ObjectRef, tags: dict[str, str]) -> None:
        """See Backend."""
        writing.put_object_tags(self.store, ref, tags)

    def put_object_last_modified(self, ref: ObjectRef, last_modified: int, conditions: Conditions) -> None:
        """See Backend."""
        writing.put_object_last_modified(self.store, ref, last_modified, conditions)

    def delete_object(self, ref: ObjectRef, conditions: Conditions) -> Deleted:
        """See Backend."""
        return writing.delete_object(self.store, ref, conditions)

    def delete_objects(self, bucket: str, refs: list[ObjectRef]) -> list[Deleted | S3Error]:
        """See Backend."""
        return writing.delete_objects(self.store, bucket, refs)
