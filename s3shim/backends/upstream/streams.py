"""Bytes on their way back: counted, hashed, and the last of them held back until they are verified."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import NamedTuple

from s3shim import checksums
from s3shim.backends.upstream.entries import Found
from s3shim.backends.upstream.faults import error_of_failure
from s3shim.backends.upstream.wire import Answer
from s3shim.errors import Code, S3Error
from s3shim.multipart import FULL_OBJECT

_PIECE = 256 * 1024
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})", re.ASCII)
_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Opened(NamedTuple):
    """An answer whose body are ``length`` bytes from ``start`` on of an object of ``size`` bytes."""

    answer: Answer
    start: int
    length: int
    size: int


def opened(answer: Answer) -> Opened:
    """Return the answer to a GET. Raises InternalError where it does not say what it brings."""
    length = answer.headers.get("Content-Length")
    if answer.status == 206:
        match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range"))
        if match:
            first, last, size = map(int, match.groups())
            return Opened(answer, first, last - first + 1, size)
    elif answer.status == 200 and length.isdigit():
        return Opened(answer, 0, int(length), int(length))
    raise S3Error(Code.InternalError)


class RemoteChunks:
    """``length`` bytes of an answer from byte ``skip`` of it on; see model.Chunks.

    ``verifier`` has the digest of them all, None where they are a part and only their number is known.
    """

    def __init__(self, answer: Answer, skip: int, length: int, verifier: Verifier | None) -> None:
        self._answer: Answer | None = answer
        self._skip = skip
        self._length = length
        self._verifier = verifier

    def __iter__(self) -> Iterator[bytes]:
        left = self._length
        while left:
            piece = self._read(min(_PIECE, left + self._skip))
            if self._skip:
                cut = min(self._skip, len(piece))
                self._skip -= cut
                piece = piece[cut:]
                if not piece:
                    continue
            left -= len(piece)
            if self._verifier is not None:
                self._verifier.update(piece)
            if not left:
                self._finish()
            yield piece
        self._finish()

    def _read(self, size: int) -> bytes:
        if self._answer is None:
            raise S3Error(Code.InternalError)
        try:
            piece = self._answer.read(size)
        except OSError as error:
            self.close()
            raise error_of_failure(error) from None
        if not piece:
            self.close()
            raise S3Error(Code.InternalError)
        return piece

    def _finish(self) -> None:
        """Verify, and give the connection back; the last piece has not been handed out yet."""
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if self._verifier is not None and not self._verifier.holds():
            answer.close()
            raise S3Error(Code.InternalError)
        # Where it has ended its connection is free already; one that goes on is not what its head said.
        answer.close()

    def close(self) -> None:
        """Let go of the connection; it is closed where the answer was not read to its end."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.close()


class Verifier:
    """Compares bytes with the cheapest digest that is known of them."""

    def __init__(self, algorithm: str, expected: str) -> None:
        self._expected = expected
        self._hasher = checksums.new(algorithm)

    def update(self, data: bytes) -> None:
        """Add ``data``."""
        self._hasher.update(data)

    def holds(self) -> bool:
        """Whether the digest is the expected one."""
        return checksums.encode(self._hasher.digest()) == self._expected


_CHEAPEST = ("crc64nvme", "crc32c", "xxhash3", "xxhash128", "xxhash64", "crc32")


def verifier_of(found: Found) -> Verifier | None:
    """Return what verifies the whole object; None where no digest of the whole is known."""
    info = found.info
    if info.checksum_type == FULL_OBJECT:
        for algorithm in (*_CHEAPEST, *info.checksums):
            if algorithm in info.checksums:
                return Verifier(algorithm, info.checksums[algorithm])
    if _MD5.fullmatch(info.etag):
        return Verifier("md5", b64encode(bytes.fromhex(info.etag)).decode())
    return None
