"""CompleteMultipartUpload: the parts' chunks are read, verified and sent again, in order, as one object.

An object of the Object Store is the chunks of one nuid in the order in which they came, so parts cannot be
strung together: only an upload of one part becomes the object as it is. One gateway does the work, and says
so in the upload's record; when it is gone, the next request begins anew. Before the object is committed the
record says how: whoever finds it then can tell what has happened, or do it.
"""

from __future__ import annotations

import time

from s3shim.backends.nats.claim import Claim, Overtaken, now
from s3shim.backends.nats.committing import finish, prepare
from s3shim.backends.nats.gathering import gather, target_of
from s3shim.backends.nats.store import Calls
from s3shim.conditions import Conditions
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectInfo, ObjectPart, PartInfo, UploadRef
from s3shim.multipart import Completion, Whole, assemble

_PAUSE = 0.1


class Completions(Calls):
    """CompleteMultipartUpload."""

    def complete_multipart_upload(
        self, upload: UploadRef, completion: Completion, conditions: Conditions
    ) -> ObjectInfo:
        """See Backend."""
        claim = Claim(self.store, upload)
        while True:
            try:
                claim.look()
            except S3Error as error:
                done = claim.replayed(completion.fingerprint) if error.code is Code.NoSuchUpload else None
                if done is None:
                    raise
                return done
            try:
                if claim.free:
                    return _complete(claim, completion, conditions)
                if claim.committing:
                    return finish(claim, conditions)
            except Overtaken:
                pass
            time.sleep(_PAUSE)


def _complete(claim: Claim, completion: Completion, conditions: Conditions) -> ObjectInfo:
    """Make the object of the parts; where that is refused, the upload is as it was. Raises Overtaken."""
    store, upload = claim.store, claim.upload
    try:
        infos = {number: part.info() for number, part in claim.parts().items()}
        _choose(claim, infos, completion, conditions)
    except S3Error:
        # An upload that has ended meanwhile has lost its parts: what is missing then is the upload.
        claim.check()
        raise
    written = target_of(claim)
    old = claim.take(written.nuid)
    try:
        # A part that was written before the record said so is found now; one that comes later is refused.
        stored = claim.parts()
        infos = {number: part.info() for number, part in stored.items()}
        whole = _choose(claim, infos, completion, conditions)
        if old and old not in [part.nuid for part in stored.values()]:
            store.call(store.reclaim.remove(upload.bucket, old), upload.bucket)
        content = gather(claim, written, [stored[part.part_number] for part in whole.parts])
        claim.record.nuid = content.nuid
        parts = [ObjectPart(part.part_number, part.size, part.checksums) for part in whole.parts]
        prepare(claim, _object(claim, whole), content, parts, completion.fingerprint)
        return finish(claim, conditions)
    except S3Error as error:
        if error.code is Code.ServiceUnavailable and claim.committing:
            # It may have happened: the same request again, to any gateway, finds out.
            raise
        claim.give_back()
        store.call(written.remove())
        raise
    except Overtaken:
        store.call(written.remove())
        raise


def _choose(
    claim: Claim, stored: dict[int, PartInfo], completion: Completion, conditions: Conditions
) -> Whole:
    """Return what the listed parts make. Raises what ``assemble`` and ``check_write`` raise."""
    whole = assemble(claim.record.info(), stored, completion)
    catalog = claim.store.catalog
    claim.store.call(catalog.check(claim.upload.bucket, claim.upload.key, conditions))
    return whole


def _object(claim: Claim, whole: Whole) -> ObjectInfo:
    return ObjectInfo(
        claim.upload.key,
        whole.size,
        whole.etag,
        now(),
        claim.record.info().meta,
        whole.checksums,
        checksum_type=whole.checksum_type,
        parts_count=len(whole.parts),
    )
