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

from s3shim.conditions import NO_CONDITIONS, Conditions
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.measures import Durability, Measure
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
from s3shim.renaming import Rename


class Capability(Flag):
    """What a storage can do beyond the required methods."""

    NONE = 0
    CONDITIONAL_WRITE = auto()  # conditions on put_object and delete_object are atomic
    MULTIPART = auto()
    VERSIONING = auto()
    OBJECT_LOCK = auto()
    RENAME = auto()  # rename_object is atomic
    APPEND = auto()
    LAST_MODIFIED = auto()


class Backend(ABC):
    """A storage. See the module's text for the rules."""

    capabilities: ClassVar[Capability] = Capability.NONE

    lengthy: ClassVar[frozenset[str]] = frozenset()
    """The methods among copy_object, upload_part_copy and complete_multipart_upload that may take longer than
    a client waits; their answers begin before they end."""

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

    # -- what it tells of itself --------------------------------------------------------------

    def measures(self) -> list[Measure]:
        """Return the numbers of this process, those that others see too among them.

        The same measures each time; one that is not known now has no samples. Asked every second, so it
        waits for nothing. Never raises, before ``start`` and after ``close`` neither.
        """
        return []

    def durability(self) -> Durability:
        """Return what an acknowledged write has behind it; waits for nothing, never raises."""
        return Durability.UNKNOWN

    def conditional_writes(self) -> str:
        """Return among whom of racing writers exactly one wins, where that is to be said; waits for nothing.

        Empty where it is so among all who write through s3shim. Never raises.
        """
        return ""

    # -- buckets ------------------------------------------------------------------------------

    @abstractmethod
    def list_buckets(self) -> list[BucketInfo]:
        """Return all buckets of all owners, in byte order of their names."""

    @abstractmethod
    def head_bucket(self, bucket: str) -> BucketInfo:
        """Return the bucket. Constant cost. Raises NoSuchBucket."""

    def bucket_owner(self, bucket: str) -> str:
        """Return the account that owns the bucket. Raises NoSuchBucket.

        Asked for each request, so a storage that is far away may remember it for a second: what is done with
        a bucket that is gone by then must fail by itself.
        """
        return self.head_bucket(bucket).owner

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
        """Return one page of the current objects in byte order, as they were at one instant.

        What no listing shows, ``meta``, and what few storages list, the checksums, may be missing.
        """

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

    def get_object_parts(self, ref: ObjectRef, conditions: Conditions) -> tuple[ObjectInfo, list[ObjectPart]]:
        """Return the object's record and its parts, none where it was not uploaded in parts.

        Raises as head_object.
        """
        return self.head_object(ref, conditions), []

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

    # -- copies, tags, many at once -----------------------------------------------------------

    @abstractmethod
    def put_object_tags(self, ref: ObjectRef, tags: dict[str, str]) -> None:
        """Replace the object's tags, nothing else of it: Last-Modified and ETag stay.

        Raises NoSuchKey, NoSuchVersion.
        """

    @abstractmethod
    def copy_object(self, copy: Copy, target: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """Make the source's bytes the object ``target`` as well: all or nothing, at once, durable.

        The source is read and its conditions are checked at the same instant at which the target
        appears. ETag, checksums and parts are those of the source. Source and target may be the same.
        Raises NoSuchKey and NoSuchVersion for the source, PreconditionFailed, and what
        ``conditions.check_write`` raises for the target.
        """

    def delete_objects(self, bucket: str, refs: list[ObjectRef]) -> list[Deleted | S3Error]:
        """Remove the objects, each for itself; return the outcomes in the order of ``refs``.

        Raises NoSuchBucket.
        """
        self.head_bucket(bucket)
        outcomes: list[Deleted | S3Error] = []
        for ref in refs:
            try:
                outcomes.append(self.delete_object(ref, NO_CONDITIONS))
            except S3Error as error:
                outcomes.append(error)
        return outcomes

    # -- RENAME, APPEND -----------------------------------------------------------------------

    def rename_object(self, rename: Rename) -> None:
        """Give the object another key: at every instant it is under one of them, and under one only.

        Nothing else of it changes, Last-Modified included. An object at the target is replaced. Where
        ``rename.is_done`` with the token and the source key by which the object at the target came there,
        nothing happens. Raises NoSuchKey for the source, and what ``rename.check`` raises.
        """
        raise not_implemented("RenameObject")

    def append_object(
        self, ref: ObjectRef, body: Body, meta: ObjectMeta, offset: int, conditions: Conditions
    ) -> ObjectInfo:
        """Read the body to its end and put it behind the object's last byte: all or nothing, durable.

        ``offset`` is the size that the object must have. At 0 there is none, or an empty one that is
        replaced, and the object is a new one with ``meta``; beyond 0 the object keeps its own metadata and
        becomes one of parts, see ``appending.append``. What is stored is not written anew. Raises what
        ``conditions.check_write``, ``check_offset``, ``check_added`` and ``append`` of ``appending`` raise;
        the first two are asked before the body is read as well.
        """
        raise not_implemented("PutObject with x-amz-write-offset-bytes")

    # -- LAST_MODIFIED ------------------------------------------------------------------------

    def put_object_last_modified(self, ref: ObjectRef, last_modified: int, conditions: Conditions) -> None:
        """Give the object the Last-Modified (ms) that it had in another storage; nothing else of it changes.

        Raises NoSuchKey, NoSuchVersion, and what ``conditions.check_write`` raises.
        """
        raise not_implemented("An earlier Last-Modified")

    # -- MULTIPART ----------------------------------------------------------------------------
    # An upload that is not known under its bucket, key and id is NoSuchUpload. Parts are never
    # listed as objects. Deleting a bucket aborts its uploads.

    def create_multipart_upload(self, bucket: str, upload: UploadInfo) -> UploadInfo:
        """Begin an upload in ``bucket``; return ``upload`` with its id and time filled in.

        Ids cannot be guessed (128 random bits), are ASCII, and sort by initiation.
        """
        raise not_implemented("CreateMultipartUpload")

    def head_multipart_upload(self, upload: UploadRef) -> UploadInfo:
        """Return the upload."""
        raise not_implemented("UploadPart")

    def upload_part(self, upload: UploadRef, part_number: int, body: Body) -> PartInfo:
        """Read the body to its end and make it part ``part_number``: all or nothing, durable.

        The last part of a number that was finished counts; the bytes of the one before are freed.
        """
        raise not_implemented("UploadPart")

    def upload_part_copy(
        self, upload: UploadRef, part_number: int, copy: Copy, byte_range: ByteRange | None
    ) -> PartInfo:
        """Make the source's bytes, or the range of them, part ``part_number``; no byte is copied.

        Raises as copy_object, and InvalidRange for a range that is not whole within the source. The
        ETag of a part of another object says which bytes they are, it is not their MD5.
        """
        raise not_implemented("UploadPartCopy")

    def complete_multipart_upload(
        self, upload: UploadRef, completion: Completion, conditions: Conditions
    ) -> ObjectInfo:
        """Make the listed parts the object: all or nothing, at once, once; no byte is copied.

        Raises what ``multipart.assemble`` and ``conditions.check_write`` raise; the upload is then as it
        was. Parts that are not listed are freed. For 24 hours the same completion again gives the same
        answer and does nothing; another one is NoSuchUpload.
        """
        raise not_implemented("CompleteMultipartUpload")

    def abort_multipart_upload(self, upload: UploadRef) -> None:
        """End the upload and free its parts."""
        raise not_implemented("AbortMultipartUpload")

    def list_parts(self, upload: UploadRef, marker: int, max_parts: int) -> tuple[UploadInfo, list[PartInfo]]:
        """Return the upload and up to ``max_parts`` parts above number ``marker``, ascending."""
        raise not_implemented("ListParts")

    def list_multipart_uploads(self, bucket: str, query: UploadQuery) -> Page[UploadInfo]:
        """Return one page of the uploads under way, by key, then by initiation."""
        raise not_implemented("ListMultipartUploads")

    def expire_multipart_uploads(self, before: int) -> int:
        """Abort the uploads that were initiated before a time (ms); return how many."""
        raise not_implemented("AbortMultipartUpload")


def not_implemented(operation: str) -> S3Error:
    """Return the answer of a backend to what it does not promise."""
    return S3Error(Code.NotImplemented, f"{operation} is not implemented by this storage.")
