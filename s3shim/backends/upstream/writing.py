"""Writes: nothing is to be seen under its key before all of it has been verified.

A body that fits into memory is read to its end first and goes up in one request that can be repeated. A
larger one goes up to a place of our own and is copied to its key within the upstream once it was
verified: that needs no trust in what an upstream does with a body that breaks off, and the record
(checksums, time) is known by then.
"""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from urllib.parse import quote, urlencode

from s3shim.backends.upstream.client import Request
from s3shim.backends.upstream.entries import Entry, headers_of, is_md5
from s3shim.backends.upstream.markup import read_etag, tagging
from s3shim.backends.upstream.places import Place
from s3shim.backends.upstream.reading import Reading
from s3shim.backends.upstream.store import now_ms
from s3shim.conditions import NO_CONDITIONS, Conditions, check_write
from s3shim.errors import Code, S3Error
from s3shim.model import NULL_VERSION, Body, Deleted, ObjectInfo, ObjectMeta, ObjectRef

_READ = 256 * 1024
_PLAIN_TAG = re.compile(r"[A-Za-z0-9 +=._:/@-]*", re.ASCII)
_COPIES = 6
"""How often a copy is tried that has no effect because its time is not after that of what it replaces."""


class Writing(Reading):
    """The part of UpstreamBackend that writes objects."""

    def put_object(self, ref: ObjectRef, body: Body, meta: ObjectMeta, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        seen = self.bucket(ref.bucket)
        place = self.at(ref)
        data = read_ahead(body, self.settings.block_size)
        if isinstance(data, bytes):
            entry = Entry(0, body.digests.checksums)
            with self.committing(seen, ref.key):
                self.check_conditions(ref, conditions)
                self.put_bytes(place, data, body.digests.md5, meta, entry)
            return _info(ref.key, len(data), body.digests.md5, meta, entry)
        staged = self.places.own(f"staged/{new_name()}")
        try:
            size = self._stage(staged, data, body)
            entry = Entry(0, body.digests.checksums)
            with self.committing(seen, ref.key):
                self.check_conditions(ref, conditions)
                self.place_copy(staged, ref, meta, entry, body.digests.md5)
        finally:
            with suppress(S3Error):
                self.client.send(Request("DELETE", staged.bucket, staged.key))
        return _info(ref.key, size, body.digests.md5, meta, entry)

    def put_bytes(self, place: Place, data: bytes, md5: str, meta: ObjectMeta, entry: Entry) -> None:
        """Make ``data`` the object, in one request; sets the entry's time. Its lock is held."""
        entry.modified = now_ms()
        headers = self.headers(meta, entry)
        headers["Content-MD5"] = b64encode(bytes.fromhex(md5)).decode()
        reply = self.client.send(Request("PUT", place.bucket, place.key, headers=headers, body=data))
        self._verify(place, reply.headers.get("ETag", "").strip('"'), md5)

    def _stage(self, staged: Place, chunks: Iterator[bytes], body: Body) -> int:
        """Send the body to a place of our own; return its size."""
        counted = Counted(chunks, body)
        headers = {"Content-Type": "application/octet-stream"}
        request = Request("PUT", staged.bucket, staged.key, headers=headers)
        request.chunks, request.length = counted, body.length
        reply = self.client.send(request)
        self._verify(staged, reply.headers.get("ETag", "").strip('"'), body.digests.md5)
        return counted.size

    def _verify(self, place: Place, etag: str, md5: str) -> None:
        """Raise InternalError where the upstream has other bytes than were sent; they are removed then."""
        if is_md5(etag) and etag != md5:
            self.client.send(Request("DELETE", place.bucket, place.key))
            raise S3Error(Code.InternalError)

    def check_conditions(self, ref: ObjectRef, conditions: Conditions) -> None:
        """Raise what check_write raises for the object as it is; its lock is held."""
        if conditions is not NO_CONDITIONS:
            check_write(conditions, self.current_info(ref, conditions))

    def headers(self, meta: ObjectMeta, entry: Entry) -> dict[str, str]:
        """Return the headers that store an object's record in this upstream."""
        native = self._tags_upstream(meta.tags)
        headers = headers_of(meta, entry, keep_tags=not native)
        if native and meta.tags:
            headers["x-amz-tagging"] = urlencode(meta.tags, quote_via=quote)
        return headers

    def _tags_upstream(self, tags: dict[str, str]) -> bool:
        """Whether the upstream keeps these tags; others are kept in the object's entry."""
        return self.dialect.tagging and all(
            _PLAIN_TAG.fullmatch(text) for text in (*tags.keys(), *tags.values())
        )

    def place_copy(self, source: Place, target: ObjectRef, meta: ObjectMeta, entry: Entry, etag: str) -> None:
        """Copy within the upstream, with another record; sets the entry's time. The target's lock is held."""
        place = self.at(target)
        for _ in range(_COPIES):
            entry.modified = now_ms() if entry.modified == 0 else entry.modified
            entry.mark = os.urandom(6).hex() if self.dialect.copy_may_lose else ""
            headers = self.headers(meta, entry)
            headers["x-amz-copy-source"] = quote(f"/{source.bucket}/{source.key}")
            headers["x-amz-copy-source-if-match"] = f'"{etag}"'
            headers["x-amz-metadata-directive"] = "REPLACE"
            if self.dialect.tagging:
                headers["x-amz-tagging-directive"] = "REPLACE"
            reply = self.client.send(Request("PUT", place.bucket, place.key, headers=headers))
            found = read_etag(reply.data, "CopyObjectResult")
            if is_md5(etag) and is_md5(found) and found != etag:
                raise S3Error(Code.InternalError)
            if not self.dialect.copy_may_lose or self.find(target).entry.mark == entry.mark:
                return
        raise S3Error(Code.ServiceUnavailable)

    def delete_object(self, ref: ObjectRef, conditions: Conditions) -> Deleted:
        """See Backend."""
        seen = self.bucket(ref.bucket)
        if ref.version_id not in (None, NULL_VERSION):
            check_write(conditions, self.current_info(ref, conditions))
            return Deleted()
        place = self.at(ref)
        with self.committing(seen, ref.key):
            self.check_conditions(ref, conditions)
            try:
                self.client.send(Request("DELETE", place.bucket, place.key))
            except S3Error as error:
                if error.code is not Code.NoSuchKey:
                    raise self.missing(ref, error) from None
        return Deleted()

    def put_object_tags(self, ref: ObjectRef, tags: dict[str, str]) -> None:
        """See Backend. Where the upstream keeps no tags, the object is copied onto itself with them."""
        seen = self.bucket(ref.bucket)
        place = self.at(ref)
        with self.committing(seen, ref.key):
            found = self.find(ref)
            if self._tags_upstream(tags) and not found.tags_kept:
                request = Request("DELETE", place.bucket, place.key, {"tagging": ""})
                if tags:
                    request.method, request.body = "PUT", tagging(tags)
                    request.headers = content_md5(request.body)
                self.client.send(request)
                return
            self.place_copy(place, ref, replace(found.info.meta, tags=tags), found.entry, found.upstream_etag)


class Counted:
    """The chunks of a body, held against its declared length."""

    def __init__(self, chunks: Iterator[bytes], body: Body) -> None:
        self._chunks = chunks
        self._body = body
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        length = self._body.length
        for chunk in self._chunks:
            self.size += len(chunk)
            if length is not None and self.size > length:
                raise S3Error(Code.IncompleteBody)
            yield chunk
        if length is not None and self.size != length:
            raise S3Error(Code.IncompleteBody)


def read_ahead(body: Body, limit: int) -> bytes | Iterator[bytes]:
    """Return the whole body where it has at most ``limit`` bytes, else chunks that are still to be read."""
    if body.length is not None and body.length > limit:
        return iter(lambda: body.read(_READ), b"")
    chunks: list[bytes] = []
    size = 0
    while chunk := body.read(max(1, min(_READ, limit - size + 1))):
        chunks.append(chunk)
        size += len(chunk)
        if size > limit:
            if body.length is not None:
                raise S3Error(Code.IncompleteBody)
            return _joined(chunks, body)
    if body.length is not None and body.length != size:
        raise S3Error(Code.IncompleteBody)
    return b"".join(chunks)


def _joined(chunks: list[bytes], body: Body) -> Iterator[bytes]:
    yield from chunks
    chunks.clear()
    yield from iter(lambda: body.read(_READ), b"")


def new_name() -> str:
    """Return a name that cannot be guessed and sorts by its time."""
    return f"{now_ms():012x}{os.urandom(16).hex()}"


def md5_of(data: bytes) -> str:
    """Return the MD5 of ``data`` in hex."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def content_md5(body: bytes) -> dict[str, str]:
    """Return the Content-MD5 header of a document."""
    return {"Content-MD5": b64encode(bytes.fromhex(md5_of(body))).decode()}


def _info(key: str, size: int, etag: str, meta: ObjectMeta, entry: Entry) -> ObjectInfo:
    return ObjectInfo(key, size, etag, entry.modified, meta, entry.checksums)
