"""The framing ``aws-chunked``: chunks, signed or not, and after them trailers.

    size in hex [;chunk-signature=64 hex digits] CRLF  data CRLF      any number of times
    0           [;chunk-signature=64 hex digits] CRLF  trailers CRLF

Source: "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks" and
"... Including Trailing Headers", Amazon S3 API Reference.
"""

from __future__ import annotations

import re
from hashlib import sha256
from hmac import compare_digest
from typing import Protocol

from s3shim.errors import Code, S3Error

MAX_LINE = 1024
MAX_TRAILERS = 16 * 1024
LEAST_CHUNK = 8192  # but the last

_WINDOW = 64 * 1024
_LOOK_AHEAD = 4096
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
_SIGNATURE = re.compile(rb"chunk-signature=([0-9a-f]{64})")
_TRAILER_SIGNATURE = "x-amz-trailer-signature"
_TRAILER = re.compile(rb"([A-Za-z0-9-]{1,64})[ \t]*:[ \t]*([!-~]*)[ \t]*")


class Source(Protocol):
    """What gives the bytes as they were sent: 1 to ``size`` of them, b"" at the end."""

    def read(self, size: int) -> bytes:
        """Read."""
        ...


class ChunkSigner(Protocol):
    """The chain of signatures; each call gives the next one, in lower-case hex."""

    def chunk(self, digest: str) -> str:
        """Return the signature of a chunk whose SHA-256 in hex is ``digest``."""
        ...

    def trailer(self, digest: str) -> str:
        """Return the signature of trailers."""
        ...


class ChunkedInput:
    """The bytes of ``length`` in all that ``source`` frames.

    ``signer`` is None where chunks are not signed, and where they are ``signed`` by nobody knows whom: then
    signatures must be there and are not verified. ``trailing`` tells whether trailers end the body;
    ``trailers`` holds them by lower-case name once ``read`` has returned b"".
    """

    def __init__(
        self,
        source: Source,
        length: int,
        signer: ChunkSigner | None,
        *,
        trailing: bool,
        signed: bool = False,
    ) -> None:
        self._source = source
        self._left = length  # of the whole
        self._signer = signer
        self._signed = signed or signer is not None
        self._trailing = trailing
        self._buffer = b""
        self._chunk = 0  # what is left of this chunk
        self._size = LEAST_CHUNK  # of the chunk before
        self._signature = b""
        self._sha256 = sha256()
        self._ended = False
        self.trailers: dict[str, str] = {}

    def read(self, size: int) -> bytes:
        """Return 1 to ``size`` bytes, or b"" at the end, once everything after the data has been verified.

        Raises IncompleteBody, InvalidChunkSizeError, MalformedTrailerError, SignatureDoesNotMatch, and what
        the source raises. What has been returned of a chunk is verified with the chunk's last byte.
        """
        if not self._chunk:
            if self._ended:
                return b""
            self._begin()
            if not self._chunk:
                self._end()
                return b""
        data = self._take(min(size, self._chunk))
        self._chunk -= len(data)
        if self._signer is not None:
            self._sha256.update(data)
        if not self._chunk:
            if self._exactly(2) != b"\r\n":
                raise _broken()
            self._verify()
        return data

    def _begin(self) -> None:
        line = self._line()
        size, semicolon, extension = line.partition(b";")
        if not _SIZE.fullmatch(size) or (semicolon and not self._signed):
            raise _broken()
        if self._signed:
            signature = _SIGNATURE.fullmatch(extension)
            if signature is None:
                raise _broken()
            self._signature = signature[1]
            self._sha256 = sha256()
        self._chunk = int(size, 16)
        if self._chunk > self._left:
            raise _broken()
        if self._chunk and self._size < LEAST_CHUNK:
            raise S3Error(Code.InvalidChunkSizeError)
        self._left -= self._chunk
        self._size = self._chunk

    def _verify(self) -> None:
        if self._signer is not None:
            right = self._signer.chunk(self._sha256.hexdigest())
            if not compare_digest(right.encode(), self._signature):
                raise S3Error(Code.SignatureDoesNotMatch)

    def _end(self) -> None:
        """Read what follows the last chunk, to the end of the body."""
        self._verify()
        if self._left:
            raise _broken()
        rest = self._rest()
        if self._trailing:
            self._read_trailers(rest)
        elif rest != b"\r\n":
            raise _broken()
        self._ended = True

    def _read_trailers(self, rest: bytes) -> None:
        # The SDKs differ in LF and CRLF between trailers and in empty lines around the signature.
        if rest != b"\r\n" and not rest.endswith(b"\n\r\n"):
            raise _broken()
        canonical = sha256()
        signature = None
        for line in re.split(rb"\r?\n", rest):
            if not line:
                continue
            trailer = _TRAILER.fullmatch(line)
            if trailer is None or signature is not None:
                raise S3Error(Code.MalformedTrailerError)
            name, value = trailer[1].decode().lower(), trailer[2].decode()
            if name == _TRAILER_SIGNATURE and self._signed:
                signature = value
                continue
            if name in self.trailers:
                raise S3Error(Code.MalformedTrailerError)
            self.trailers[name] = value
            canonical.update(f"{name}:{value}\n".encode())
        if not self._signed:
            return
        if signature is None:
            raise S3Error(Code.MalformedTrailerError)
        if self._signer is None:
            return
        if not compare_digest(self._signer.trailer(canonical.hexdigest()).encode(), signature.encode()):
            raise S3Error(Code.SignatureDoesNotMatch)

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n", 0, MAX_LINE + 2)) < 0:
            if len(self._buffer) > MAX_LINE:
                raise _broken()
            self._buffer += self._more(_LOOK_AHEAD)
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    def _take(self, size: int) -> bytes:
        if not self._buffer:
            return self._more(size)
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += self._more(_LOOK_AHEAD)
        return self._take(size)

    def _more(self, size: int) -> bytes:
        data = self._source.read(size)
        if not data:
            raise _broken()
        return data

    def _rest(self) -> bytes:
        rest = self._buffer
        while data := self._source.read(_WINDOW):
            rest += data
            if len(rest) > MAX_TRAILERS:
                raise _broken()
        self._buffer = b""
        return rest


def _broken() -> S3Error:
    return S3Error(Code.IncompleteBody)
