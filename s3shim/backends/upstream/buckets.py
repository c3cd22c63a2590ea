"""Buckets and their documents, and whether the upstream is to be had."""

from __future__ import annotations

import json
import os

from s3shim.backends.upstream.client import Request
from s3shim.backends.upstream.faults import meaning_of
from s3shim.backends.upstream.locks import BUCKET, Lock
from s3shim.backends.upstream.markup import read_buckets
from s3shim.backends.upstream.store import Store, read_bucket_record
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo

_OF_A_BUCKET = ("documents", "uploads", "parts", "completed", "manifests")


class Buckets(Store):
    """The part of UpstreamBackend that knows buckets."""

    def check(self) -> None:
        """See Backend. The message says whether bucket, key, region or connection is wrong."""
        self.opened()
        if self.locks.leases is not None:
            self.locks.leases.ledger.check()
        try:
            if self.places.single:
                self.list_page(self.places.own("check"), most=1)
            else:
                self.client.send(Request("GET"))
        except S3Error as error:
            message = meaning_of(error)
            if error.code is Code.NoSuchBucket:
                message = f"The storage has no bucket {self.places.own_bucket!r}."
            raise S3Error(Code.ServiceUnavailable, message) from None

    def list_buckets(self) -> list[BucketInfo]:
        """See Backend."""
        self.opened()
        found: dict[str, BucketInfo] = {}
        if not self.places.single:
            for name, created in self.upstream_buckets():
                found[name] = BucketInfo(name, self.settings.account, created)
        for name, _ in self.names_own("buckets/"):
            data = self.read_own(f"buckets/{name}")
            if data is not None and (self.places.single or name in found):
                found[name], _identity = read_bucket_record(name, data)
        return [found[name] for name in sorted(found)]

    def upstream_buckets(self) -> list[tuple[str, int]]:
        """See Store."""
        found = read_buckets(self.client.send(Request("GET")).data)
        return [(name, created) for name, created in found if self.places.is_bucket(name)]

    def head_bucket(self, bucket: str) -> BucketInfo:
        """See Backend. As it was within the last second."""
        return self.bucket(bucket).info

    def create_bucket(self, info: BucketInfo) -> None:
        """See Backend."""
        self.opened()
        if not self.places.is_bucket(info.name):
            raise S3Error(Code.InvalidBucketName, BucketName=info.name)
        # Who makes sure that his bucket is there does not take its lease, under which writers are refused.
        if self.locks.across_hosts and self._owner(info.name) == info.owner:
            raise S3Error(Code.BucketAlreadyOwnedByYou, BucketName=info.name)
        with self.locks.hold(Lock(BUCKET, info.name)):
            self.opened()
            owner = self._owner(info.name)
            if owner is not None and self._is_upstream(info.name):
                same = owner == info.owner
                raise S3Error(
                    Code.BucketAlreadyOwnedByYou if same else Code.BucketAlreadyExists, BucketName=info.name
                )
            if not self.places.single:
                self.create_upstream_bucket(info.name)
            # A removal that was cut off has left what the new bucket would inherit.
            self._forget_all(info.name)
            record = {"owner": info.owner, "created": info.created, "identity": os.urandom(16).hex()}
            self.write_own(f"buckets/{info.name}", json.dumps(record).encode())
            self.locks.restamp(info.name)

    def _owner(self, bucket: str) -> str | None:
        """Return who owns a bucket as the upstream has it; None where there is none."""
        try:
            return self.read_bucket(bucket, b"").info.owner
        except S3Error as error:
            if error.code is Code.NoSuchBucket:
                return None
            raise

    def delete_bucket(self, bucket: str) -> None:
        """See Backend."""
        self.bucket(bucket)
        if self.locks.across_hosts:
            self._refuse_full(bucket)
        with self.locks.hold(Lock(BUCKET, bucket)):
            self.opened()
            self.read_bucket(bucket, b"")
            there = self._is_upstream(bucket)
            self.locks.settle(bucket)
            if there:
                self._refuse_full(bucket)
            if there and not self.places.single:
                self.client.send(Request("DELETE", self.places.base(bucket).bucket))
            self.delete_own(f"buckets/{bucket}")
            self.locks.restamp(bucket)
            self._forget_all(bucket)

    def _is_upstream(self, bucket: str) -> bool:
        """Whether the upstream still has the bucket that there is a record of: others may remove it there."""
        if self.places.single:
            return True
        try:
            self.client.send(Request("HEAD", bucket))
        except S3Error as error:
            if error.code is not Code.NoSuchBucket:
                raise
            return False
        return True

    def _forget_all(self, bucket: str) -> None:
        for kind in _OF_A_BUCKET:
            for name, _ in self.names_own(f"{kind}/{bucket}/"):
                self.forget(kind, bucket, name)

    def _refuse_full(self, bucket: str) -> None:
        page = self.list_page(self.places.base(bucket), most=1)
        if page.items or page.groups:
            raise S3Error(Code.BucketNotEmpty, BucketName=bucket)

    # -- documents ----------------------------------------------------------------------------

    def get_document(self, bucket: str, name: str) -> bytes | None:
        """See Backend."""
        self.bucket(bucket)
        return self.read_own(f"documents/{bucket}/{name}")

    def put_document(self, bucket: str, name: str, document: bytes | None) -> None:
        """See Backend."""
        seen = self.bucket(bucket)
        with self.locks.hold(Lock(BUCKET, bucket, exclusive=False)):
            self.still(seen)
            if document is None:
                self.delete_own(f"documents/{bucket}/{name}")
            else:
                self.write_own(f"documents/{bucket}/{name}", document)
