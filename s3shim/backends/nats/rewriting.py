"""Stored bytes read, verified and written again, for copies: an object cannot share another's chunks."""

from __future__ import annotations

from s3shim.backends.nats.reading import Opened, info_at, open_object
from s3shim.backends.nats.store import Store
from s3shim.backends.nats.stored import StoredBody
from s3shim.backends.nats.written import Written
from s3shim.conditions import NO_CONDITIONS, check_copy
from s3shim.copying import Copy
from s3shim.ranges import ByteRange


def rewrite(store: Store, copy: Copy, byte_range: ByteRange | None, bucket: str) -> tuple[Opened, Written]:
    """Write the source's bytes, or the range of them, to ``bucket``; return the source and what was written.

    Raises what ``check_copy``, ``resolve_whole``, reading and writing raise.
    """
    if byte_range is not None:
        info = info_at(store, copy.source)
        check_copy(copy.conditions, info)
        byte_range.resolve_whole(info.size)
    source = open_object(store, copy.source, byte_range, NO_CONDITIONS)
    stream = source.stream
    try:
        check_copy(copy.conditions, stream.info)
        written = Written(store, bucket)
        algorithm = next(iter(stream.info.checksums), "crc64nvme")
        written.take(StoredBody(stream.chunks, stream.length, "md5", algorithm))
    finally:
        stream.chunks.close()
    return source, written
