"""Bytes that say what they are: any part of a body tells which write it belongs to."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

LINE = 128


@dataclass(slots=True, frozen=True)
class Piece:
    """``size`` bytes, written under ``name`` by the write with the number ``version``."""

    name: str
    version: int
    size: int

    @property
    def data(self) -> bytes:
        """Lines of 128 bytes with the name, the version and the line's number."""
        stem = f"{self.name} {self.version} "
        lines = (f"{stem}{number} ".ljust(LINE - 1, "-") for number in range(-(-self.size // LINE)))
        return ("\n".join(lines) + "\n").encode()[: self.size]

    @property
    def md5(self) -> bytes:
        """The MD5 digest of the bytes."""
        return _md5(self)


@lru_cache(maxsize=8192)
def _md5(piece: Piece) -> bytes:
    return hashlib.md5(piece.data, usedforsecurity=False).digest()


@dataclass(slots=True, frozen=True)
class Value:
    """An object: the pieces of its body, whether they were uploaded as parts, its metadata and tags."""

    pieces: tuple[Piece, ...]
    in_parts: bool
    meta: tuple[tuple[str, str], ...]
    tags: tuple[tuple[str, str], ...]

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(piece.size for piece in self.pieces)

    @property
    def data(self) -> bytes:
        """The body."""
        return b"".join(piece.data for piece in self.pieces)

    @property
    def etag(self) -> str:
        """The ETag, without quotes."""
        if not self.in_parts:
            return self.pieces[0].md5.hex()
        md5s = b"".join(piece.md5 for piece in self.pieces)
        return f"{hashlib.md5(md5s, usedforsecurity=False).hexdigest()}-{len(self.pieces)}"


@dataclass(slots=True, frozen=True)
class Found:
    """An object as a server showed it."""

    data: bytes
    etag: str
    meta: tuple[tuple[str, str], ...]
    tags: tuple[tuple[str, str], ...]

    def body_is(self, value: Value) -> bool:
        """Whether body and ETag are those of ``value``."""
        return len(self.data) == value.size and self.etag == value.etag and self.data == value.data

    def told(self) -> str:
        """Return what the bytes and the rest say of themselves."""
        stems: Counter[str] = Counter()
        for start in range(0, len(self.data), LINE):
            words = self.data[start : start + LINE].split(b" ")
            stems[" ".join(word[:40].decode("latin-1") for word in words[:2])] += 1
        lines = ", ".join(f"{count} lines of {stem!r}" for stem, count in stems.most_common(5))
        return f"{len(self.data)} bytes ({lines}), etag {self.etag}, meta {self.meta}, tags {self.tags}"
