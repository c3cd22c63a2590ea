"""The local backend: an index in LMDB, small objects in it, large ones in files of their own."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from s3shim.backends.base import Backend, Capability
from s3shim.backends.local import reading, writing
from s3shim.backends.local.store import Settings, Store
from s3shim.conditions import Conditions
from s3shim.model import (
    Body,
    BucketInfo,
    Deleted,
    ListQuery,
    ObjectInfo,
    ObjectMeta,
    ObjectRef,
    ObjectStream,
    Page,
)
from s3shim.paging import list_page
from s3shim.ranges import ByteRange


class LocalBackend(Backend):
    """Objects on this machine's disk, durable when a call returns, for any number of processes.

    ``root`` is the directory of the store; ``settings`` are the fields of store.Settings.
    """

    capabilities: ClassVar[Capability] = Capability.CONDITIONAL_WRITE

    def __init__(self, root: Path, **settings: Any) -> None:
        self.store = Store(Path(root), Settings(**settings))

    # -- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """See Backend. Makes the store where there is none; raises StoreRefused."""
        self.store.start()

    def close(self) -> None:
        """See Backend."""
        self.store.close()

    def check(self) -> None:
        """See Backend."""
        self.store.check()

    # -- buckets ------------------------------------------------------------------------------

    def list_buckets(self) -> list[BucketInfo]:
        """See Backend."""
        with self.store.index.read() as view:
            return view.buckets()

    def head_bucket(self, bucket: str) -> BucketInfo:
        """See Backend."""
        with self.store.index.read() as view:
            return view.bucket(bucket).info(bucket)

    def create_bucket(self, info: BucketInfo) -> None:
        """See Backend."""
        self.store.committer.run(lambda edit: edit.add_bucket(info))

    def delete_bucket(self, bucket: str) -> None:
        """See Backend."""
        self.store.committer.run(lambda edit: edit.remove_bucket(bucket))

    # -- objects ------------------------------------------------------------------------------

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

    def put_object(self, ref: ObjectRef, body: Body, meta: ObjectMeta, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        return writing.put_object(self.store, ref, body, meta, conditions)

    def delete_object(self, ref: ObjectRef, conditions: Conditions) -> Deleted:
        """See Backend."""
        return writing.delete_object(self.store, ref, conditions)

    # -- documents ----------------------------------------------------------------------------

    def get_document(self, bucket: str, name: str) -> bytes | None:
        """See Backend."""
        with self.store.index.read() as view:
            return view.document(view.bucket(bucket).id, name)

    def put_document(self, bucket: str, name: str, document: bytes | None) -> None:
        """See Backend."""
        self.store.committer.run(lambda edit: edit.put_document(edit.bucket(bucket).id, name, document))
