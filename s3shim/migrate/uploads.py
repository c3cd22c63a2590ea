"""The multipart uploads by which objects of parts are written, and what an interrupted run left of them."""

from __future__ import annotations

from collections.abc import Iterator

from s3shim import checksums
from s3shim.backends.base import Backend
from s3shim.conditions import Conditions
from s3shim.errors import Code, S3Error
from s3shim.migrate.failures import Damaged
from s3shim.migrate.records import Known
from s3shim.model import ObjectInfo, ObjectPart, ObjectRef, PartInfo, UploadInfo, UploadQuery, UploadRef
from s3shim.multipart import COMPOSITE, FULL_OBJECT, MAX_PARTS, Completion, ListedPart, etag_of_parts

INITIATOR = "s3shim migrate"
"""The initiator of every upload of a migration: no other upload is touched."""

_PART = 64 << 20  # bytes of a part where the source has none and the destination wants some


class Uploads:
    """The uploads of migrations at a destination."""

    def __init__(self, target: Backend) -> None:
        self._target = target

    def open(
        self, ref: ObjectRef, wanted: Known, parts: list[ObjectPart], *, reuse: bool
    ) -> tuple[UploadRef, list[PartInfo]]:
        """Return an upload for the object, and those of its first parts that are there already.

        Of the uploads for the same object that were left there, or that another run is filling, the one with
        the most such parts is gone on with; whatever else it holds is replaced. The others are aborted.
        """
        new = _upload_of(wanted)
        best: tuple[UploadRef, list[PartInfo]] | None = None
        for left in list(self._left(ref)):
            done = self._fitting(left, new, parts) if reuse else None
            if done is None or (best is not None and len(best[1]) >= len(done)):
                self.abort(left)
                continue
            if best is not None:
                self.abort(best[0])
            best = left, done
        if best is not None:
            return best
        begun = self._target.create_multipart_upload(ref.bucket, new)
        return UploadRef(ref.bucket, ref.key, begun.upload_id), []

    def complete(
        self, upload: UploadRef, wanted: Known, stored: list[PartInfo], conditions: Conditions
    ) -> ObjectInfo:
        """Make the parts the object ``wanted``; return its record. Raises Damaged, S3Error."""
        listed = [ListedPart(part.part_number, part.etag, part.checksums) for part in stored]
        algorithm = checksum_of_parts(wanted)
        completion = Completion(listed, size=wanted.info.size)
        if algorithm is not None:
            completion.checksum = algorithm, wanted.info.checksums[algorithm]
            completion.checksum_type = wanted.info.checksum_type
        try:
            return self._target.complete_multipart_upload(upload, completion, conditions)
        except S3Error as error:
            if error.code is Code.BadDigest:
                raise Damaged(f"its parts do not have its {algorithm}") from error
            raise

    def abort(self, upload: UploadRef) -> None:
        """Abort an upload; one that is gone is no error."""
        try:
            self._target.abort_multipart_upload(upload)
        except S3Error as error:
            if error.code is not Code.NoSuchUpload:
                raise

    def abort_left(self, bucket: str, before: int) -> int:
        """Abort what migrations have left in a bucket that began ``before`` (ms); return how many."""
        aborted = 0
        query = UploadQuery()
        while True:
            page = self._target.list_multipart_uploads(bucket, query)
            for upload in page.items:
                if upload.initiator == INITIATOR and upload.initiated <= before:
                    self.abort(UploadRef(bucket, upload.key, upload.upload_id))
                    aborted += 1
            if page.next_marker is None:
                return aborted
            last = page.items[-1]
            query = UploadQuery(key_marker=last.key, upload_id_marker=last.upload_id)

    def _left(self, ref: ObjectRef) -> Iterator[UploadRef]:
        # Keys come in order, so the uploads of the key itself are before those of keys that begin with it.
        query = UploadQuery(prefix=ref.key)
        while True:
            page = self._target.list_multipart_uploads(ref.bucket, query)
            for upload in page.items:
                if upload.key != ref.key:
                    return
                if upload.initiator == INITIATOR:
                    yield UploadRef(ref.bucket, ref.key, upload.upload_id)
            if page.next_marker is None:
                return
            last = page.items[-1]
            query = UploadQuery(prefix=ref.key, key_marker=last.key, upload_id_marker=last.upload_id)

    def _fitting(self, left: UploadRef, new: UploadInfo, parts: list[ObjectPart]) -> list[PartInfo] | None:
        # A part is taken for the same by its checksums; the ETag of the whole decides before the end.
        try:
            info, stored = self._target.list_parts(left, 0, MAX_PARTS)
        except S3Error as error:
            if error.code is not Code.NoSuchUpload:
                raise
            return None
        if _made_as(info) != _made_as(new):
            return None
        done = []
        for part, there in zip(parts, stored, strict=False):
            if not part.checksums or (part.part_number, part.size) != (there.part_number, there.size):
                break
            if any(there.checksums.get(name) != value for name, value in part.checksums.items()):
                break
            done.append(there)
        return done


def _made_as(upload: UploadInfo) -> tuple[object, ...]:
    return upload.meta, upload.checksum_algorithm, upload.checksum_type


def is_made_by(wanted: Known, stored: list[PartInfo]) -> bool:
    """Whether these parts make an object with the ETag of ``wanted``."""
    return etag_of_parts([part.etag for part in stored]) == wanted.info.etag


def split(size: int) -> list[ObjectPart]:
    """Return parts for an object of ``size`` bytes that has none."""
    part = max(_PART, -(-size // MAX_PARTS))
    return [
        ObjectPart(number, min(part, size - start), {})
        for number, start in enumerate(range(0, size, part), 1)
    ]


def _upload_of(wanted: Known) -> UploadInfo:
    info, kind = wanted.info, FULL_OBJECT
    algorithm = checksum_of_parts(wanted)
    if wanted.parts and info.checksum_type == COMPOSITE and not info.checksums:
        # A part was copied, and has none: what the others have says by what the upload was to have one.
        algorithm = next((name for part in wanted.parts for name in part.checksums), None)
    if algorithm is not None:
        kind = info.checksum_type
    return UploadInfo(info.key, "", 0, INITIATOR, info.meta, algorithm, kind)


def checksum_of_parts(wanted: Known) -> str | None:
    """Return by what the object has a checksum that follows from those of the parts to be uploaded."""
    algorithm = next(iter(wanted.info.checksums), None)
    if wanted.parts or (algorithm in checksums.COMBINED and wanted.info.checksum_type == FULL_OBJECT):
        return algorithm
    return None
