"""A prepared store with objects of every kind, what it must hold, which of its bytes make which object."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from s3shim.backends.local import LocalBackend
from s3shim.backends.local.layout import shard_path
from s3shim.backends.local.records import FILE, INLINE, Extent, number, version_key
from s3shim.backends.local.records import key_stem as stem_of
from s3shim.conditions import NO_CONDITIONS
from s3shim.copying import Copy
from s3shim.model import BucketInfo, ObjectMeta, ObjectRef, UploadRef
from s3shim.ranges import ByteRange
from tests.contract.bodies import put
from tests.contract.uploads import begin, complete, copy_part, put_parts, upload

BUCKET = "shelf"
OWNER = "default"  # the account of the server's own keys
BLOCK = 4096
INLINE_MAX = 2000

Interval = tuple[int, int]


@dataclass(slots=True)
class Held:
    """What an object must be; ``older`` holds bytes that stood under its key before."""

    data: bytes
    meta: ObjectMeta
    older: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Piece:
    """A part of an object that is read at once: bytes ``start`` to ``stop`` of it, where they lie."""

    start: int
    stop: int
    extent: Extent
    offset: int


@dataclass(slots=True)
class Rows:
    """The rows of one object in the index: value of its record, of its layout, its inline bytes by id."""

    record: bytes
    layout: bytes | None
    inline: dict[bytes, bytes]


class Shelf:
    """The store in ``root``: by key what is ``held``, what is ``gone``, the ``uploads`` under way."""

    def __init__(self, root: Path, random: Random) -> None:
        self.root = root
        self.random = random
        self.held: dict[str, Held] = {}
        self.gone: dict[str, Held] = {}
        self.uploads: dict[str, tuple[UploadRef, dict[int, bytes]]] = {}
        self.pieces: dict[str, list[Piece]] = {}
        self.rows: dict[str, Rows] = {}

    @contextmanager
    def open(self) -> Iterator[LocalBackend]:
        """Give the backend, open."""
        backend = LocalBackend(self.root, inline_max=INLINE_MAX, block_size=BLOCK, reserve=0)
        backend.start()
        try:
            yield backend
        finally:
            backend.close()

    def file(self, extent: Extent) -> Path:
        """Return the path of a file."""
        return shard_path(self.root, extent.id[0]) / extent.id.hex()

    def bytes(self, size: int) -> bytes:
        """Return random bytes, so that each stands in one place only."""
        return self.random.randbytes(size)

    def fill(self, many: int) -> None:
        """Make the store, with ``many`` small objects among the others."""
        with self.open() as backend:
            for name in (BUCKET, "other"):
                backend.create_bucket(BucketInfo(name, OWNER, 1_700_000_000_000))
            self._fill_whole(backend)
            self._fill_parts(backend)
            self._fill_copies(backend)
            for count in range(many):
                self._put(backend, f"many/{count % 7}/{count:04}", self.bytes(40 + count % 90))
            for count in range(3):
                key = f"many/gone/{count}"
                self._put(backend, key, self.bytes(100))
                backend.delete_object(ObjectRef(BUCKET, key), NO_CONDITIONS)
                self.gone[key] = self.held.pop(key)
            self._begin(backend, "upload/a", [self.bytes(6000), self.bytes(150)])
            self._begin(backend, "upload/b", [self.bytes(70)])
            self.learn(backend)

    def _put(self, backend: LocalBackend, key: str, data: bytes, **meta: dict[str, str]) -> None:
        held = self.held.get(key)
        older = [] if held is None else [*held.older, held.data]
        described = ObjectMeta("text/plain", **meta)
        put(backend, key, data, bucket=BUCKET, meta=described)
        self.held[key] = Held(data, described, older)

    def _fill_whole(self, backend: LocalBackend) -> None:
        self._put(backend, "empty", b"")
        for key, size in (("inline/small", 300), ("inline/large", 1900), ("file/one", 3000)):
            self._put(backend, key, self.bytes(size))
        for key in ("file/many", "inline/again"):
            for _ in range(2):
                size = 4 * BLOCK + 1234 if key == "file/many" else 500
                self._put(
                    backend,
                    key,
                    self.bytes(size),
                    user={"note": "kept"},
                    system={"cache-control": "no-store"},
                )
        self._put(backend, "file/twin", self.bytes(4 * BLOCK + 1234))
        self._put(backend, "file/tagged", self.bytes(2 * BLOCK))
        tags = {"colour": "green", "shape": "round"}
        backend.put_object_tags(ObjectRef(BUCKET, "file/tagged"), tags)
        self.held["file/tagged"].meta.tags = tags

    def _fill_parts(self, backend: LocalBackend) -> None:
        for key, sizes in (
            ("parts/files", (9000, 6000, 2500)),
            ("parts/inline", (100, 200, 300)),
            ("parts/mixed", (5000, 50, 5000, 60, 4096)),
            ("parts/two", (4096, 4097)),
        ):
            datas = [self.bytes(size) for size in sizes]
            put_parts(backend, key, datas, bucket=BUCKET)
            self.held[key] = Held(b"".join(datas), ObjectMeta())

    def _fill_copies(self, backend: LocalBackend) -> None:
        for source, key in (
            ("file/many", "copy/file"),
            ("inline/small", "copy/inline"),
            ("parts/mixed", "copy/parts"),
        ):
            copy = Copy(ObjectRef(BUCKET, source))
            backend.copy_object(copy, ObjectRef(BUCKET, key), NO_CONDITIONS)
            self.held[key] = Held(self.held[source].data, self.held[source].meta)
        ref = begin(backend, "copy/range", bucket=BUCKET)
        part = copy_part(backend, ref, 1, "file/many", ByteRange(5000, 13_000), bucket=BUCKET)
        other = copy_part(backend, ref, 2, "inline/large", ByteRange(100, 1200), bucket=BUCKET)
        complete(backend, ref, [part, other])
        whole = self.held["file/many"].data[5000:13_001] + self.held["inline/large"].data[100:1201]
        self.held["copy/range"] = Held(whole, ObjectMeta())

    def _begin(self, backend: LocalBackend, key: str, datas: list[bytes]) -> None:
        ref = begin(backend, key, bucket=BUCKET)
        parts = dict(enumerate(datas, 1))
        for part_number, data in parts.items():
            upload(backend, ref, part_number, data)
        self.uploads[key] = ref, parts

    # -- where what lies ----------------------------------------------------------------------

    def learn(self, backend: LocalBackend) -> None:
        """Find out where the bytes of the objects lie."""
        with backend.store.index.read() as view:
            bucket_id = view.bucket(BUCKET).id
            tables = view.tables
            for key in self.held:
                record = view.current(bucket_id, key)
                assert record is not None
                extents = view.layout(record).extents
                self.pieces[key] = list(_pieces(extents))
                row = view.txn.get(version_key(stem_of(bucket_id, key), record.sequence), db=tables.objects)
                layout = (
                    view.txn.get(number(record.sequence), db=tables.layouts) if record.parts_count else None
                )
                inline = {extent.id: view.inline_bytes(extent) for extent in extents if extent.kind == INLINE}
                assert row is not None
                self.rows[key] = Rows(row, layout, inline)

    def files(self) -> dict[Path, Extent]:
        """Return the files that objects use, each with an extent that names it."""
        return {
            self.file(piece.extent): piece.extent
            for pieces in self.pieces.values()
            for piece in pieces
            if piece.extent.kind == FILE
        }

    def damaged_by(self, extent_id: bytes, start: int, stop: int) -> dict[str, list[Interval]]:
        """Return, by key, the pieces of objects that lie in bytes ``start`` to ``stop`` of an extent."""
        found: dict[str, list[Interval]] = {}
        for key, pieces in self.pieces.items():
            for piece in pieces:
                first, last = piece.offset, piece.offset + piece.stop - piece.start
                if piece.extent.id == extent_id and first < stop and start < last:
                    found.setdefault(key, []).append((piece.start, piece.stop))
        return found


def _pieces(extents: list[Extent]) -> Iterator[Piece]:
    # Inline bytes are read as a whole, files block by block.
    position = 0
    for extent in extents:
        offset = extent.offset
        end = offset + extent.length
        while offset < end:
            stop = end if extent.kind == INLINE else min(end, (offset // BLOCK + 1) * BLOCK)
            yield Piece(position, position + stop - offset, extent, offset)
            position += stop - offset
            offset = stop


@contextmanager
def quiet() -> Iterator[None]:
    """Let the store tell no log of its damage."""
    logger = logging.getLogger("s3shim")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
