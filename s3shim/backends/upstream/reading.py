"""Reads: one request of ours is one of the upstream, and what comes back is verified."""

from __future__ import annotations

import json
from dataclasses import replace

from s3shim.backends.upstream.client import Begun, Request
from s3shim.backends.upstream.entries import Found, read_object
from s3shim.backends.upstream.listing import Listings
from s3shim.backends.upstream.streams import Opened, RemoteChunks, opened, verifier_of
from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList, check_read, range_applies
from s3shim.errors import Code, S3Error
from s3shim.model import (
    NULL_VERSION,
    ObjectInfo,
    ObjectPart,
    ObjectRef,
    ObjectStream,
    ReadyChunks,
)
from s3shim.ranges import ByteRange

_LARGEST = 10**18
_ATTEMPTS = 5
ASIDE = "checksums/"
"""What the names of the records begin with that have the checksums of one object each."""

_SMALL = 256 * 1024
"""Answers up to so many bytes are read and verified at once, so their connection is free again."""


class Reading(Listings):
    """The part of UpstreamBackend that reads objects."""

    def find(self, ref: ObjectRef) -> Found:
        """Return the object. Raises NoSuchBucket, NoSuchKey, NoSuchVersion."""
        self.bucket(ref.bucket)
        if ref.version_id not in (None, NULL_VERSION):
            raise S3Error(Code.NoSuchVersion, Key=ref.key, VersionId=ref.version_id)
        place = self.kept(ref)
        try:
            headers, size = self.head_upstream(place)
        except S3Error as error:
            raise self.missing(ref, error) from None
        return self._whole(ref, read_object(ref.key, headers, size))

    def current(self, ref: ObjectRef) -> Found | None:
        """Return the object, None where there is none."""
        try:
            return self.find(ref)
        except S3Error as error:
            if error.code is Code.NoSuchKey:
                return None
            raise

    def missing(self, ref: ObjectRef, error: S3Error) -> S3Error:
        """Return the error of a read; NoSuchKey only where the upstream's bucket is surely there."""
        if error.code is Code.NoSuchBucket:
            if self.places.single:
                return S3Error(
                    Code.ServiceUnavailable, f"The storage has no bucket {self.places.own_bucket!r}."
                )
            return S3Error(Code.NoSuchBucket, BucketName=ref.bucket)
        if error.code is Code.NoSuchKey:
            return S3Error(Code.NoSuchKey, Key=ref.key)
        return error

    def _whole(self, ref: ObjectRef, found: Found) -> Found:
        """Return the object with what the head of the upstream's answer does not tell."""
        if found.entry.aside:
            data = self.read_own(f"{ASIDE}{found.entry.aside}")
            if data is not None:
                found.entry.checksums.update(_checksums_in(data))
        if found.tag_count and self.dialect.tagging:
            found.info.meta.tags = self.tags_upstream(self.at(ref))
        return found

    def begin_aside(self, ref: ObjectRef, name: str, checksums: dict[str, str]) -> Begun:
        """Begin to keep the checksums of an object beside it."""
        record = {"bucket": ref.bucket, "key": ref.key, "checksums": checksums}
        return self.begin_own(f"{ASIDE}{name}", json.dumps(record).encode())

    @staticmethod
    def as_listed(conditions: Conditions, found: Found) -> Conditions:
        """Return conditions in which the ETag that listings show stands for the one that the object has."""
        listed, etag = found.upstream_etag, found.info.etag
        if conditions is NO_CONDITIONS or listed == etag:
            return conditions

        def both(tags: ETagList | None) -> ETagList | None:
            if tags is None:
                return None
            strong, weak = (kept | {etag} if listed in kept else kept for kept in (tags.strong, tags.weak))
            return ETagList(strong, weak, tags.any)

        return replace(
            conditions,
            if_match=both(conditions.if_match),
            if_none_match=both(conditions.if_none_match),
            if_range=etag if conditions.if_range == listed else conditions.if_range,
        )

    def head_object(self, ref: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        found = self.find(ref)
        check_read(self.as_listed(conditions, found), found.info)
        return found.info

    def get_object(
        self, ref: ObjectRef, byte_range: ByteRange | None, conditions: Conditions
    ) -> ObjectStream:
        """See Backend."""
        self.bucket(ref.bucket)
        if ref.version_id not in (None, NULL_VERSION):
            raise S3Error(Code.NoSuchVersion, Key=ref.key, VersionId=ref.version_id)
        for _ in range(_ATTEMPTS):
            stream = self._try_get(ref, byte_range, conditions)
            if stream is not None:
                return stream
        raise S3Error(Code.ServiceUnavailable)

    def _try_get(
        self, ref: ObjectRef, byte_range: ByteRange | None, conditions: Conditions
    ) -> ObjectStream | None:
        """Return the object; None where it changed between two looks."""
        place = self.kept(ref)
        headers = self.reading_headers()
        sent = _header_of(byte_range) if byte_range is not None else None
        if byte_range is not None and (sent is None or conditions.if_range is not None):
            # Whether the range counts, and where it lies, is to be known first.
            found = self.find(ref)
            wanted = self.as_listed(conditions, found)
            check_read(wanted, found.info)
            if range_applies(wanted, found.info):
                byte_range.resolve(found.info.size)
                headers["If-Match"] = f'"{found.upstream_etag}"'
            else:
                byte_range, sent = None, None
        if sent is not None:
            headers["Range"] = sent
        try:
            answer = self.client.open(Request("GET", place.bucket, place.key, headers=headers))
        except S3Error as error:
            if error.code is Code.InvalidRange and byte_range is not None:
                byte_range.resolve(self.head_object(ref, conditions).size)
                return None
            if error.code is Code.PreconditionFailed:
                return None
            raise self.missing(ref, error) from None
        try:
            return self._stream(ref, opened(answer), byte_range, conditions)
        except S3Error as error:
            answer.close()
            if error.code is Code.InternalError and byte_range is not None:
                # Asked for the end of an object without a byte, Garage answers 206 with a range of its own.
                byte_range.resolve(self.head_object(ref, conditions).size)
            raise
        except BaseException:
            answer.close()
            raise

    def _stream(
        self, ref: ObjectRef, got: Opened, byte_range: ByteRange | None, conditions: Conditions
    ) -> ObjectStream:
        answer, start, length, size = got
        found = self._whole(ref, read_object(ref.key, answer.headers, size))
        info = found.info
        check_read(self.as_listed(conditions, found), info)
        skip = 0
        if byte_range is not None:
            wanted = byte_range.resolve(size)
            if answer.status == 200:
                skip, (start, length) = wanted[0], wanted
            elif wanted != (start, length):
                raise S3Error(Code.InternalError)
        chunks = RemoteChunks(answer, skip, length, verifier_of(found) if length == size else None)
        if length <= _SMALL and not skip:
            return ObjectStream(info, start, length, ReadyChunks(b"".join(chunks)))
        return ObjectStream(info, start, length, chunks)

    def get_object_parts(self, ref: ObjectRef, conditions: Conditions) -> tuple[ObjectInfo, list[ObjectPart]]:
        """See Backend."""
        found = self.find(ref)
        check_read(self.as_listed(conditions, found), found.info)
        return found.info, self.parts_of(ref.bucket, found)

    def parts_of(self, bucket: str, found: Found) -> list[ObjectPart]:
        """Return the parts of an object. Raises InternalError where their table is lost."""
        entry = found.entry
        if not entry.manifest:
            return [replace(part) for part in entry.parts]
        data = self.read_own(f"manifests/{bucket}/{entry.manifest}")
        if data is None:
            raise S3Error(Code.InternalError)
        return [ObjectPart(*row) for row in json.loads(data)["parts"]]


def _checksums_in(data: bytes) -> dict[str, str]:
    try:
        return {str(name): str(value) for name, value in json.loads(data)["checksums"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise S3Error(Code.InternalError) from None


def _header_of(byte_range: ByteRange) -> str | None:
    """Return the Range header; None for one that upstreams do not agree on."""
    if byte_range.first is None:
        return f"bytes=-{min(byte_range.last, _LARGEST)}" if byte_range.last else None
    if byte_range.first > _LARGEST:
        return None
    last = "" if byte_range.last is None else str(min(byte_range.last, _LARGEST))
    return f"bytes={byte_range.first}-{last}"
