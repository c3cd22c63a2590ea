"""The request body: bounded, counted, hashed and verified as it is read.

The HTTP server does not tell when a client goes away in the middle of a body, so bytes are counted
here: a body that ends before its stated length is IncompleteBody and never an object.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import sha256
from hmac import compare_digest
from typing import Any

from s3shim import checksums
from s3shim.errors import Code, S3Error
from s3shim.model import Digests
from s3shim.wire.chunked import ChunkedInput, ChunkSigner
from s3shim.wire.form import Form, FormInput

MAX_PUT_SIZE = 5 * 1024**3

MAX_UNUSED = 64 * 1024
"""Bytes of a body that an operation has no use for; none is needed at all."""

_EMPTY = b""
_EMPTY_SHA256 = sha256(_EMPTY).digest()

Take = Callable[[int], bytes]
"""Returns 1 to so many bytes, b"" at the end."""


class RequestBody:
    """A body that verifies what the client said of it. Use once.

    ``expect_*`` say what must be true of it; the last ``read`` raises where it is not. ``least`` and
    ``limit`` bound its size. ``received`` counts bytes, ``waited`` the seconds spent waiting for the client.
    """

    __slots__ = (
        "_algorithm",
        "_also",
        "_checksum",
        "_digests",
        "_frame",
        "_handed_on",
        "_hashers",
        "_md5",
        "_sha256",
        "_take",
        "_trailer",
        "chunked",
        "default_algorithm",
        "least",
        "length",
        "limit",
        "received",
        "waited",
    )

    def __init__(
        self, environ: dict[str, Any], content_length: str | None, transfer_encoding: str | None
    ) -> None:
        source = environ["wsgi.input"]
        # What has come is better than what was asked for: it is hashed while more arrives.
        self._take: Take = getattr(source, "read1", getattr(source, "read", _nothing))
        self.chunked = transfer_encoding is not None and bool(environ.get("wsgi.input_terminated"))
        self.length: int | None = None
        if content_length is not None and not self.chunked:
            # The HTTP server has refused anything but digits; one that lets it pass gets no body.
            self.length = (
                int(content_length) if content_length.isascii() and content_length.isdigit() else None
            )
        self.default_algorithm = "crc64nvme"
        self.limit = MAX_PUT_SIZE
        self.least = 0
        self.received = 0
        self.waited = 0.0
        self._frame: ChunkedInput | None = None
        self._trailer: str | None = None
        self._algorithm = ""
        self._also = ""
        self._handed_on = False
        self._md5: bytes | None = None
        self._sha256: bytes | None = None
        self._checksum: tuple[str, bytes] | None = None
        self._hashers: dict[str, checksums.Hasher] = {}
        self._digests: Digests | None = None

    @property
    def empty(self) -> bool:
        """Whether the client sends no body at all."""
        return not self.chunked and not self.length and self._frame is None

    @property
    def framed(self) -> bool:
        """Whether the body is sent in aws-chunked framing."""
        return self._frame is not None

    @property
    def digests(self) -> Digests:
        """The digests of the whole body; only after ``read`` has returned b""."""
        if self._digests is None:
            raise RuntimeError("the body has not been read to its end")
        return self._digests

    @property
    def checksum_algorithm(self) -> str | None:
        """The algorithm of the checksum that the client sends, or None."""
        return self._checksum[0] if self._checksum else self._trailer

    def unframe(
        self, length: int, signer: ChunkSigner | None, *, trailing: bool, signed: bool = False
    ) -> None:
        """Take the body for aws-chunked framing of ``length`` bytes; see ChunkedInput.

        From here on ``length`` and ``received`` count the bytes within the frame.
        """
        if self.length is None and not self.chunked:
            raise S3Error(Code.MissingContentLength)
        source = _Bounded(self._take, self.length)
        self._frame = ChunkedInput(source, length, signer, trailing=trailing, signed=signed)
        self._take = self._frame.read
        self.length, self.chunked = length, False

    def open_form(self, boundary: bytes) -> Form:
        """Take the body for a form, read to its file and return its fields; see FormInput.

        From here on the file is the body, and its length is not known. Raises MissingContentLength,
        IncompleteBody, RequestTimeout, and what FormInput raises.
        """
        if self.length is None and not self.chunked:
            raise S3Error(Code.MissingContentLength)
        source = _Bounded(self._take, self.length)
        form = FormInput(boundary)
        self._take = form.read
        self.length, self.chunked = None, True
        began = time.perf_counter()
        try:
            return form.read_fields(source)
        except Exception as error:
            raise _failure(error) from None
        finally:
            self.waited += time.perf_counter() - began

    def expect_trailer(self, algorithm: str) -> None:
        """Demand that the trailers are the one with the checksum by ``algorithm``, and a right one."""
        self._trailer = algorithm

    def expect_md5(self, digest: bytes) -> None:
        """Demand the MD5 ``digest`` (Content-MD5)."""
        self._md5 = digest

    def expect_sha256(self, digest: bytes) -> None:
        """Demand the SHA-256 ``digest`` (x-amz-content-sha256)."""
        self._sha256 = digest

    def expect_checksum(self, algorithm: str, digest: bytes) -> None:
        """Demand ``digest`` by ``algorithm`` (x-amz-checksum-*)."""
        self._checksum = (algorithm, digest)

    def also(self, algorithm: str) -> None:
        """Let the digests hold the checksum by ``algorithm`` too; before the first ``read``."""
        self._also = algorithm

    def hand_on(self) -> str | None:
        """Leave the SHA-256 to the storage; see model.Body."""
        if self._sha256 is None or self._also:
            return None
        self._handed_on = True
        return self._sha256.hex()

    def read(self, size: int) -> bytes:
        """Return 1 to ``size`` bytes, or b"" at the end, once everything has been verified.

        Raises IncompleteBody, EntityTooLarge, EntityTooSmall, MissingContentLength, RequestTimeout,
        BadDigest, XAmzContentSHA256Mismatch.
        """
        if self._digests is not None:
            return _EMPTY
        if self.received == 0 and not self._hashers:
            self._begin()
        if self.length is not None:
            size = min(size, self.length - self.received)
        # What follows the last byte within a frame is verified too, so a frame is always asked.
        data = self._receive(max(size, 1)) if size > 0 or self._frame is not None else _EMPTY
        if data:
            self.received += len(data)
            if self.received > self.limit:
                raise too_large(self.received, self.limit)
            for hasher in self._hashers.values():
                hasher.update(data)
            return data
        if self.length is not None and self.received != self.length:
            raise S3Error(Code.IncompleteBody)
        if self.received < self.least:
            raise S3Error(Code.EntityTooSmall, ProposedSize=self.received, MinSizeAllowed=self.least)
        self._finish()
        return _EMPTY

    def read_all(self, limit: int) -> bytes:
        """Return the whole body of at most ``limit`` bytes; raise MaxMessageLengthExceeded beyond."""
        if self.length is not None and self.length > limit:
            raise S3Error(Code.MaxMessageLengthExceeded, MaxMessageLengthBytes=limit)
        parts = []
        while data := self.read(65536):
            parts.append(data)
            if self.received > limit:
                raise S3Error(Code.MaxMessageLengthExceeded, MaxMessageLengthBytes=limit)
        return b"".join(parts)

    def verify_unused(self, *, waits: bool) -> None:
        """Hold the body against the SHA-256 that it was signed with, where there is one, and leave its bytes.

        For an operation that takes no body: one that was exchanged on the way is refused all the same. One
        that ``waits`` for 100 Continue is not invited, so it never comes.

        Raises XAmzContentSHA256Mismatch, MaxMessageLengthExceeded, and what ``read`` raises.
        """
        if self._sha256 is None:
            return
        if not self.empty:
            if not waits:
                self.read_all(MAX_UNUSED)
        elif self._sha256 != _EMPTY_SHA256:
            raise _other_bytes(self._sha256, _EMPTY_SHA256)

    def _begin(self) -> None:
        if self.length is None and not self.chunked:
            raise S3Error(Code.MissingContentLength)
        if self.length is not None and self.length > self.limit:
            raise too_large(self.length, self.limit)
        # Without a checksum of the client's the object gets S3's default one.
        self._algorithm = algorithm = self.checksum_algorithm or self.default_algorithm
        self._hashers = {algorithm: checksums.new(algorithm)}
        if not self._handed_on or self._md5 is not None:
            self._hashers["md5"] = checksums.new("md5")
        more = ["sha256"] if self._sha256 is not None and not self._handed_on else []
        for name in [*more, self._also] if self._also else more:
            if name not in self._hashers:
                self._hashers[name] = checksums.new(name)

    def _receive(self, size: int) -> bytes:
        began = time.perf_counter()
        try:
            return bytes(self._take(size))
        except Exception as error:
            raise _failure(error) from None
        finally:
            self.waited += time.perf_counter() - began

    def _finish(self) -> None:
        found = {name: hasher.digest() for name, hasher in self._hashers.items()}
        if self._md5 is not None and not compare_digest(found["md5"], self._md5):
            raise S3Error(
                Code.BadDigest,
                "The Content-MD5 you specified did not match what we received.",
                ExpectedDigest=checksums.encode(self._md5),
                CalculatedDigest=checksums.encode(found["md5"]),
            )
        if self._sha256 is not None and "sha256" in found and found["sha256"] != self._sha256:
            raise _other_bytes(self._sha256, found["sha256"])
        algorithm = self._algorithm
        if self._frame is not None:
            self._take_trailers(self._frame.trailers)
        if self._checksum is not None and not compare_digest(found[algorithm], self._checksum[1]):
            raise S3Error(
                Code.BadDigest,
                f"The {algorithm.upper()} you specified did not match the calculated checksum.",
            )
        told = {algorithm: checksums.encode(found[algorithm])}
        if self._also:
            told[self._also] = checksums.encode(found[self._also])
        self._digests = Digests(found["md5"].hex() if "md5" in found else "", told)

    def _take_trailers(self, trailers: dict[str, str]) -> None:
        # No other trailer has a meaning, so whoever sends one expects what will not happen.
        name = f"x-amz-checksum-{self._trailer}" if self._trailer is not None else ""
        if list(trailers) != ([name] if name else []):
            raise S3Error(Code.MalformedTrailerError)
        if self._trailer is not None:
            digest = checksums.decode(self._trailer, trailers[name])
            if digest is None:
                raise S3Error(Code.InvalidRequest, f"Value for {name} trailing header is invalid.")
            self._checksum = (self._trailer, digest)


class _Bounded:
    """The first ``length`` bytes of a server's input, all for None, and an error where they end too early."""

    __slots__ = ("_left", "_take")

    def __init__(self, take: Take, length: int | None) -> None:
        self._take = take
        self._left = length

    def read(self, size: int) -> bytes:
        if self._left is None:
            return self._take(size)
        data = self._take(min(size, self._left)) if self._left else _EMPTY
        if self._left and not data:
            raise S3Error(Code.IncompleteBody)
        self._left -= len(data)
        return data


def _nothing(size: int) -> bytes:
    return _EMPTY


def _failure(error: Exception) -> S3Error:
    if isinstance(error, S3Error):
        return error
    # The server's own errors for a broken chunk or a lost connection have no common class.
    return S3Error(Code.RequestTimeout if isinstance(error, TimeoutError) else Code.IncompleteBody)


def _other_bytes(stated: bytes, found: bytes) -> S3Error:
    return S3Error(
        Code.XAmzContentSHA256Mismatch,
        ClientComputedContentSHA256=stated.hex(),
        S3ComputedContentSHA256=found.hex(),
    )


def too_large(size: int, limit: int) -> S3Error:
    """Return the answer to a body of ``size`` bytes where ``limit`` are allowed."""
    return S3Error(Code.EntityTooLarge, ProposedSize=size, MaxSizeAllowed=limit)
