"""The upstream's operations on objects, one method each."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from s3shim.backends.upstream.bodies import READ, md5_header
from s3shim.backends.upstream.client import Request
from s3shim.backends.upstream.faults import error_of_failure
from s3shim.backends.upstream.markup import (
    completion,
    deletion,
    parse,
    read_etag,
    read_tags,
    read_undeleted,
    read_uploads,
    tagging,
    text_of,
)
from s3shim.backends.upstream.places import Place
from s3shim.backends.upstream.store import Store
from s3shim.backends.upstream.wire import Fields
from s3shim.errors import Code, S3Error

_log = logging.getLogger(__name__)

_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)

_OTHER_SHA256 = frozenset({"XAmzContentSHA256Mismatch", "BadDigest", "InvalidDigest"})

_COPY_STEP = 1024**3
"""Bytes of a part of a copy in parts: 5 TiB are 5,120 of them."""

BINARY = "application/octet-stream"


@dataclass(slots=True)
class Slot:
    """Where a part goes: an upload of the upstream, and the part's number."""

    place: Place
    upstream_id: str
    part_number: int

    def request(self) -> Request:
        """Return the request that puts the part there, without its body."""
        query = {"partNumber": str(self.part_number), "uploadId": self.upstream_id}
        return Request("PUT", self.place.bucket, self.place.key, query)


