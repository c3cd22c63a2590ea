"""Buckets and their documents in the local store."""

from __future__ import annotations

from s3shim.backends.local import upload_rows
from s3shim.backends.local.store import Store
from s3shim.backends.local.tables import Edit
from s3shim.model import BucketInfo


class Buckets:
    """The part of LocalBackend that keeps buckets and their documents."""

    store: Store

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

        def change(edit: Edit) -> None:
            bucket_id = edit.bucket(bucket).id
            edit.remove_bucket(bucket)
            upload_rows.remove_all(edit, bucket_id, self.store.settings.due())

        self.store.committer.run(change, frees=True)

    def get_document(self, bucket: str, name: str) -> bytes | None:
        """See Backend."""
        with self.store.index.read() as view:
            return view.document(view.bucket(bucket).id, name)

    def put_document(self, bucket: str, name: str, document: bytes | None) -> None:
        """See Backend."""
        self.store.committer.run(
            lambda edit: edit.put_document(edit.bucket(bucket).id, name, document), frees=document is None
        )
