"""Parts on their way up, and what becomes of them.

A completed upload is an object at a place of our own, which is then copied to its key with its record:
only then are its ETag, its checksums and its table of parts known. It also dates the object by its
completion in an upstream that dates it by the beginning of the upload, as Garage does.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict
from urllib.parse import quote

from s3shim.backends.upstream.client import Request
from s3shim.backends.upstream.entries import MAX_INLINE, Entry, is_md5
from s3shim.backends.upstream.locks import BUCKET, KEY, UPLOAD, Lock
from s3shim.backends.upstream.markup import completion as completion_document
from s3shim.backends.upstream.markup import read_etag
from s3shim.backends.upstream.store import now_ms
from s3shim.backends.upstream.uploads import Part, Upload, Uploads, is_upload_id, no_such_upload
from s3shim.backends.upstream.writing import Counted, md5_of, read_ahead
from s3shim.conditions import Conditions, check_copy
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.model import Body, ObjectInfo, ObjectMeta, ObjectPart, ObjectRef, PartInfo, UploadRef
from s3shim.multipart import Completion, Whole, assemble
from s3shim.ranges import ByteRange

_REPLAY_MS = 24 * 3600 * 1000


class Completing(Uploads):
    """The part of UpstreamBackend that uploads parts and makes objects of them."""

    def upload_part(self, upload: UploadRef, part_number: int, body: Body) -> PartInfo:
        """See Backend."""
        self.head_multipart_upload(upload)
        data = read_ahead(body, self.settings.block_size)
        if not isinstance(data, bytes):
            return self._stream_part(upload, part_number, data, body)
        md5 = body.digests.md5
        with self.holding(upload, part=part_number) as found:
            etag = md5
            # An upstream may refuse an empty part; there is nothing to send of one.
            if data:
                headers = {"Content-MD5": b64encode(bytes.fromhex(md5)).decode()}
                reply = self.client.send(self._part_request(found, part_number, headers, data))
                etag = _etag_of(reply.headers.get("ETag", ""), md5)
            info = PartInfo(part_number, len(data), md5, now_ms(), body.digests.checksums)
            self.keep_part(upload, Part(info, etag))
        return info

    def _stream_part(
        self, upload: UploadRef, part_number: int, chunks: Iterator[bytes], body: Body
    ) -> PartInfo:
        """Send a part that does not fit into memory; its last bytes only once all of it was verified."""
        began = now_ms()
        found = self.upload(upload)
        counted = Counted(chunks, body)
        request = self._part_request(found, part_number, {}, b"")
        with ExitStack() as held:

            def verified() -> None:
                held.enter_context(self.holding(upload, part=part_number))
                if self.dialect.dated_by_begin:
                    self.refuse_late(upload, part_number, began)

            request.chunks, request.length = hold_back(counted, verified), body.length
            reply = self.client.send(request)
            etag = _etag_of(reply.headers.get("ETag", ""), body.digests.md5)
            info = PartInfo(part_number, counted.size, body.digests.md5, now_ms(), body.digests.checksums)
            self.keep_part(upload, Part(info, etag))
        return info

    def _part_request(self, found: Upload, part_number: int, headers: dict[str, str], data: bytes) -> Request:
        place = self.staged(found.info.upload_id)
        query = {"partNumber": str(part_number), "uploadId": found.upstream_id}
        return Request("PUT", place.bucket, place.key, query, headers, data)

    def upload_part_copy(
        self, upload: UploadRef, part_number: int, copy: Copy, byte_range: ByteRange | None
    ) -> PartInfo:
        """See Backend. The bytes do not leave the upstream."""
        seen = self.bucket(copy.source.bucket)
        with (
            self.holding(upload, part=part_number) as found,
            self.locks.hold(
                Lock(BUCKET, copy.source.bucket, exclusive=False),
                Lock(KEY, copy.source.bucket, copy.source.key, exclusive=False),
            ),
        ):
            self.still(seen)
            source = self.find(copy.source)
            check_copy(copy.conditions, source.info)
            start, length = 0, source.info.size
            if byte_range is not None:
                start, length = byte_range.resolve_whole(length)
            etag = source.info.etag
            if length:
                place = self.at(copy.source)
                headers = {
                    "x-amz-copy-source": quote(f"/{place.bucket}/{place.key}"),
                    "x-amz-copy-source-if-match": f'"{source.upstream_etag}"',
                }
                if byte_range is not None:
                    headers["x-amz-copy-source-range"] = f"bytes={start}-{start + length - 1}"
                reply = self.client.send(self._part_request(found, part_number, headers, b""))
                etag = read_etag(reply.data, "CopyPartResult")
            told = etag if is_md5(etag) else md5_of(f"{etag} {start} {length}".encode())
            info = PartInfo(part_number, length, told, now_ms(), {})
            self.keep_part(upload, Part(info, etag))
        return info

    def complete_multipart_upload(
        self, upload: UploadRef, completion: Completion, conditions: Conditions
    ) -> ObjectInfo:
        """See Backend."""
        seen = self.bucket(upload.bucket)
        with self.locks.hold(Lock(UPLOAD, upload.bucket, upload.upload_id)):
            done = self._completed(upload)
            if done is not None:
                if done[0] != completion.fingerprint:
                    raise no_such_upload(upload)
                return done[1]
            found = self.upload(upload)
            parts = self.parts(upload)
            stored = {number: part.info for number, part in parts.items()}
            whole = assemble(found.info, stored, completion)
            sent = [
                (part, parts[part].upstream_etag) for part in (p.part_number for p in whole.parts if p.size)
            ]
            with self.committing(seen, upload.key):
                self.check_conditions(ObjectRef(upload.bucket, upload.key), conditions)
                info = self._make(upload, found, whole, sent)
                self._keep_completed(upload, completion, info)
            self.forget_upload(upload)
            self.drop_staged(upload.upload_id, None if sent else found.upstream_id)
        return info

    def _make(
        self, upload: UploadRef, found: Upload, whole: Whole, sent: list[tuple[int, str]]
    ) -> ObjectInfo:
        """Make the object of the parts; its lock is held."""
        ref = ObjectRef(upload.bucket, upload.key)
        # Some upstreams give a copy an ETag of its own.
        entry = Entry(0, whole.checksums, whole.checksum_type, len(whole.parts), whole.etag)
        rows: list[list[object]] = [[part.part_number, part.size, part.checksums] for part in whole.parts]
        if len(json.dumps(rows)) <= MAX_INLINE:
            entry.parts = [ObjectPart(part.part_number, part.size, part.checksums) for part in whole.parts]
        else:
            entry.manifest = upload.upload_id
            self.keep_manifest(ref, entry.manifest, rows)
        meta = found.info.meta
        if sent:
            etag = self._complete_upstream(upload.upload_id, found.upstream_id, whole.size, sent)
            self.place_copy(self.staged(upload.upload_id), ref, meta, entry, etag)
        else:
            self.put_bytes(self.at(ref), b"", md5_of(b""), meta, entry)
        return ObjectInfo(
            upload.key,
            whole.size,
            whole.etag,
            entry.modified,
            meta,
            whole.checksums,
            checksum_type=whole.checksum_type,
            parts_count=len(whole.parts),
        )

    def _complete_upstream(
        self, upload_id: str, upstream_id: str, size: int, sent: list[tuple[int, str]]
    ) -> str:
        """Complete the upstream's upload; return the ETag of what it made."""
        place = self.staged(upload_id)
        body = completion_document(sent)
        request = Request("POST", place.bucket, place.key, {"uploadId": upstream_id}, body=body)
        try:
            return read_etag(self.client.send(request).data, "CompleteMultipartUploadResult")
        except S3Error as error:
            if error.code is not Code.NoSuchUpload:
                raise
            # An earlier try came so far and no farther, or its answer was lost.
            reply = self.client.send(Request("HEAD", place.bucket, place.key))
            if reply.headers.get("Content-Length") != str(size):
                raise S3Error(Code.InternalError) from None
            return str(reply.headers.get("ETag", "")).strip('"')

    def drop_staged(self, upload_id: str, upstream_id: str | None) -> None:
        """Free what is staged of an upload: the object, or the parts of one that made none."""
        if upstream_id is not None:
            self.abort_upstream(upload_id, upstream_id)
            return
        with suppress(S3Error):
            self.delete_own(f"staged/{upload_id}")

    # -- the same completion again ------------------------------------------------------------

    def _keep_completed(self, upload: UploadRef, completion: Completion, info: ObjectInfo) -> None:
        record = {"fingerprint": completion.fingerprint, "info": asdict(info)}
        self.write_own(_completed_name(upload), json.dumps(record).encode())

    def _completed(self, upload: UploadRef) -> tuple[str, ObjectInfo] | None:
        """Return the fingerprint and the answer of a completion of the last 24 hours."""
        if not is_upload_id(upload.upload_id):
            raise no_such_upload(upload)
        data = self.read_own(_completed_name(upload))
        if data is None:
            return None
        try:
            record = json.loads(data)
            fields = record["info"]
            info = ObjectInfo(meta=ObjectMeta(**fields.pop("meta")), **fields)
            fingerprint = str(record["fingerprint"])
        except (ValueError, KeyError, TypeError):
            raise S3Error(Code.InternalError) from None
        if info.key != upload.key or now_ms() - info.last_modified >= _REPLAY_MS:
            raise no_such_upload(upload)
        return fingerprint, info


def hold_back(chunks: Iterable[bytes], verified: Callable[[], None]) -> Iterator[bytes]:
    """Yield the chunks; the last of them after they have ended well and ``verified`` was called."""
    held: bytes | None = None
    for chunk in chunks:
        if held is not None:
            yield held
        held = chunk
    verified()
    if held is not None:
        yield held


def _etag_of(header: str, md5: str) -> str:
    """Return the upstream's ETag of a part. Raises InternalError where it shows that it has other bytes."""
    etag = header.strip('"')
    if is_md5(etag) and etag != md5:
        raise S3Error(Code.InternalError)
    return etag


def _completed_name(upload: UploadRef) -> str:
    return f"completed/{upload.bucket}/{upload.upload_id}"
