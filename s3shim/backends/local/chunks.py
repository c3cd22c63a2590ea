"""The bytes of an object as they are read: extents opened, verified block by block."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Protocol

from s3shim.backends.local.files import BlobFile, Files
from s3shim.backends.local.index import Index
from s3shim.backends.local.readers import ReaderLock
from s3shim.backends.local.records import INLINE, Extent, damaged
from s3shim.backends.local.tables import View
from s3shim.model import Chunks, ReadyChunks

Piece = tuple[Extent, int, int]
_Source = tuple[bytes | BlobFile, int, int]


class _Closed(Protocol):
    def close(self) -> None: ...


def pieces_of(extents: list[Extent], start: int, length: int) -> list[Piece]:
    """Return (extent, first, last) for the bytes from ``start`` on of what the extents make.

    ``first`` to ``last``, exclusive, are positions in the inline bytes or in the data of the file.
    """
    found = []
    stop = start + length
    position = 0
    for extent in extents:
        first, last = max(start - position, 0), min(stop - position, extent.length)
        position += extent.length
        if first < last:
            found.append((extent, extent.offset + first, extent.offset + last))
        if position >= stop:
            break
    return found


class ExtentChunks:
    """The bytes of sources, in order; see model.Chunks. What is ``held`` is closed with it."""

    __slots__ = ("_chunks", "_first", "_held")

    def __init__(self, sources: Iterable[_Source], held: list[_Closed]) -> None:
        self._held = held
        self._first: bytes | None = None
        # It does not know this object: a circle would keep a block of an answer that broke off.
        self._chunks = _walk(sources, held)

    def prefetch(self) -> None:
        """Read and verify the first chunk, so that damage there is found before anything is answered."""
        self._first = next(self._chunks, None)

    def __iter__(self) -> Iterator[bytes]:
        first, self._first = self._first, None
        if first is not None:
            yield first
            del first
        yield from self._chunks

    def close(self) -> None:
        """Close what is open."""
        self._chunks.close()
        _close(self._held)


def _walk(sources: Iterable[_Source], held: list[_Closed]) -> Generator[bytes, None, None]:
    try:
        for source, first, last in sources:
            if isinstance(source, bytes):
                yield source[first:last]
            else:
                yield from source.blocks(first, last)
                source.close()
    finally:
        _close(held)


def _close(held: list[_Closed]) -> None:
    while held:
        held.pop().close()


def open_at_once(view: View, files: Files, pieces: list[Piece]) -> Chunks:
    """Open all pieces within the transaction that gave the record: nothing that follows disturbs them.

    FileNotFoundError where a file is gone. Inline bytes are verified at once, files by ExtentChunks.
    """
    sources: list[_Source] = []
    held: list[_Closed] = []
    try:
        for extent, first, last in pieces:
            if extent.kind == INLINE:
                sources.append((view.inline_bytes(extent), first, last))
            else:
                file = files.open(extent)
                held.append(file)
                sources.append((file, first, last))
    except BaseException:
        for one in held:
            one.close()
        raise
    if not held:
        return ReadyChunks(
            b"".join([data[first:last] for data, first, last in sources if isinstance(data, bytes)])
        )
    return ExtentChunks(sources, held)


def open_in_turn(index: Index, files: Files, pieces: list[Piece], lock: ReaderLock) -> ExtentChunks:
    """Open each piece when it is read; ``lock``, closed at the end, keeps them from being unlinked."""
    sources = _in_turn(index, files, pieces)
    return ExtentChunks(sources, [lock, sources])


def _in_turn(index: Index, files: Files, pieces: list[Piece]) -> Generator[_Source, None, None]:
    for extent, first, last in pieces:
        if extent.kind == INLINE:
            with index.read() as view:
                data = view.inline_bytes(extent)
            yield data, first, last
            continue
        try:
            file = files.open(extent)
        except FileNotFoundError as error:
            raise damaged("file %s: missing", extent.id.hex()) from error
        try:
            yield file, first, last
        finally:
            file.close()
