"""Bytes that are stored already as the body of something new."""

from __future__ import annotations

from collections.abc import Iterable

from s3shim import checksums
from s3shim.model import Digests


class StoredBody:
    """``pieces`` of ``length`` bytes in all, each verified by its reader, as a body; see model.Body."""

    def __init__(self, pieces: Iterable[bytes], length: int, *algorithms: str) -> None:
        self.length: int | None = length
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")
        self._hashers = {name: checksums.new(name) for name in algorithms}

    def also(self, algorithm: str) -> None:
        """See model.Body."""
        self._hashers.setdefault(algorithm, checksums.new(algorithm))

    def hand_on(self) -> None:
        """See model.Body: nobody has signed it."""

    def read(self, size: int) -> bytes:
        """See model.Body."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            for hasher in self._hashers.values():
                hasher.update(piece)
            self._rest = memoryview(piece)
        data, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return data

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of what was read; it must be among the algorithms."""
        return self._hashers["sha256"].digest()

    @property
    def digests(self) -> Digests:
        """See model.Body; the MD5 is empty unless it was asked for."""
        found = {name: hasher.digest() for name, hasher in self._hashers.items()}
        md5 = found.pop("md5", b"").hex()
        return Digests(md5, {name: checksums.encode(digest) for name, digest in found.items()})
