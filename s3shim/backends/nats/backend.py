"""The NATS backend: JetStream Object Store, in its own format, with compare-and-set on the metadata."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import ClassVar

from s3shim.backends.base import Backend, Capability
from s3shim.backends.nats import derived, reading, stored, uploads, writing
from s3shim.backends.nats.completing import Completing
from s3shim.backends.nats.failures import FAILURES, answer_of
from s3shim.backends.nats.format import store_of
from s3shim.backends.nats.settings import NatsSettings
from s3shim.backends.nats.store import Store
from s3shim.conditions import Conditions
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.model import (
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
    PartInfo,
    UploadInfo,
    UploadQuery,
    UploadRef,
)
from s3shim.multipart import Completion
from s3shim.ranges import ByteRange


class NatsBackend(Backend):
    """Objects in NATS JetStream, for any number of processes on any number of hosts."""

    capabilities: ClassVar[Capability] = Capability.CONDITIONAL_WRITE | Capability.MULTIPART

    lengthy: ClassVar[frozenset[str]] = frozenset(
        {"copy_object", "upload_part_copy", "complete_multipart_upload"}
    )

    def __init__(self, settings: NatsSettings) -> None:
        self.settings = settings
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """What is open. Raises ServiceUnavailable before ``start`` and after ``close``."""
        if self._store is None:
            raise S3Error(Code.ServiceUnavailable)
        return self._store

    def start(self) -> None:
        """See Backend. Returns without a connection where there is none yet."""
        self._store = Store(self.settings)
        self._store.start()

    def close(self) -> None:
        """See Backend."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    def check(self) -> None:
        """See Backend."""
        self.store.check()

    # -- buckets ------------------------------------------------------------------------------

    def list_buckets(self) -> list[BucketInfo]:
        """See Backend."""
        store = self.store
        return store.call(store.buckets.list())

    def head_bucket(self, bucket: str) -> BucketInfo:
        """See Backend."""
        store = self.store
        return store.call(store.buckets.find(bucket)).info

    def bucket_owner(self, bucket: str) -> str:
        """See Backend."""
        known = self.store.buckets.remembered(bucket)
        return self.head_bucket(bucket).owner if known is None else known.info.owner

    def create_bucket(self, info: BucketInfo) -> None:
        """See Backend."""
        store = self.store
        store.call(store.buckets.create(info))

    def delete_bucket(self, bucket: str) -> None:
        """See Backend."""
        store = self.store
        found = store.call(store.buckets.shut(bucket))
        try:
            empty = not store.index.keys_alive(bucket)
        except BaseException:
            store.call(store.buckets.reopen(bucket, found))
            raise
        if not empty:
            store.call(store.buckets.reopen(bucket, found))
            raise S3Error(Code.BucketNotEmpty, BucketName=bucket)
        store.call(store.buckets.remove(bucket))

    # -- objects ------------------------------------------------------------------------------

    def list_objects(self, bucket: str, query: ListQuery) -> Page[ObjectInfo]:
        """See Backend."""
        return self.store.index.list_objects(bucket, query)

    def head_object(self, ref: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        return reading.head_object(self.store, ref, conditions)

    def get_object(
        self, ref: ObjectRef, byte_range: ByteRange | None, conditions: Conditions
    ) -> ObjectStream:
        """See Backend."""
        return reading.open_object(self.store, ref, byte_range, conditions)[1]

    def get_object_parts(self, ref: ObjectRef, conditions: Conditions) -> tuple[ObjectInfo, list[ObjectPart]]:
        """See Backend."""
        return stored.get_object_parts(self.store, ref, conditions)

    def put_object(self, ref: ObjectRef, body: Body, meta: ObjectMeta, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        return writing.put_object(self.store, ref, body, meta, conditions)

    def delete_object(self, ref: ObjectRef, conditions: Conditions) -> Deleted:
        """See Backend."""
        return derived.delete_object(self.store, ref, conditions)

    def put_object_tags(self, ref: ObjectRef, tags: dict[str, str]) -> None:
        """See Backend."""
        derived.put_object_tags(self.store, ref, tags)

    def copy_object(self, copy: Copy, target: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        return derived.copy_object(self.store, copy, target, conditions)

    # -- documents ----------------------------------------------------------------------------

    def get_document(self, bucket: str, name: str) -> bytes | None:
        """See Backend."""
        store = self.store
        key = self._document(bucket, name)
        try:
            found = store.call(store.kv.get(key))
        except FAILURES as failure:
            raise answer_of(failure, bucket) from None
        return None if found is None else found.data

    def put_document(self, bucket: str, name: str, document: bytes | None) -> None:
        """See Backend."""
        store = self.store
        key = self._document(bucket, name)
        try:
            if document is None:
                store.call(store.kv.delete(key))
            else:
                store.call(store.kv.put(key, document))
        except FAILURES as failure:
            raise answer_of(failure, bucket) from None

    def _document(self, bucket: str, name: str) -> str:
        """Return the key of a document: of this bucket and not of one that had its name before."""
        store = self.store
        found = store.call(store.buckets.find(bucket))
        encoded = urlsafe_b64encode(name.encode()).decode()
        return f"doc.{store_of(bucket)}.{found.incarnation}.{encoded}"

    # -- MULTIPART ----------------------------------------------------------------------------

    def create_multipart_upload(self, bucket: str, upload: UploadInfo) -> UploadInfo:
        """See Backend."""
        return uploads.create_multipart_upload(self.store, bucket, upload)

    def head_multipart_upload(self, upload: UploadRef) -> UploadInfo:
        """See Backend."""
        return uploads.head_multipart_upload(self.store, upload)

    def upload_part(self, upload: UploadRef, part_number: int, body: Body) -> PartInfo:
        """See Backend."""
        return uploads.upload_part(self.store, upload, part_number, body)

    def upload_part_copy(
        self, upload: UploadRef, part_number: int, copy: Copy, byte_range: ByteRange | None
    ) -> PartInfo:
        """See Backend."""
        return uploads.upload_part_copy(self.store, upload, part_number, copy, byte_range)

    def complete_multipart_upload(
        self, upload: UploadRef, completion: Completion, conditions: Conditions
    ) -> ObjectInfo:
        """See Backend."""
        return Completing(self.store, upload, completion, conditions).run()

    def abort_multipart_upload(self, upload: UploadRef) -> None:
        """See Backend."""
        uploads.abort_multipart_upload(self.store, upload)

    def list_parts(self, upload: UploadRef, marker: int, max_parts: int) -> tuple[UploadInfo, list[PartInfo]]:
        """See Backend."""
        return uploads.list_parts(self.store, upload, marker, max_parts)

    def list_multipart_uploads(self, bucket: str, query: UploadQuery) -> Page[UploadInfo]:
        """See Backend."""
        return uploads.list_multipart_uploads(self.store, bucket, query)

    def expire_multipart_uploads(self, before: int) -> int:
        """See Backend."""
        return uploads.expire_multipart_uploads(self.store, before)
