"""The bytes of an object as they are read: extents opened at once, verified block by block."""

from __future__ import annotations

from collections.abc import Iterator

from s3shim.backends.local.files import BlobFile, Files
from s3shim.backends.local.records import INLINE, ObjectRecord
from s3shim.backends.local.tables import View


class ExtentChunks:
    """The bytes of an object from ``start`` on, ``length`` of them; see model.Chunks.

    Everything is opened here, within the transaction that gave the record, so an overwrite or delete
    does not disturb it. FileNotFoundError where a file is gone, InternalError where one is damaged.
    """

    def __init__(self, view: View, files: Files, record: ObjectRecord, start: int, length: int) -> None:
        self._pieces: list[tuple[bytes | BlobFile, int, int]] = []
        self._first: bytes | None = None
        stop = start + length
        offset = 0
        try:
            for extent in record.extents:
                first, last = max(start - offset, 0), min(stop - offset, extent.length)
                offset += extent.length
                if first < last:
                    source = view.inline_bytes(extent) if extent.kind == INLINE else files.open(extent)
                    self._pieces.append((source, first, last))
        except BaseException:
            self.close()
            raise
        self._chunks = self._walk()

    def prefetch(self) -> None:
        """Read and verify the first chunk, so that damage there is found before anything is answered."""
        self._first = next(self._chunks, None)

    def __iter__(self) -> Iterator[bytes]:
        first, self._first = self._first, None
        if first is not None:
            yield first
            del first
        yield from self._chunks

    def _walk(self) -> Iterator[bytes]:
        try:
            for source, first, last in self._pieces:
                if isinstance(source, bytes):
                    yield source if last - first == len(source) else source[first:last]
                else:
                    yield from source.blocks(first, last)
                    source.close()
        finally:
            self.close()

    def close(self) -> None:
        """Close what is open."""
        for source, _, _ in self._pieces:
            if isinstance(source, BlobFile):
                source.close()
        self._pieces = []
