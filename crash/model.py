"""What S3 answers, worked out from a dict of buckets: the oracle of the machine. Imports nothing of s3shim.

A method takes what a request says and returns what the answer must say, or raises Refused.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

STATUS = {
    "BadDigest": 400,
    "BucketAlreadyExists": 409,
    "BucketAlreadyOwnedByYou": 409,
    "BucketNotEmpty": 409,
    "AccessDenied": 403,
    "EntityTooSmall": 400,
    "InvalidPart": 400,
    "InvalidPartOrder": 400,
    "InvalidRange": 416,
    "InvalidRequest": 400,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "NotModified": 304,
    "PreconditionFailed": 412,
}
DEFAULT_TYPE = "binary/octet-stream"
CLOCK_SLACK = 120  # seconds that the service's time may be off the model's

# What no XML 1.0 document can hold: a listing with such a name is URL-encoded, asked for or not.
UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class Refused(Exception):
    """The answer is this error; ``code`` is S3's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code
        self.status = STATUS[code]


@dataclass(slots=True)
class Meta:
    """What a writer says of an object besides its bytes; ``headers`` by lower-case name."""

    headers: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Object:
    """An object; ``second`` is its Last-Modified once a reader has seen it."""

    data: bytes
    etag: str
    meta: Meta
    composite: bool = False
    written: float = field(default_factory=time.time)
    second: int | None = None

    def saw(self, second: int) -> None:
        """Check a Last-Modified (seconds since the epoch): near the write, and always the same."""
        if self.second is None:
            assert abs(second - self.written) < CLOCK_SLACK, (second, self.written)
            self.second = second
        assert second == self.second, f"Last-Modified {second}, before {self.second}"


