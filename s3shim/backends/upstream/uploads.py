"""Multipart uploads under way.

The parts go up as those of an upload of the upstream, to a place of our own. What the upstream does not
keep (who began it, metadata, checksums and times of parts) lies beside it: the record of an upload in
an object, the record of a part in the name of an empty one, so that a listing of the names gives all of them.
"""

from __future__ import annotations

import json
import os
import re
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from s3shim.backends.upstream.copying import Copying
from s3shim.backends.upstream.locks import BUCKET, UPLOAD, Lock
from s3shim.backends.upstream.places import Place
from s3shim.backends.upstream.remote import Slot
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectMeta, ObjectRef, Page, PartInfo, UploadInfo, UploadQuery, UploadRef
from s3shim.paging import list_uploads_page, upload_position

_ID = re.compile(r"[0-9a-f]{48}", re.ASCII)
_NAMED = 180
"""Bytes of a key that lies in the name of an upload's record; a longer one is only in the record."""
_UNNAMED = "-"
_SEGMENT = 240
"""Characters of a name between two "/": where objects are files, 255 are the most."""


@dataclass(slots=True)
class Upload:
    """An upload under way: its record, and the id that the upstream knows it by."""

    info: UploadInfo
    upstream_id: str


@dataclass(slots=True)
class Part:
    """A part: its record, and the ETag that the upstream knows it by; empty for one that was not sent on."""

    info: PartInfo
    upstream_etag: str


class Uploads(Copying):
    """The part of UpstreamBackend that keeps the records of uploads."""

    def create_multipart_upload(self, bucket: str, upload: UploadInfo) -> UploadInfo:
        """See Backend."""
        seen = self.bucket(bucket)
        self.at(ObjectRef(bucket, upload.key))
        upload_id = f"{time.time_ns():016x}{os.urandom(16).hex()}"
        info = replace(upload, upload_id=upload_id, initiated=self.now())
        place = self.staged(upload_id)
        upstream_id = self.begin_upstream(place)
        record = json.dumps({**asdict(info), "upstream_id": upstream_id}).encode()
        with self.locks.hold(Lock(BUCKET, bucket, exclusive=False)):
            try:
                self.still(seen)
                self.write_own(_record_name(UploadRef(bucket, info.key, upload_id)), record)
            except BaseException:
                self.abort_upstream(place, upstream_id)
                raise
        return info

    def staged(self, upload_id: str) -> Place:
        """Return where the upload's parts go."""
        return self.places.own(f"staged/{upload_id}")

    def slot(self, upload: Upload, part_number: int) -> Slot:
        """Return where a part goes."""
        return Slot(self.staged(upload.info.upload_id), upload.upstream_id, part_number)

    def upload(self, ref: UploadRef) -> Upload:
        """Return an upload under way. Raises NoSuchBucket, NoSuchUpload."""
        self.bucket(ref.bucket)
        if not is_upload_id(ref.upload_id):
            raise no_such_upload(ref)
        data = self.read_own(_record_name(ref))
        if data is None:
            raise no_such_upload(ref)
        found = read_upload(data)
        if found.info.key != ref.key:
            raise no_such_upload(ref)
        return found

    def head_multipart_upload(self, upload: UploadRef) -> UploadInfo:
        """See Backend."""
        return self.upload(upload).info

    @contextmanager
    def holding(self, ref: UploadRef, *, part: int = 0) -> Iterator[Upload]:
        """Hold an upload for a change of it, or of one part; give it as it is. Raises NoSuchUpload."""
        locks = [Lock(UPLOAD, ref.bucket, ref.upload_id, exclusive=not part)]
        if part:
            locks.append(Lock(UPLOAD, ref.bucket, ref.upload_id, str(part)))
        with self.locks.hold(*locks):
            yield self.upload(ref)

    # -- records of parts ---------------------------------------------------------------------

    def parts(self, ref: UploadRef) -> dict[int, Part]:
        """Return the parts of an upload by number; of several of a number the last."""
        found: dict[int, Part] = {}
        for name, _ in self.names_own(f"parts/{ref.bucket}/{ref.upload_id}/"):
            part = _read_part(name)
            known = found.get(part.info.part_number)
            if known is None or known.info.last_modified <= part.info.last_modified:
                found[part.info.part_number] = part
        return found

    def keep_part(self, ref: UploadRef, part: Part) -> None:
        """Keep a part's record, dated now, in the place of the one before; the part's lock is held."""
        part.info.last_modified = self.now()
        stem = f"parts/{ref.bucket}/{ref.upload_id}/"
        number = f"{part.info.part_number:05d}-"
        before = [number + name for name, _ in self.names_own(stem + number)]
        for name in before:
            part.info.last_modified = max(part.info.last_modified, _read_part(name).info.last_modified + 1)
        name = _part_name(part)
        self.write_own(stem + name, b"")
        for old in before:
            self.delete_own(stem + old)

    def refuse_late(self, ref: UploadRef, part_number: int, began: int) -> None:
        """Raise SlowDown where the part was uploaded again since ``began``: the upstream would keep that."""
        stem = f"parts/{ref.bucket}/{ref.upload_id}/"
        number = f"{part_number:05d}-"
        for name, _ in self.names_own(stem + number):
            if _read_part(number + name).info.last_modified >= began:
                raise S3Error(Code.SlowDown)

    def forget_upload(self, ref: UploadRef) -> None:
        """Remove the records of an upload: that of the upload first, for it is what makes it one."""
        self.delete_own(_record_name(ref))
        stem = f"parts/{ref.bucket}/{ref.upload_id}/"
        for name in [name for name, _ in self.names_own(stem)]:
            self.delete_own(stem + name)

    def abort_multipart_upload(self, upload: UploadRef) -> None:
        """See Backend."""
        with self.holding(upload) as found:
            self.forget_upload(upload)
            self.abort_upstream(self.staged(upload.upload_id), found.upstream_id)

    def forget(self, kind: str, bucket: str, name: str) -> None:
        """See Buckets: an upload of a bucket that is gone is aborted."""
        if kind == "uploads":
            data = self.read_own(f"{kind}/{bucket}/{name}")
            if data is not None:
                found = read_upload(data)
                self.abort_upstream(self.staged(found.info.upload_id), found.upstream_id)
        super().forget(kind, bucket, name)

    # -- listings -----------------------------------------------------------------------------

    def list_parts(self, upload: UploadRef, marker: int, max_parts: int) -> tuple[UploadInfo, list[PartInfo]]:
        """See Backend."""
        info = self.upload(upload).info
        found = self.parts(upload)
        numbers = sorted(number for number in found if number > marker)
        return info, [found[number].info for number in numbers[: max(0, max_parts)]]

    def list_multipart_uploads(self, bucket: str, query: UploadQuery) -> Page[UploadInfo]:
        """See Backend. The names of all uploads of the bucket are looked at, their records for the page."""
        self.bucket(bucket)
        stem = f"uploads/{bucket}/"
        known: dict[str, str] = {}
        for name, _ in self.names_own(stem):
            upload_id, _, encoded = name.partition("/")
            key = self._key_of(stem + name) if encoded in ("", _UNNAMED) else _decode(encoded)
            if key is not None:
                known[upload_position(key, upload_id)] = name
        positions = sorted(known)

        def seek(start: str) -> Iterator[tuple[str, Any]]:
            for position in positions:
                if position >= start:
                    yield position, lambda at: known[at]

        page = list_uploads_page(seek, query)
        infos = [self.upload_record(stem + name) for name in page.items]
        return Page([info for info in infos if info], page.common_prefixes, page.next_marker)

    def upload_record(self, name: str) -> UploadInfo | None:
        """Return an upload by the name of its record; None where it has ended."""
        data = self.read_own(name)
        return read_upload(data).info if data is not None else None

    def _key_of(self, name: str) -> str | None:
        info = self.upload_record(name)
        return info.key if info else None


