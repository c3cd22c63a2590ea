"""The bytes themselves: against their CRCs, and against the ETags and checksums that clients were told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from s3shim import checksums
from s3shim.backends.local.files import BlobFile
from s3shim.backends.local.fsck.extents import open_file
from s3shim.backends.local.fsck.report import Report
from s3shim.backends.local.records import (
    INLINE,
    Damaged,
    Extent,
    LaidPart,
    Layout,
    ObjectRecord,
    PartRecord,
    damaged,
)
from s3shim.backends.local.tables import View
from s3shim.checksums import Hasher
from s3shim.multipart import COMPOSITE

_REMEMBERED = 100_000

_encode = msgspec.msgpack.Encoder().encode


class Contents:
    """Reads what objects and parts are made of, a block at a time."""

    def __init__(self, view: View, root: Path, report: Report) -> None:
        self._view = view
        self._root = root
        self._report = report
        self._read_before: set[bytes] = set()
        self._partly: dict[bytes, Extent] = {}

    def check_object(
        self, label: str, record: ObjectRecord, layout: Layout | None, extents: list[Extent]
    ) -> None:
        """Read an object version; tell where it is not what its record says."""
        # Copies share their files: once is enough for the same bytes that are said to be the same.
        said = hashlib.sha256(_encode([extents, layout, record.etag, record.checksums])).digest()
        if said in self._read_before:
            return
        if layout is None:
            sound = self._check_run(label, extents, record.size, record.etag, record.checksums)
        else:
            sound = self._check_parts(label, record, layout)
        if sound and len(self._read_before) < _REMEMBERED:
            self._read_before.add(said)

    def check_part(self, label: str, part: PartRecord) -> None:
        """Read a part of an upload under way."""
        # A part that was copied has no checksum, and an ETag that need not be an MD5.
        etag = part.etag if part.checksums else None
        self._check_run(label, part.extents, part.size, etag, part.checksums)

    def finish(self) -> None:
        """Read the whole of the files of which no more than pieces may have been read."""
        for extent in self._partly.values():
            try:
                for _ in self._file_bytes(extent, 0, extent.file_length):
                    pass
            except Damaged as error:
                self._report.problem(error.what)

    def _check_run(
        self, label: str, extents: list[Extent], size: int, etag: str | None, stored: dict[str, str]
    ) -> bool:
        run = _Run(stored)
        if not self._feed(label, extents, [(size, run)], {}):
            return False
        wrong = [name for name, value in stored.items() if checksums.encode(run.digest(name)) != value]
        if etag is not None and run.md5.hexdigest() != etag:
            wrong.append("ETag")
        return self._tell(label, wrong)

    def _check_parts(self, label: str, record: ObjectRecord, layout: Layout) -> bool:
        composite = record.checksum_type == COMPOSITE
        of_parts = record.checksums if composite else {}
        runs = [_Run({**part.checksums, **of_parts}) for part in layout.parts]
        whole = {name: checksums.new(name) for name in record.checksums if not composite}
        plan = [(part.size, run) for part, run in zip(layout.parts, runs, strict=True)]
        if not self._feed(label, layout.extents, plan, whole):
            return False
        wrong = []
        for part, run in zip(layout.parts, runs, strict=True):
            wrong += _wrong_part(part, run)
        for name, value in record.checksums.items():
            if composite:
                digest = checksums.new(name)
                for run in runs:
                    digest.update(run.digest(name))
                found = f"{checksums.encode(digest.digest())}-{len(runs)}"
            else:
                found = checksums.encode(whole[name].digest())
            if found != value:
                wrong.append(name)
        # The ETag of a part that was copied need not be the MD5 that went into that of the whole.
        if all(part.checksums for part in layout.parts):
            md5s = [run.md5.digest() for run in runs]
            if record.etag not in _etags(md5s, len(runs) - record.appended):
                wrong.append("ETag")
        return self._tell(label, wrong)

    def _tell(self, label: str, wrong: list[str]) -> bool:
        for name in wrong:
            self._report.problem(f"{label}: its bytes do not have its {name}")
        return not wrong

    def _feed(
        self, label: str, extents: list[Extent], plan: list[tuple[int, _Run]], whole: dict[str, Hasher]
    ) -> bool:
        # The bytes of the extents, cut into runs of the planned sizes.
        runs = iter(plan)
        room, run = next(runs, (0, _Run({})))
        try:
            for data in self._bytes(extents):
                for hasher in whole.values():
                    hasher.update(data)
                rest = memoryview(data)
                while rest:
                    while room == 0:
                        room, run = next(runs)
                    run.update(bytes(rest[:room]) if len(rest) > room else bytes(rest))
                    taken = min(room, len(rest))
                    rest = rest[taken:]
                    room -= taken
        except Damaged as error:
            self._report.problem(f"{label}: {error.what}")
            return False
        return True

    def _bytes(self, extents: Iterable[Extent]) -> Iterator[bytes]:
        for extent in extents:
            if extent.kind == INLINE:
                yield self._view.inline_bytes(extent)
                continue
            if extent.length != extent.file_length:
                self._partly[extent.id] = extent
            yield from self._file_bytes(extent, extent.offset, extent.offset + extent.length)

    def _file_bytes(self, extent: Extent, start: int, stop: int) -> Iterator[bytes]:
        try:
            file = BlobFile(open_file(self._root, extent.id), extent)
            try:
                yield from file.blocks(start, stop)
            finally:
                file.close()
        except OSError as error:
            raise damaged("file %s: %s", extent.id.hex(), error.strerror) from error


class _Run:
    """The digests of a run of bytes: the MD5 and the named checksums."""

    __slots__ = ("_hashers", "md5")

    def __init__(self, algorithms: Iterable[str]) -> None:
        self.md5 = hashlib.md5(usedforsecurity=False)
        self._hashers = {name: checksums.new(name) for name in algorithms}

    def update(self, data: bytes) -> None:
        self.md5.update(data)
        for hasher in self._hashers.values():
            hasher.update(data)

    def digest(self, algorithm: str) -> bytes:
        return self._hashers[algorithm].digest()


def _etags(md5s: list[bytes], first: int) -> set[str]:
    """Return what the ETag may be of parts, to the ``first`` of which the others were appended."""
    wholes = {_md5(b"".join(md5s[:first]))}
    if first == 1 and len(md5s) > 1:
        wholes.add(md5s[0])  # of an object that had not been uploaded in parts
    found = set()
    for whole in wholes:
        etag = whole
        for md5 in md5s[first:]:
            etag = _md5(etag + md5)
        found.add(f"{etag.hex()}-{len(md5s)}")
    return found


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _wrong_part(part: LaidPart, run: _Run) -> list[str]:
    return [
        f"{name} of part {part.part_number}"
        for name, value in part.checksums.items()
        if checksums.encode(run.digest(name)) != value
    ]