@dataclass(slots=True)
class Upload:
    """A multipart upload under way; ``parts`` maps a number to (ETag, bytes)."""

    bucket: str
    key: str
    upload_id: str
    meta: Meta
    parts: dict[int, tuple[str, bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class Bucket:
    """``completed`` maps an upload id to (key, listed parts, ETag of the object)."""

    objects: dict[str, Object] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    completed: dict[str, tuple[str, list[tuple[int, str]], str]] = field(default_factory=dict)


@dataclass(slots=True)
class Listed:
    """One page: keys, common prefixes, and the last name where there is more."""

    keys: list[str]
    prefixes: list[str]
    following: str | None


Conditions = Mapping[str, str]


def md5_of(data: bytes) -> str:
    """Return the ETag of a body."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def composite_of(etags: Iterable[str]) -> str:
    """Return the ETag of an object made of parts."""
    found = list(etags)
    return f"{md5_of(b''.join(bytes.fromhex(etag) for etag in found))}-{len(found)}"


def check_write(conditions: Conditions, current: Object | None) -> None:
    """Refuse as S3 does a write with If-None-Match: * or If-Match."""
    if "if-none-match" in conditions and current is not None:
        raise Refused("PreconditionFailed")
    if "if-match" in conditions:
        if current is None:
            raise Refused("NoSuchKey")
        if conditions["if-match"] not in ("*", f'"{current.etag}"'):
            raise Refused("PreconditionFailed")


def check_read(conditions: Mapping[str, str | int], found: Object) -> None:
    """RFC 9110, 13.2.2; dates are seconds since the epoch."""
    quoted = f'"{found.etag}"'
    if "if-match" in conditions:
        if conditions["if-match"] not in ("*", quoted):
            raise Refused("PreconditionFailed")
    elif "if-unmodified-since" in conditions:
        assert found.second is not None
        if found.second > int(conditions["if-unmodified-since"]):
            raise Refused("PreconditionFailed")
    if "if-none-match" in conditions:
        if conditions["if-none-match"] in ("*", quoted):
            raise Refused("NotModified")
    elif "if-modified-since" in conditions:
        assert found.second is not None
        if found.second <= int(conditions["if-modified-since"]):
            raise Refused("NotModified")


def cut(data: bytes, wanted: str) -> tuple[int, int] | None:
    """Return (start, length) of a Range header's value, None where it is to be ignored; InvalidRange."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted)
    if match is None or wanted == "bytes=-":
        return None
    if not match[1]:
        length = min(int(match[2]), len(data))
        start = len(data) - length
    else:
        start = int(match[1])
        last = int(match[2]) if match[2] else len(data) - 1
        if match[2] and last < start:
            return None
        length = min(last, len(data) - 1) - start + 1
    if length <= 0:
        raise Refused("InvalidRange")
    return start, length


def in_order(names: Iterable[str]) -> list[str]:
    """Return names in the order of S3: by their bytes in UTF-8."""
    return sorted(names, key=str.encode)


def page(names: Iterable[str], prefix: str, delimiter: str, marker: str, limit: int) -> Listed:
    """Return one page of a listing; what is rolled up into ``marker`` itself has been listed."""
    listed: list[tuple[str, bool]] = []
    for name in in_order(names):
        if not name.startswith(prefix) or name.encode() <= marker.encode():
            continue
        end = name.find(delimiter, len(prefix)) if delimiter else -1
        group = name[: end + len(delimiter)] if end >= 0 else None
        if group is None:
            listed.append((name, False))
        elif group != marker and (group, True) not in listed:
            listed.append((group, True))
    shown = listed[:limit]
    return Listed(
        [name for name, rolled in shown if not rolled],
        [name for name, rolled in shown if rolled],
        shown[-1][0] if 0 < limit < len(listed) else None,
    )


class Model:
    """Buckets as a dict."""

    def __init__(self, min_part_size: int) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.min_part_size = min_part_size

    # -- buckets

    def bucket(self, name: str) -> Bucket:
        """Return a bucket or NoSuchBucket."""
        if name not in self.buckets:
            raise Refused("NoSuchBucket")
        return self.buckets[name]

    def create_bucket(self, name: str) -> None:
        """CreateBucket by the owner."""
        if name in self.buckets:
            raise Refused("BucketAlreadyOwnedByYou")
        self.buckets[name] = Bucket()

    def delete_bucket(self, name: str) -> None:
        """DeleteBucket: uploads under way are no objects and go with it."""
        if self.bucket(name).objects:
            raise Refused("BucketNotEmpty")
        del self.buckets[name]

    def list_objects(self, name: str, prefix: str, delimiter: str, marker: str, limit: int) -> Listed:
        """One page of ListObjects."""
        return page(self.bucket(name).objects, prefix, delimiter, marker, limit)

    # -- objects

    def find(self, bucket: str, key: str) -> Object:
        """Return an object, NoSuchBucket or NoSuchKey."""
        found = self.bucket(bucket).objects.get(key)
        if found is None:
            raise Refused("NoSuchKey")
        return found

    def put(self, bucket: str, key: str, data: bytes, meta: Meta, conditions: Conditions) -> Object:
        """PutObject."""
        return self._place(bucket, key, Object(data, md5_of(data), meta), conditions)

    def _place(self, bucket: str, key: str, made: Object, conditions: Conditions) -> Object:
        objects = self.bucket(bucket).objects
        check_write(conditions, objects.get(key))
        objects[key] = made
        return made

    def read(
        self, bucket: str, key: str, conditions: Mapping[str, str | int], wanted: str | None
    ) -> tuple[Object, tuple[int, int] | None]:
        """GetObject, HeadObject: the object and the (start, length) of a part of it."""
        found = self.find(bucket, key)
        check_read(conditions, found)
        return found, None if wanted is None else cut(found.data, wanted)

    def delete(self, bucket: str, key: str, conditions: Conditions) -> None:
        """DeleteObject."""
        objects = self.bucket(bucket).objects
        check_write(conditions, objects.get(key))
        objects.pop(key, None)

    def delete_many(self, bucket: str, wishes: list[tuple[str, str | None]]) -> list[str | None]:
        """DeleteObjects of (key, ETag that it must have): a code or None for each."""
        self.bucket(bucket)
        outcomes: list[str | None] = []
        for key, etag in wishes:
            try:
                self.delete(bucket, key, {} if etag is None else {"if-match": f'"{etag}"'})
                outcomes.append(None)
            except Refused as refused:
                outcomes.append(refused.code)
        return outcomes

    def copy(
        self,
        source: tuple[str, str],
        target: tuple[str, str],
        replaced: tuple[dict[str, str] | None, dict[str, str] | None],
        source_conditions: Conditions,
        conditions: Conditions,
    ) -> Object:
        """CopyObject; ``replaced`` are the headers and the tags given anew, None to copy them."""
        self.bucket(target[0])
        self.bucket(source[0])
        headers, tags = replaced
        if headers is None and tags is None and source == target:
            raise Refused("InvalidRequest")
        found = self.find(*source)
        self._check_source(source_conditions, found)
        meta = Meta(
            dict(found.meta.headers if headers is None else headers),
            dict(found.meta.tags if tags is None else tags),
        )
        made = replace(found, meta=meta, written=time.time(), second=None)
        return self._place(*target, made, conditions)

    @staticmethod
    def _check_source(conditions: Conditions, found: Object) -> None:
        try:
            check_read(conditions, found)
        except Refused:
            raise Refused("PreconditionFailed") from None

    def tag(self, bucket: str, key: str, tags: dict[str, str]) -> None:
        """PutObjectTagging, DeleteObjectTagging."""
        found = self.find(bucket, key)
        found.meta = Meta(found.meta.headers, tags)

    # -- multipart uploads

    def upload(self, upload: Upload) -> Upload:
        """Return the upload if it is still under way, NoSuchBucket or NoSuchUpload."""
        found = self.bucket(upload.bucket).uploads.get(upload.upload_id)
        if found is None:
            raise Refused("NoSuchUpload")
        return found

    def source_of_part(self, upload: Upload, source: tuple[str, str], wanted: str | None) -> Object:
        """UploadPartCopy: return the bytes as an object, whose ETag is "" where it is any."""
        self.bucket(upload.bucket)
        self.bucket(source[0])
        self.upload(upload)
        found = self.find(*source)
        data, etag = found.data, "" if found.composite else found.etag
        if wanted is not None:
            start, length = cut(data, wanted) or (0, 0)
            if int(wanted.rpartition("-")[2]) >= len(data):
                raise Refused("InvalidRange")
            if length != len(data):
                data, etag = data[start : start + length], ""
        return Object(data, etag, Meta())

    def complete(self, upload: Upload, listed: list[tuple[int, str]], conditions: Conditions) -> str:
        """CompleteMultipartUpload: return the ETag. The same request again is answered the same."""
        bucket = self.bucket(upload.bucket)
        if bucket.completed.get(upload.upload_id, ("", [], ""))[:2] == (upload.key, listed):
            return bucket.completed[upload.upload_id][2]
        found = self.upload(upload)
        numbers = [number for number, _ in listed]
        for at, (number, etag) in enumerate(listed):
            if at and number <= numbers[at - 1]:
                raise Refused("InvalidPartOrder")
            if number not in found.parts or found.parts[number][0] != etag:
                raise Refused("InvalidPart")
        if any(len(found.parts[number][1]) < self.min_part_size for number in numbers[:-1]):
            raise Refused("EntityTooSmall")
        data = b"".join(found.parts[number][1] for number in numbers)
        made = Object(data, composite_of(etag for _, etag in listed), found.meta, composite=True)
        self._place(upload.bucket, upload.key, made, conditions)
        del bucket.uploads[upload.upload_id]
        bucket.completed[upload.upload_id] = upload.key, listed, made.etag
        return made.etag

    def abort(self, upload: Upload) -> None:
        """AbortMultipartUpload."""
        del self.bucket(upload.bucket).uploads[self.upload(upload).upload_id]
