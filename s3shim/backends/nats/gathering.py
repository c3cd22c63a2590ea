"""The parts of an upload read, verified and written again in order, as the chunks of one object."""

from __future__ import annotations

from collections.abc import Iterator

from s3shim.backends.nats.claim import Claim
from s3shim.backends.nats.format import Content
from s3shim.backends.nats.pieces import read_content
from s3shim.backends.nats.stored import StoredBody
from s3shim.backends.nats.upload_records import PartRecord
from s3shim.backends.nats.written import Written, store_rest

_READ = 1 << 20


def target_of(claim: Claim) -> Written:
    """Return what the parts are to be written to."""
    return Written(claim.store, claim.upload.bucket)


def gather(claim: Claim, written: Written, parts: list[PartRecord]) -> Content:
    """Write the parts to ``written``; the only part of an upload is the object as it is.

    Raises Overtaken, InternalError for a damaged part, and what writing raises.
    """
    if len(parts) == 1:
        return _alone(claim, parts[0])
    size = sum(part.size for part in parts)
    written.take(StoredBody(_pieces(claim, parts), size))
    claim.store.call(store_rest(written))
    return written.content


def _alone(claim: Claim, part: PartRecord) -> Content:
    body = StoredBody(_pieces(claim, [part]), part.size, "sha256")
    while body.read(_READ):
        continue
    return Content(
        claim.incarnation,
        part.nuid,
        part.size,
        part.chunks,
        body.sha256,
        chunk=part.chunk,
        first=part.first,
        last=part.last,
    )


def _pieces(claim: Claim, parts: list[PartRecord]) -> Iterator[bytes]:
    for part in parts:
        for piece in read_content(claim.store, claim.upload.bucket, part.entry()):
            claim.beat()
            yield piece
