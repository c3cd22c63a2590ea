"""Reading from a storage: bytes in pieces, hashed as they pass, and as bodies for another one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from s3shim import checksums
from s3shim.backends.base import Backend
from s3shim.errors import Code, S3Error
from s3shim.migrate.failures import CHANGED, Changed, Damaged, Unreadable
from s3shim.migrate.records import Known
from s3shim.model import Digests, ObjectRef, ObjectStream
from s3shim.ranges import ByteRange

Moved = Callable[[int], None]
"""Told of so many bytes more; may raise, and then nothing of the object is written."""


class Reader:
    """The bytes of an ObjectStream, None for no bytes, in pieces of any size.

    ``failure`` is what ended the reading before its time: whatever a storage makes of an error in a body that
    it was given, that is the cause.
    """

    __slots__ = ("_chunks", "_expected", "_hashers", "_moved", "_rest", "_stream", "failure")

    def __init__(self, stream: ObjectStream | None, moved: Moved) -> None:
        self._stream = stream
        self._chunks = iter(stream.chunks if stream is not None else ())
        self._moved = moved
        self._rest = memoryview(b"")
        self._expected: dict[str, str] = {}
        self._hashers: dict[str, checksums.Hasher] = {}
        self.failure: BaseException | None = None

    def take(self, size: int) -> bytes:
        """Return 1 to ``size`` bytes, b"" at the end. Raises S3Error, and what ``moved`` raises."""
        try:
            if not self._rest:
                chunk = next((chunk for chunk in self._chunks if chunk), b"")
                self._moved(len(chunk))
                for hasher in self._hashers.values():
                    hasher.update(chunk)
                if len(chunk) <= size:
                    return chunk
                self._rest = memoryview(chunk)
        except BaseException as error:
            self.failure = error
            raise
        piece, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return piece

    def watch(self, expected: dict[str, str], *more: str) -> None:
        """Hash all bytes from here on, by ``more`` too; ``check`` says whether they are the ``expected``."""
        self._expected = expected
        self._hashers = {algorithm: checksums.new(algorithm) for algorithm in [*expected, *more]}

    def digest(self, algorithm: str) -> str:
        """Return a checksum that is watched of the bytes so far."""
        return checksums.encode(self._hashers[algorithm].digest())

    def check(self) -> None:
        """Raise Damaged where the bytes that were taken are not those that ``watch`` was told of."""
        wrong = [algorithm for algorithm, value in self._expected.items() if self.digest(algorithm) != value]
        if wrong:
            raise Damaged(_mismatch(wrong))

    def damaged(self, what: str) -> S3Error:
        """Note what is wrong with the bytes; return the error for the storage that reads them."""
        self.failure = Damaged(what)
        return S3Error(Code.InternalError)

    def close(self) -> None:
        """Let the stream go."""
        if self._stream is not None:
            self._stream.chunks.close()


class CopiedBody:
    """The next ``length`` bytes of ``reader`` as a body; see model.Body.

    It has the checksums by ``algorithms``. Those that are in ``expected`` must be equal, the MD5 must be
    ``md5`` unless that is None: otherwise the last ``read`` raises, and ``reader.failure`` is Damaged.
    """

    __slots__ = ("_digests", "_expected", "_hashers", "_left", "_md5", "_md5_expected", "_reader", "length")

    def __init__(
        self,
        reader: Reader,
        length: int,
        algorithms: Iterable[str],
        expected: dict[str, str],
        md5: str | None = None,
    ) -> None:
        self.length: int | None = length
        self._left = length
        self._reader = reader
        self._hashers = {algorithm: checksums.new(algorithm) for algorithm in [*algorithms, *expected]}
        self._expected = expected
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._md5_expected = md5
        self._digests: Digests | None = None

    def also(self, algorithm: str) -> None:
        """See model.Body."""
        self._hashers.setdefault(algorithm, checksums.new(algorithm))

    def hand_on(self) -> None:
        """See model.Body: the source has signed nothing."""

    @property
    def digests(self) -> Digests:
        """See model.Body."""
        if self._digests is None:
            raise RuntimeError("the body has not been read to its end")
        return self._digests

    def read(self, size: int) -> bytes:
        """See model.Body."""
        if self._digests is not None:
            return b""
        if self._left:
            data = self._reader.take(min(size, self._left))
            if not data:
                raise self._reader.damaged(f"it ends {self._left:,} bytes before its size")
            self._left -= len(data)
            self._md5.update(data)
            for hasher in self._hashers.values():
                hasher.update(data)
            return data
        self._digests = self._finish()
        return b""

    def _finish(self) -> Digests:
        found = {name: checksums.encode(hasher.digest()) for name, hasher in self._hashers.items()}
        wrong = [name for name, value in self._expected.items() if found[name] != value]
        md5 = self._md5.hexdigest()
        if self._md5_expected not in (None, md5):
            wrong.append("md5")
        if wrong:
            raise self._reader.damaged(_mismatch(wrong))
        return Digests(md5, found)


@contextmanager
def reading(backend: Backend, ref: ObjectRef, known: Known, moved: Moved, start: int = 0) -> Iterator[Reader]:
    """Give the bytes of an object from ``start`` on. Raises Changed, Damaged, Unreadable."""
    if start and start == known.info.size:
        yield Reader(None, moved)
        return
    try:
        stream = backend.get_object(ref, ByteRange(start, None) if start else None, known.unchanged)
    except S3Error as error:
        if error.code in CHANGED:
            raise Changed from error
        raise _cause(error) from error
    reader = Reader(stream, moved)
    try:
        if not known.is_still(stream.info):
            raise Changed
        yield reader
    except Exception as error:
        # A storage may have made an error of its own of what the reading of its body ended with.
        if reader.failure is not None:
            raise _cause(reader.failure) from error
        raise
    finally:
        reader.close()


def _cause(failure: BaseException) -> BaseException:
    if not isinstance(failure, S3Error):
        return failure
    if failure.code is Code.InternalError:
        return Damaged("its bytes cannot be read")
    return Unreadable(failure)


def _mismatch(algorithms: list[str]) -> str:
    names = ["ETag" if algorithm == "md5" else algorithm for algorithm in algorithms]
    return f"its bytes do not have its {', '.join(names)}"