def no_such_upload(ref: UploadRef) -> S3Error:
    """Return the error for an upload that is not known."""
    return S3Error(Code.NoSuchUpload, UploadId=ref.upload_id)


def read_upload(data: bytes) -> Upload:
    """Return an upload from its record. Raises InternalError for garbage."""
    try:
        fields = json.loads(data)
        upstream_id = fields.pop("upstream_id")
        meta = ObjectMeta(**fields.pop("meta"))
        return Upload(UploadInfo(meta=meta, **fields), upstream_id)
    except (ValueError, KeyError, TypeError):
        raise S3Error(Code.InternalError) from None


def _record_name(ref: UploadRef) -> str:
    key = ref.key.encode()
    encoded = urlsafe_b64encode(key).decode() if len(key) <= _NAMED else _UNNAMED
    return f"uploads/{ref.bucket}/{ref.upload_id}/{encoded}"


def _decode(encoded: str) -> str | None:
    try:
        return urlsafe_b64decode(encoded).decode()
    except ValueError:
        return None


def is_upload_id(text: str) -> bool:
    """Whether an id has the form of ours."""
    return _ID.fullmatch(text) is not None


def _part_name(part: Part) -> str:
    info = part.info
    fields = [info.size, info.etag, info.last_modified, info.checksums, part.upstream_etag]
    packed = json.dumps(fields, separators=(",", ":")).encode()
    encoded = urlsafe_b64encode(packed).decode()
    pieces = [encoded[start : start + _SEGMENT] for start in range(0, len(encoded), _SEGMENT)]
    return f"{info.part_number:05d}-{'/'.join(pieces)}"


def _read_part(name: str) -> Part:
    try:
        number, _, rest = name.partition("-")
        size, etag, modified, checksums, upstream_etag = json.loads(urlsafe_b64decode(rest.replace("/", "")))
        return Part(PartInfo(int(number), size, etag, modified, checksums), upstream_etag)
    except (ValueError, TypeError):
        raise S3Error(Code.InternalError) from None
