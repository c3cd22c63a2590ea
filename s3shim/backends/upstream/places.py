"""Where in the upstream things lie: the objects of our buckets, and what s3shim keeps of its own.

With one upstream bucket for all of ours, bucket B's key K is PREFIX/B/K and our own things lie below
PREFIX/.s3shim/, which no bucket can be named. Bucket by bucket, they lie in an upstream bucket of their
own, which is none of ours: listings of the upstream hold nothing else than the client's keys.
"""

from __future__ import annotations

from dataclasses import dataclass

from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.errors import Code, S3Error
from s3shim.names import MAX_KEY_BYTES, check_bucket_name

_OWN = ".s3shim/"


@dataclass(slots=True)
class Place:
    """An upstream bucket and a key in it."""

    bucket: str
    key: str


class Places:
    """Maps buckets and keys to places."""

    def __init__(self, settings: UpstreamSettings) -> None:
        stem = settings.prefix.strip("/")
        self._prefix = f"{stem}/" if stem else ""
        self._single = settings.bucket
        self._records = settings.bucket or settings.records

    @property
    def single(self) -> bool:
        """Whether all buckets lie in one."""
        return self._single is not None

    @property
    def own_bucket(self) -> str:
        """The upstream bucket of what s3shim keeps of its own."""
        return self._records

    def is_bucket(self, name: str) -> bool:
        """Whether one of our buckets may have this name."""
        try:
            check_bucket_name(name)
        except S3Error:
            return False
        return self.single or name != self._records

    def base(self, bucket: str) -> Place:
        """Return the upstream bucket of a bucket, and what its keys begin with there."""
        if self._single is not None:
            return Place(self._single, f"{self._prefix}{bucket}/")
        return Place(bucket, self._prefix)

    def object(self, bucket: str, key: str) -> Place:
        """Return where an object lies. Raises KeyTooLongError where the prefix leaves no room for the key."""
        place = self.base(bucket)
        place.key += key
        if place.key is not key and len(place.key.encode()) > MAX_KEY_BYTES:
            room = MAX_KEY_BYTES - len(self.base(bucket).key.encode())
            raise S3Error(Code.KeyTooLongError, Size=len(key.encode()), MaxSizeAllowed=room)
        return place

    def own(self, name: str) -> Place:
        """Return where a thing of our own lies."""
        return Place(self._records, f"{self._prefix}{_OWN}{name}")
