"""A bucket in memory, and the shelf of all buckets with its one lock."""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from threading import Lock
from typing import TypeVar

from s3shim.conditions import Conditions, check_write
from s3shim.errors import Code, S3Error
from s3shim.model import (
    NULL_VERSION,
    Body,
    BucketInfo,
    Digests,
    ListQuery,
    ObjectInfo,
    ObjectPart,
    ObjectRef,
    Page,
    PartInfo,
    UploadInfo,
    UploadRef,
)
from s3shim.paging import list_page, upload_position

T = TypeVar("T")

_READ = 1 << 20


@dataclass(slots=True)
class Upload:
    """An upload under way; ``parts`` are (record, bytes) by number."""

    info: UploadInfo
    parts: dict[int, tuple[PartInfo, bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class Completed:
    """What a completed upload was answered."""

    fingerprint: str
    info: ObjectInfo


def _itself(info: T, _key: str) -> T:
    return info


class Bucket:
    """A bucket. Uploads, under way and completed, are found by their ``upload_position``.

    ``renamed`` maps a key to (token, former key) of the rename that brought the object there.
    """

    __slots__ = ("completed", "documents", "info", "keys", "objects", "parts", "renamed", "uploads")

    def __init__(self, info: BucketInfo) -> None:
        self.info = info
        self.objects: dict[str, tuple[ObjectInfo, bytes]] = {}
        self.parts: dict[str, list[ObjectPart]] = {}
        self.renamed: dict[str, tuple[str, str]] = {}
        self.keys: list[str] = []
        self.documents: dict[str, bytes] = {}
        self.uploads: dict[str, Upload] = {}
        self.completed: dict[str, Completed] = {}

    def remove(self, key: str) -> None:
        """Remove the object, which is there."""
        del self.objects[key], self.parts[key], self.keys[bisect_left(self.keys, key)]
        self.renamed.pop(key, None)

    def seek(self, start: str) -> Iterator[tuple[str, Callable[[str], ObjectInfo]]]:
        """Yield the keys from ``start`` on; see paging.list_page."""
        for key in self.keys[bisect_left(self.keys, start) :]:
            yield key, partial(_itself, self.objects[key][0])

    def page(self, query: ListQuery) -> Page[ObjectInfo]:
        """Return one page of the objects."""
        return list_page(self.seek, query)

    def seek_upload(self, start: str) -> Iterator[tuple[str, Callable[[str], UploadInfo]]]:
        """Yield the positions of the uploads from ``start`` on; see paging.list_uploads_page."""
        positions = sorted(self.uploads)
        for position in positions[bisect_left(positions, start) :]:
            yield position, partial(_itself, self.uploads[position].info)

    def find(self, ref: ObjectRef) -> tuple[ObjectInfo, bytes]:
        """Return an object and its bytes. Raises NoSuchKey, NoSuchVersion."""
        if ref.version_id not in (None, NULL_VERSION):
            raise S3Error(Code.NoSuchVersion, Key=ref.key, VersionId=ref.version_id)
        try:
            return self.objects[ref.key]
        except KeyError:
            raise S3Error(Code.NoSuchKey, Key=ref.key) from None

    def upload(self, ref: UploadRef) -> Upload:
        """Return an upload under way. Raises NoSuchUpload."""
        try:
            return self.uploads[upload_position(ref.key, ref.upload_id)]
        except KeyError:
            raise S3Error(Code.NoSuchUpload, UploadId=ref.upload_id) from None

    def place(
        self, info: ObjectInfo, data: bytes, conditions: Conditions, parts: list[ObjectPart] | None = None
    ) -> None:
        """Make ``data`` the object, or raise what ``conditions.check_write`` raises."""
        current = self.objects.get(info.key)
        check_write(conditions, current[0] if current else None)
        self.objects[info.key] = info, data
        self.parts[info.key] = parts or []
        self.renamed.pop(info.key, None)
        if current is None:
            insort(self.keys, info.key)


class Shelf:
    """A dict of buckets under one lock; closed at first."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.buckets: dict[str, Bucket] = {}
        self.upload_numbers = count(1)
        self._open = False

    def start(self) -> None:
        """Serve from now on."""
        self._open = True

    def close(self) -> None:
        """Refuse calls from now on."""
        self._open = False

    def check(self) -> None:
        """Raise ServiceUnavailable unless started."""
        if not self._open:
            raise S3Error(Code.ServiceUnavailable)

    def bucket(self, name: str) -> Bucket:
        """Return a bucket. Raises NoSuchBucket, ServiceUnavailable."""
        self.check()
        bucket = self.buckets.get(name)
        if bucket is None:
            raise S3Error(Code.NoSuchBucket, BucketName=name)
        return bucket


def now_ms() -> int:
    """Return the time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def read_whole(body: Body) -> tuple[bytes, Digests]:
    """Return the whole body and its digests."""
    data = b"".join(iter(lambda: body.read(_READ), b""))
    if body.length is not None and body.length != len(data):
        raise S3Error(Code.IncompleteBody)
    return data, body.digests
