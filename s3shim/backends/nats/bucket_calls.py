"""Buckets, their documents and their listings."""

from __future__ import annotations

from base64 import urlsafe_b64encode

from s3shim.backends.nats.format import store_of
from s3shim.backends.nats.store import Calls
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo, ListQuery, ObjectInfo, Page


class BucketCalls(Calls):
    """Every call on a bucket as a whole."""

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
        """See Backend. The bucket takes no metadata while it is looked at, so nothing can come in between."""
        store = self.store
        found = store.call(store.buckets.shut(bucket))
        try:
            if store.cached.index.keys_alive(bucket):
                raise S3Error(Code.BucketNotEmpty, BucketName=bucket)
            store.call(store.buckets.remove(bucket))
        except BaseException:
            store.call(store.buckets.reopen(bucket, found))
            raise

    def list_objects(self, bucket: str, query: ListQuery) -> Page[ObjectInfo]:
        """See Backend."""
        return self.store.cached.index.list_objects(bucket, query)

    def get_document(self, bucket: str, name: str) -> bytes | None:
        """See Backend."""
        found = self.store.call(self.store.kv.get(self._document(bucket, name)), bucket)
        return None if found is None else found.data

    def put_document(self, bucket: str, name: str, document: bytes | None) -> None:
        """See Backend."""
        kv = self.store.kv
        key = self._document(bucket, name)
        self.store.call(kv.delete(key) if document is None else kv.put(key, document), bucket)

    def _document(self, bucket: str, name: str) -> str:
        """Return the key of a document: of this bucket and not of one that had its name before."""
        found = self.store.call(self.store.buckets.find(bucket))
        encoded = urlsafe_b64encode(name.encode()).decode()
        return f"doc.{store_of(bucket)}.{found.incarnation}.{encoded}"