class Remote(Store):
    """The part of UpstreamBackend that speaks S3."""

    def reading_headers(self) -> dict[str, str]:
        """Return the headers that make the upstream tell all it knows of an object."""
        return {"x-amz-checksum-mode": "ENABLED"} if self.dialect.checksums else {}

    def head_upstream(self, place: Place) -> tuple[Fields, int]:
        """Return the headers and the size of an upstream's object."""
        reply = self.client.send(Request("HEAD", place.bucket, place.key, headers=self.reading_headers()))
        size = reply.headers.get("Content-Length")
        if not size.isdigit():
            raise S3Error(Code.InternalError)
        return reply.headers, int(size)

    def put_upstream(self, place: Place, headers: dict[str, str], data: bytes, md5: str) -> None:
        """Put an object in one request, which is repeated where it fails. Raises as ``verify``."""
        headers = {**headers, **md5_header(md5)}
        reply = self.client.send(Request("PUT", place.bucket, place.key, headers=headers, body=data))
        self.verify(place, reply.headers.get("ETag"), md5)

    def stream_upstream(self, place: Place, chunks: Iterable[bytes], length: int | None) -> str:
        """Send what need not be told from its beginning to a place of our own; return its ETag."""
        self.ensure_own_bucket()
        request = Request("PUT", place.bucket, place.key, headers={"Content-Type": BINARY})
        request.chunks, request.length = chunks, length
        return self.client.send(request).headers.get("ETag")

    def stream_object(
        self, place: Place, headers: dict[str, str], chunks: Iterable[bytes], length: int, sha256: str | None
    ) -> str:
        """Put an object that need not be had twice; return its ETag.

        Raises XAmzContentSHA256Mismatch where the upstream finds that ``sha256`` is another's.
        """
        request = Request("PUT", place.bucket, place.key, headers=headers, hashed=sha256 or "")
        request.chunks, request.length = chunks, length
        try:
            return self.client.send(request).headers.get("ETag").strip('"')
        except S3Error as error:
            if sha256 and error.details.get("Upstream") in _OTHER_SHA256:
                raise S3Error(Code.XAmzContentSHA256Mismatch, ClientComputedContentSHA256=sha256) from None
            raise

    @staticmethod
    def is_md5(etag: str) -> bool:
        """Whether an ETag has the form of an MD5 of the whole."""
        return _MD5.fullmatch(etag) is not None

    def same_bytes(self, etag: str, md5: str) -> None:
        """Raise InternalError where the upstream's ETag shows that it has other bytes than were sent."""
        found = etag.strip('"')
        if self.is_md5(found) and found != md5:
            raise S3Error(Code.InternalError)

    def verify(self, place: Place, etag: str, md5: str) -> None:
        """Raise as ``same_bytes``. What the upstream has is read back then, and removed if it is other bytes.

        The ETag alone is no proof of them: of what they encrypt with keys of their own, some upstreams tell
        another one of the same form.
        """
        try:
            self.same_bytes(etag, md5)
        except S3Error:
            kept, now = self._md5_of(place)
            if kept == md5:
                _log.error("the upstream has the right bytes under an ETag that is not their MD5")
            elif now == etag.strip('"'):
                # Under another ETag it would be what another writer has put there since.
                self.delete_upstream(place)
            raise

    def _md5_of(self, place: Place) -> tuple[str, str]:
        """Return the MD5 of the bytes of an upstream's object, and its ETag."""
        answer = self.client.open(Request("GET", place.bucket, place.key))
        try:
            digest = hashlib.md5(usedforsecurity=False)
            while data := answer.read(READ):
                digest.update(data)
        except OSError as error:
            raise error_of_failure(error) from error
        finally:
            answer.close()
        return digest.hexdigest(), answer.headers.get("ETag").strip('"')

    def copy_upstream(
        self, source: Place, etag: str, size: int, target: Place, headers: dict[str, str]
    ) -> str:
        """Copy an object of ``size`` bytes that still has this ETag, with new metadata; return its ETag."""
        if size > self.dialect.copy_limit:
            return self._copy_in_parts(source, etag, size, target, headers)
        directives = {"x-amz-metadata-directive": "REPLACE"}
        if self.dialect.tagging:
            directives["x-amz-tagging-directive"] = "REPLACE"
        request = Request("PUT", target.bucket, target.key)
        request.headers = {**headers, **_source_headers(source, etag), **directives}
        return read_etag(self.client.send(request).data, "CopyObjectResult")

    def _copy_in_parts(
        self, source: Place, etag: str, size: int, target: Place, headers: dict[str, str]
    ) -> str:
        upstream_id = self.begin_upstream(target, headers)
        try:
            step = min(_COPY_STEP, self.dialect.copy_limit)
            parts = []
            for number, start in enumerate(range(0, size, step), 1):
                extent = start, min(step, size - start)
                slot = Slot(target, upstream_id, number)
                parts.append((number, self.copy_part_upstream(slot, source, etag, extent)))
            return self.complete_upstream(target, upstream_id, size, parts)
        except BaseException:
            self.abort_upstream(target, upstream_id)
            raise

    def delete_upstream(self, place: Place, *, tidying: bool = False) -> None:
        """Remove an object; nothing where there is none."""
        try:
            self.client.send(Request("DELETE", place.bucket, place.key, tidying=tidying))
        except S3Error as error:
            if error.code is not Code.NoSuchKey:
                raise

    def delete_many_upstream(self, bucket: str, keys: list[str]) -> set[str]:
        """Remove up to 1,000 objects whose keys XML can hold; return the keys that are still there."""
        request = Request("POST", bucket, query={"delete": ""}, body=deletion(keys))
        request.headers = md5_header(None, request.body)
        return read_undeleted(self.client.send(request).data)

    def drop(self, place: Place) -> None:
        """Remove an object of our own that is of no use any more; one that stays is swept later."""
        with suppress(S3Error):
            self.delete_upstream(place, tidying=True)

    def tags_upstream(self, place: Place) -> dict[str, str]:
        """Return the tags that the upstream keeps of an object."""
        reply = self.client.send(Request("GET", place.bucket, place.key, query={"tagging": ""}))
        return read_tags(reply.data)

    def tag_upstream(self, place: Place, tags: dict[str, str]) -> None:
        """Replace the tags that the upstream keeps of an object."""
        request = Request("DELETE", place.bucket, place.key, {"tagging": ""})
        if tags:
            request.method, request.body = "PUT", tagging(tags)
            request.headers = md5_header(None, request.body)
        self.client.send(request)

    # -- multipart ----------------------------------------------------------------------------

    def begin_upstream(self, place: Place, headers: dict[str, str] | None = None) -> str:
        """Begin an upload, of an object with these headers; return its id."""
        self.ensure_own_bucket()
        reply = self.client.send(Request("POST", place.bucket, place.key, {"uploads": ""}, headers or {}))
        return text_of(parse(reply.data, "InitiateMultipartUploadResult"), "UploadId")

    def send_part(self, slot: Slot, data: bytes | Iterable[bytes], length: int | None = None) -> str:
        """Send a part, as bytes or as chunks of ``length`` bytes together; return its ETag."""
        request = slot.request()
        if isinstance(data, bytes):
            request.body, request.headers = data, md5_header(None, data)
        else:
            request.chunks, request.length = data, length
        return self.client.send(request).headers.get("ETag").strip('"')

    def copy_part_upstream(self, slot: Slot, source: Place, etag: str, extent: tuple[int, int] | None) -> str:
        """Copy an object that still has this ETag, or (start, length) of it, as a part; return its ETag."""
        request = slot.request()
        request.headers = _source_headers(source, etag)
        if extent is not None:
            start, length = extent
            request.headers["x-amz-copy-source-range"] = f"bytes={start}-{start + length - 1}"
        return read_etag(self.client.send(request).data, "CopyPartResult")

    def complete_upstream(
        self, place: Place, upstream_id: str, size: int, parts: Iterable[tuple[int, str]]
    ) -> str:
        """Complete an upload; return the ETag of the object, which has ``size`` bytes."""
        request = Request("POST", place.bucket, place.key, {"uploadId": upstream_id}, body=completion(parts))
        try:
            return read_etag(self.client.send(request).data, "CompleteMultipartUploadResult")
        except S3Error as error:
            if error.code is not Code.NoSuchUpload:
                raise
        # An earlier try came so far and no farther, or its answer was lost.
        headers, found = self.head_upstream(place)
        if found != size:
            raise S3Error(Code.InternalError)
        return headers.get("ETag").strip('"')

    def uploads_upstream(self, place: Place) -> Iterator[tuple[Place, str, int]]:
        """Yield place, id and time (ms) of the upstream's uploads to keys that begin with the place's."""
        query = {"uploads": "", "prefix": place.key}
        try:
            data = self.client.send(Request("GET", place.bucket, query=query)).data
        except S3Error as error:
            if error.code is Code.NoSuchBucket:
                return
            raise
        for key, upstream_id, initiated in read_uploads(data):
            yield Place(place.bucket, key), upstream_id, initiated

    def abort_upstream(self, place: Place, upstream_id: str) -> None:
        """Free the parts of an upload; those that stay are swept later."""
        request = Request("DELETE", place.bucket, place.key, {"uploadId": upstream_id}, tidying=True)
        with suppress(S3Error):
            self.client.send(request)


def _source_headers(source: Place, etag: str) -> dict[str, str]:
    return {
        "x-amz-copy-source": quote(f"/{source.bucket}/{source.key}"),
        "x-amz-copy-source-if-match": f'"{etag}"',
    }
