"""Writing an object to the destination while it is read at the source."""

from __future__ import annotations

from contextlib import suppress

from s3shim.backends.base import Backend, Capability
from s3shim.conditions import NO_CONDITIONS, Conditions
from s3shim.errors import Code, S3Error
from s3shim.migrate.failures import CHANGED, PASSING, Changed, Damaged
from s3shim.migrate.reading import CopiedBody, Moved, reading
from s3shim.migrate.records import Known
from s3shim.migrate.uploads import Uploads, checksum_of_parts, is_made_by, split
from s3shim.model import ObjectInfo, ObjectPart, ObjectRef, PartInfo, UploadRef

LARGE = 5 << 30
"""The bytes that every S3 takes in one request."""

_SMALL = 5 << 20  # bytes that some demand of every part but the last


class Writing:
    """Writes objects of ``source`` to ``target``; ``moved`` is told of the bytes."""

    def __init__(self, source: Backend, target: Backend, moved: Moved) -> None:
        self._source = source
        self._target = target
        self._moved = moved
        self._uploads = Uploads(target)
        self._refuses_small = False  # known by the first that is refused

    def copy(self, ref: ObjectRef, wanted: Known, conditions: Conditions) -> ObjectInfo:
        """Write the object where ``conditions`` hold at the destination; return its new record.

        Raises Changed, Damaged, Unreadable, S3Error of the destination.
        """
        conditions = kept(self._target, conditions)
        parts = self.parts_of(wanted)
        try:
            if parts:
                return self._in_parts(ref, wanted, parts, conditions)
            try:
                return self._whole(ref, wanted, conditions)
            except S3Error as error:
                if error.code is not Code.EntityTooLarge:
                    raise
            return self._in_parts(ref, wanted, split(wanted.info.size), conditions)
        except S3Error as error:
            if error.code is Code.EntityTooSmall and _is_small(parts):
                self._refuses_small = True
                raise Changed from error
            if error.code in CHANGED:
                raise Changed from error
            raise

    def parts_of(self, wanted: Known) -> list[ObjectPart]:
        """Return the parts that the object is uploaded in; none where it is one body, if it may be."""
        if Capability.MULTIPART not in self._target.capabilities:
            return []
        if self._refuses_small and _is_small(wanted.parts):
            return parts_of_large(wanted.info.size)
        return wanted.parts

    def _whole(self, ref: ObjectRef, wanted: Known, conditions: Conditions) -> ObjectInfo:
        info = wanted.info
        verified = wanted.whole_checksums
        with reading(self._source, ref, wanted, self._moved) as reader:
            # An ETag need not be an MD5: it counts where there is nothing else.
            md5 = None if verified else wanted.md5
            body = CopiedBody(reader, info.size, info.checksums, verified, md5)
            return self._target.put_object(ref, body, info.meta, conditions)

    def _in_parts(
        self, ref: ObjectRef, wanted: Known, parts: list[ObjectPart], conditions: Conditions
    ) -> ObjectInfo:
        for reuse in (True, False):
            upload, done = self._uploads.open(ref, wanted, parts, reuse=reuse)
            try:
                stored = self._fill(upload, ref, wanted, parts, done)
                if done and not is_made_by(wanted, stored):
                    self._uploads.abort(upload)
                    continue
                return self._uploads.complete(upload, wanted, stored, conditions)
            except S3Error as error:
                if error.code not in PASSING:
                    self._give_up(upload)
                raise
            except (Changed, Damaged):
                self._give_up(upload)
                raise
        raise Changed

    def _give_up(self, upload: UploadRef) -> None:
        with suppress(S3Error):  # why it is given up is what counts, the end of the bucket comes by again
            self._uploads.abort(upload)

    def _fill(
        self,
        upload: UploadRef,
        ref: ObjectRef,
        wanted: Known,
        parts: list[ObjectPart],
        done: list[PartInfo],
    ) -> list[PartInfo]:
        stored = list(done)
        algorithm = checksum_of_parts(wanted)
        start = sum(part.size for part in done)
        with reading(self._source, ref, wanted, self._moved, start) as reader:
            if not wanted.parts:
                reader.watch(wanted.digests)
            for part in parts[len(done) :]:
                more = [algorithm] if algorithm else []
                body = CopiedBody(reader, part.size, more, part.checksums)
                stored.append(self._target.upload_part(upload, part.part_number, body))
            reader.check()
        return stored


def _is_small(parts: list[ObjectPart]) -> bool:
    return any(part.size < _SMALL for part in parts[:-1])


def parts_of_large(size: int) -> list[ObjectPart]:
    """Return the parts in which an object without any is written where it is too large for one request."""
    return split(size) if size > LARGE else []


def kept(target: Backend, conditions: Conditions) -> Conditions:
    """Return the conditions where the destination keeps to them, otherwise none."""
    return conditions if Capability.CONDITIONAL_WRITE in target.capabilities else NO_CONDITIONS
