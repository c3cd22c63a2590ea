"""The contract of a storage.

A backend knows buckets, keys, bytes and records; it knows neither the request, nor who asks, nor
HTTP. Every method may be called from many threads and many processes. What a backend promises
beyond the required methods it declares in ``capabilities``, and the contract suite holds it to it.

Rules that hold for every method:

* A backend raises ``S3Error`` with S3's code and nothing else on purpose. NoSuchKey means that the
  key is confirmed absent; "cannot tell" is ServiceUnavailable.
* A missing bucket is NoSuchBucket.
* Keys are opaque: any str whose UTF-8 has 1 to 1,024 bytes and no NUL, ordered by those bytes.
* Conditions are checked where the change is atomic, just before it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Flag, auto
from typing import ClassVar

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
from s3shim.ranges import ByteRange


class Capability(Flag):
    """What a storage can do beyond the required methods."""

    NONE = 0
    CONDITIONAL_WRITE = auto()  # conditions on put_object and delete_object are atomic
    MULTIPART = auto()
    VERSIONING = auto()
    OBJECT_LOCK = auto()


class Backend(ABC):
    """A storage. See the module's text for the rules."""

    capabilities: ClassVar[Capability] = Capability.NONE

    # -- life ---------------------------------------------------------------------------------

    @abstractmethod
    def start(self) -> None:
        """Open the storage; called once in each process that serves requests, after the fork."""

    @abstractmethod
    def close(self) -> None:
        """Let everything go. Calls after it are refused with ServiceUnavailable."""

    @abstractmethod
    def check(self) -> None:
        """Raise ServiceUnavailable where the storage could not serve a request now."""

    # -- buckets ------------------------------------------------------------------------------

    @abstractmethod
    def list_buckets(self) -> list[BucketInfo]:
        """Return all buckets of all owners, in byte order of their names."""

    @abstractmethod
    def head_bucket(self, bucket: str) -> BucketInfo:
        """Return the bucket. Constant cost. Raises NoSuchBucket."""

    @abstractmethod
    def create_bucket(self, info: BucketInfo) -> None:
        """Create the bucket.

        Raises BucketAlreadyOwnedByYou where it exists with the same owner, BucketAlreadyExists
        where it has another; of racing callers exactly one succeeds.
        """

    @abstractmethod
    def delete_bucket(self, bucket: str) -> None:
        """Remove an empty bucket and its documents.

        Raises BucketNotEmpty. A racing put either finds NoSuchBucket or makes this fail.
        """

    # -- objects ------------------------------------------------------------------------------

    @abstractmethod
    def list_objects(self, bucket: str, query: ListQuery) -> Page[ObjectInfo]:
        """Return one page of the current objects in byte order, as they were at one instant."""

    @abstractmethod
    def head_object(self, ref: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """Return the object's record.

        Raises NoSuchKey, NoSuchVersion, and what ``conditions.check_read`` raises.
        """

    @abstractmethod
    def get_object(
        self, ref: ObjectRef, byte_range: ByteRange | None, conditions: Conditions
    ) -> ObjectStream:
        """Return the object, or the part of it that ``byte_range`` names.

        Raises as head_object, and InvalidRange where the range begins beyond the end. A reader keeps
        the object that it began with, whatever happens to the key meanwhile.
        """

    @abstractmethod
    def put_object(self, ref: ObjectRef, body: Body, meta: ObjectMeta, conditions: Conditions) -> ObjectInfo:
        """Read the body to its end and make it the object: all or nothing.

        If a read raises, nothing is to be seen of it, then or after a restart. The object appears at
        once and whole; it is durable when this returns. Raises what ``conditions.check_write`` raises.
        """

    @abstractmethod
    def delete_object(self, ref: ObjectRef, conditions: Conditions) -> Deleted:
        """Remove the object; a missing key is no error.

        A ``version_id`` other than "null" of a backend without VERSIONING names nothing and removes
        nothing.
        """

    # -- documents ----------------------------------------------------------------------------

    @abstractmethod
    def get_document(self, bucket: str, name: str) -> bytes | None:
        """Return the document ``name`` (policy, cors, ...) of a bucket, or None."""

    @abstractmethod
    def put_document(self, bucket: str, name: str, document: bytes | None) -> None:
        """Keep a document byte for byte, never interpreted; None removes it."""
