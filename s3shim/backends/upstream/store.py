"""Buckets as every part of the backend sees them: their records, and the locks for a change in one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from s3shim.backends.ledger import Ledger
from s3shim.backends.upstream.leases import clock
from s3shim.backends.upstream.locks import BUCKET, KEY, LOOKED, Lock
from s3shim.backends.upstream.own import Own
from s3shim.backends.upstream.places import Place
from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo, ObjectRef

_REMEMBERED = 1.0
"""Seconds for which a bucket's record is remembered; a change on this host is seen at once all the same."""


@dataclass(slots=True)
class Bucket:
    """A bucket as it was seen: ``identity`` tells it from one of the same name that came later.

    Until ``looked`` it is there for writers, whatever other hosts do: they wait for us.
    """

    info: BucketInfo
    identity: str
    stamp: bytes
    until: float
    looked: float = 0.0


class Store(Own):
    """The part of UpstreamBackend that its other parts stand on."""

    def __init__(self, settings: UpstreamSettings, ledger: Ledger | None = None) -> None:
        super().__init__(settings, ledger)
        self._buckets: dict[str, Bucket] = {}

    def close(self) -> None:
        """See Backend."""
        super().close()
        self._buckets.clear()

    def bucket(self, name: str) -> Bucket:
        """Return a bucket as it is now, or was within the last second. Raises NoSuchBucket."""
        self.opened()
        if not self.places.is_bucket(name):
            raise no_such_bucket(name)
        stamp = self.locks.stamp(name)
        known = self._buckets.get(name)
        if known is not None and known.stamp == stamp and time.monotonic() < known.until:
            return known
        found = self.read_bucket(name, stamp)
        self._buckets[name] = found
        return found

    def read_bucket(self, name: str, stamp: bytes) -> Bucket:
        """Return a bucket as the upstream has it. Raises NoSuchBucket."""
        until = time.monotonic() + _REMEMBERED
        data = self.read_own(f"buckets/{name}")
        if data is not None:
            return Bucket(*read_bucket_record(name, data), stamp, until)
        if not self.places.single:
            # Made by somebody else: it is there, and belongs to the account that the settings name.
            for found, created in self.upstream_buckets():
                if found == name:
                    return Bucket(BucketInfo(name, self.settings.account, created), "", stamp, until)
        self._buckets.pop(name, None)
        raise no_such_bucket(name)

    def upstream_buckets(self) -> list[tuple[str, int]]:
        """Return names and times of the upstream's buckets, but for our own."""
        raise NotImplementedError

    @contextmanager
    def committing(self, seen: Bucket, key: str) -> Iterator[None]:
        """Hold the locks for a change of a key in the bucket that was seen. Raises NoSuchBucket."""
        name = seen.info.name
        with self.locks.hold(Lock(BUCKET, name, exclusive=False), Lock(KEY, name, key)):
            self.still(seen)
            yield

    def still(self, seen: Bucket) -> None:
        """Raise NoSuchBucket unless the bucket, whose lock is held, is the one that was seen."""
        self.opened()
        name = seen.info.name
        stamp = self.locks.stamp(name)
        if self.locks.across_hosts:
            found = self._looked_at(name, stamp)
        elif stamp != seen.stamp:
            # Buckets share stamps, so another stamp is a reason to look and no more.
            found = self.read_bucket(name, stamp)
        else:
            return
        if found.identity != seen.identity:
            raise no_such_bucket(name)

    def _looked_at(self, name: str, stamp: bytes) -> Bucket:
        """Return a bucket that no other host removes within a second. Raises NoSuchBucket, SlowDown."""
        known = self._buckets.get(name)
        if known is not None and known.stamp == stamp and clock() < known.looked:
            return known
        looked = clock() + LOOKED
        # In this order: whoever removed it gave the lease back after that, so the record is gone.
        self.locks.look(name)
        found = self.read_bucket(name, stamp)
        found.looked = looked
        self._buckets[name] = found
        return found

    def at(self, ref: ObjectRef) -> Place:
        """Return where the object lies. Raises KeyTooLongError, InvalidArgument where it cannot be kept."""
        place = self.places.object(ref.bucket, ref.key)
        self.dialect.check_key(place.key)
        return place

    def kept(self, ref: ObjectRef) -> Place:
        """Return where the object lies. Raises NoSuchKey for a key that the upstream cannot have."""
        try:
            return self.at(ref)
        except S3Error as error:
            if error.code in (Code.KeyTooLongError, Code.InvalidArgument):
                raise S3Error(Code.NoSuchKey, Key=ref.key) from None
            raise


def read_bucket_record(name: str, data: bytes) -> tuple[BucketInfo, str]:
    """Return a bucket and its identity from its record. Raises InternalError for garbage."""
    try:
        found = json.loads(data)
        return BucketInfo(name, str(found["owner"]), int(found["created"])), str(found["identity"])
    except (ValueError, KeyError, TypeError):
        raise S3Error(Code.InternalError) from None


def no_such_bucket(name: str) -> S3Error:
    """Return the error for a bucket that is not there."""
    return S3Error(Code.NoSuchBucket, BucketName=name)
