"""Buckets, their documents, and the uploads that are left in them."""

from __future__ import annotations

import time
from functools import partial

from s3shim import cors
from s3shim.backends.base import Backend, Capability
from s3shim.errors import Code, S3Error
from s3shim.migrate.failures import Pause, patiently
from s3shim.migrate.records import EXISTENCE, told
from s3shim.migrate.uploads import Uploads
from s3shim.model import BucketInfo

DOCUMENTS = (cors.DOCUMENT,)
"""The names of all documents that a bucket may have."""


class Refused(Exception):
    """A bucket cannot be migrated; the text says why."""


class Buckets:
    """The buckets of a migration. What a storage cannot do now is tried again, with ``pause`` between."""

    def __init__(self, source: Backend, target: Backend, pause: Pause) -> None:
        self._source = source
        self._target = target
        self._pause = pause
        self._began = time.time_ns() // 1_000_000

    def all(self) -> list[BucketInfo]:
        """Return the buckets of the source. Raises S3Error."""
        return patiently(self._source.list_buckets, self._pause)

    def is_gone(self, name: str) -> bool:
        """Whether the source has the bucket no more."""
        try:
            self._source.head_bucket(name)
        except S3Error as error:
            return error.code is Code.NoSuchBucket
        return False

    def missing(self, bucket: BucketInfo) -> str:
        """Say what the destination lacks of the bucket itself; "" is nothing. Raises Refused, S3Error."""
        missing = patiently(partial(self._missing, bucket), self._pause)
        return told(missing) if missing else ""

    def make(self, bucket: BucketInfo) -> None:
        """Make the bucket and its documents at the destination. Raises Refused, S3Error."""
        patiently(partial(self._make, bucket), self._pause)

    def tidy(self, name: str) -> None:
        """Abort the uploads that earlier runs have left in the bucket at the destination. Raises S3Error."""
        if Capability.MULTIPART in self._target.capabilities:
            patiently(partial(Uploads(self._target).abort_left, name, self._began), self._pause)

    def _make(self, bucket: BucketInfo) -> None:
        for what in self._missing(bucket):
            if what == EXISTENCE:
                self._create(bucket)
            else:
                document = self._source.get_document(bucket.name, what)
                self._target.put_document(bucket.name, what, document)

    def _create(self, bucket: BucketInfo) -> None:
        try:
            self._target.create_bucket(bucket)
        except S3Error as error:
            if error.code is not Code.BucketAlreadyOwnedByYou:  # since a moment ago
                raise

    def _missing(self, bucket: BucketInfo) -> list[str]:
        documents = {name: self._source.get_document(bucket.name, name) for name in DOCUMENTS}
        try:
            owner = self._owner(bucket)
        except S3Error as error:
            if error.code is not Code.NoSuchBucket:
                raise
            return [EXISTENCE, *(name for name in DOCUMENTS if documents[name] is not None)]
        if owner != bucket.owner:
            raise Refused(
                f"it belongs to {owner!r} at the destination, and to {bucket.owner!r} at the source"
            )
        return [name for name in DOCUMENTS if documents[name] != self._target.get_document(bucket.name, name)]

    def _owner(self, bucket: BucketInfo) -> str:
        # Of a bucket that another run is making now, some storages learn the owner a moment later.
        for pause in (0.5, 1.0):
            owner = self._target.head_bucket(bucket.name).owner
            if owner == bucket.owner:
                return owner
            self._pause(pause)
        return self._target.head_bucket(bucket.name).owner
