"""Whether bytes are what records say of them, and the same in two storages."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.migrate.failures import Damaged, Unreadable
from s3shim.migrate.reading import CopiedBody, Moved, Reader, reading
from s3shim.migrate.records import Known
from s3shim.model import ObjectPart, ObjectRef
from s3shim.multipart import etag_of_parts

_READ = 1 << 20
_SAME = "sha256"


def etag_at(backend: Backend, ref: ObjectRef, known: Known, parts: list[ObjectPart], moved: Moved) -> str:
    """Return the ETag that an object's bytes have when they are uploaded in ``parts``, whole where none are.

    Raises Changed, Damaged, Unreadable.
    """
    with reading(backend, ref, known, moved) as reader:
        md5s = _read_through(reader, known, [ObjectPart(part.part_number, part.size, {}) for part in parts])
    return etag_of_parts(md5s) if parts else md5s[0]


def faults_of_bytes(
    source: Backend, target: Backend, ref: ObjectRef, wanted: Known, found: Known, moved: Moved
) -> list[str]:
    """Read both objects; return what is wrong with the bytes of the target.

    Raises Changed, Damaged and Unreadable for the source, Changed and S3Error for the target.
    """
    with reading(source, ref, wanted, moved) as reader:
        _read_through(reader, wanted, wanted.parts)
        digest = reader.digest(_SAME)
    try:
        with reading(target, ref, found, moved) as reader:
            _read_through(reader, found, found.parts)
            return [] if reader.digest(_SAME) == digest else ["bytes"]
    except Damaged as damage:
        return [f"bytes ({damage})"]
    except Unreadable as failure:
        raise failure.error from failure


def _read_through(reader: Reader, known: Known, parts: list[ObjectPart]) -> list[str]:
    # All bytes, verified against the record and the checksums of the parts; the MD5 of each part.
    reader.watch(known.digests, _SAME)
    md5s = []
    for part in parts or [ObjectPart(1, known.info.size, {})]:
        body = CopiedBody(reader, part.size, (), part.checksums)
        while body.read(_READ):
            pass
        md5s.append(body.digests.md5)
    reader.check()
    return md5s
