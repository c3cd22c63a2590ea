"""Request bodies for the contract suite: real digests, and on demand a failure or a length that lies."""

from __future__ import annotations

import hashlib
import zlib
from base64 import b64encode

from awscrt.checksums import crc32c, crc64nvme

from s3shim.backends.upstream.backend import UpstreamBackend
from s3shim.conditions import NO_CONDITIONS, Conditions
from s3shim.errors import S3Error
from s3shim.model import Body, Digests, ListQuery, ObjectInfo, ObjectMeta, ObjectRef

ACTUAL = -1

DIGESTS = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "crc32c": lambda data: crc32c(data).to_bytes(4, "big"),
    "crc64nvme": lambda data: crc64nvme(data).to_bytes(8, "big"),
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}


class BytesBody(Body):
    """``data``, read in pieces of at most ``piece`` bytes.

    ``length`` is the declared size, by default the real one. The read with the number ``fail_at`` (from 0)
    and all later ones raise ``error``. ``algorithm`` is that of the checksum among the digests, ``signed``
    whether the client signed the SHA-256.
    """

    def __init__(
        self,
        data: bytes,
        *,
        length: int | None = ACTUAL,
        piece: int = 1 << 30,
        fail_at: int | None = None,
        error: BaseException | None = None,
        algorithm: str = "crc32",
        signed: bool = False,
    ) -> None:
        self.length = len(data) if length == ACTUAL else length
        self.data = data
        self.offset = 0
        self.reads = 0
        self.piece = piece
        self.fail_at = fail_at
        self.error = error
        self.algorithm = algorithm
        self.ended = False
        self.signed = signed
        self.handed_on = False
        self.more: list[str] = []

    def also(self, algorithm: str) -> None:
        """See model.Body."""
        assert self.reads == 0
        self.more.append(algorithm)

    def hand_on(self):
        """See model.Body."""
        assert self.reads == 0
        self.handed_on = self.signed
        return hashlib.sha256(self.data).hexdigest() if self.signed else None

    def read(self, size: int) -> bytes:
        """See model.Body."""
        assert size > 0
        if self.error is not None and self.fail_at is not None and self.reads >= self.fail_at:
            raise self.error
        self.reads += 1
        part = self.data[self.offset : self.offset + min(size, self.piece)]
        self.offset += len(part)
        self.ended = not part
        return part

    @property
    def digests(self) -> Digests:
        """See model.Body."""
        assert self.ended, "the digests were asked for before the end"
        digests = digests_of(self.data, self.algorithm)
        if self.handed_on:
            digests.md5 = ""
        digests.checksums |= {algorithm: checksum(algorithm, self.data) for algorithm in self.more}
        return digests


class InterruptedBody(BytesBody):
    """A body that calls ``action`` in the midst of being read."""

    def __init__(self, data, action):
        super().__init__(data)
        self.action = action

    def read(self, size):
        """See model.Body."""
        if self.reads == 1:
            self.action()
        return super().read(size)


def checksum(algorithm: str, data: bytes) -> str:
    """Return the checksum of ``data`` in base64."""
    return b64encode(DIGESTS[algorithm](data)).decode()


def digests_of(data: bytes, algorithm: str = "crc32") -> Digests:
    """Return the digests that a body of ``data`` has."""
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return Digests(md5, {algorithm: checksum(algorithm, data)})


def put(backend, key, data=b"", *, bucket="bucket", meta=None, conditions=NO_CONDITIONS) -> ObjectInfo:
    """Put ``data``, or any Body, as an object."""
    body = BytesBody(data) if isinstance(data, bytes) else data
    return backend.put_object(ObjectRef(bucket, key), body, meta or ObjectMeta(), conditions)


def get(backend, key, byte_range=None, *, bucket="bucket", conditions: Conditions = NO_CONDITIONS) -> bytes:
    """Return the bytes of an object, or of a range of it."""
    stream = backend.get_object(ObjectRef(bucket, key), byte_range, conditions)
    try:
        data = b"".join(stream.chunks)
    finally:
        stream.chunks.close()
    assert len(data) == stream.length
    return data


def shown(info: ObjectInfo) -> tuple[str, int, str, int]:
    """Return what every listing shows of an object."""
    return info.key, info.size, info.etag, info.last_modified


def listed(backend, *, bucket="bucket") -> list[tuple[str, int, str, int]]:
    """Return what the first page of a listing shows.

    Over another S3 times are those of that one, which come a little later, and where that gives a copy an
    ETag of its own, this is listed.
    """
    items = backend.list_objects(bucket, ListQuery()).items
    if isinstance(backend, UpstreamBackend):
        for info in items:
            whole = backend.head_object(ObjectRef(bucket, info.key), NO_CONDITIONS)
            assert (
                whole.last_modified // 1000 <= info.last_modified // 1000 <= whole.last_modified // 1000 + 2
            )
            exact = not whole.parts_count or (backend.dialect.copy_keeps_etag and backend.dialect.empty_parts)
            assert info.etag == whole.etag or not exact
            info.etag, info.last_modified = whole.etag, whole.last_modified
    return [shown(info) for info in items]


def code_of(call, *args, **kwargs):
    """Return the code of the S3Error that the call raises, None where it returns."""
    try:
        call(*args, **kwargs)
    except S3Error as error:
        return error.code
    return None


def pattern(size: int, seed: int = 0) -> bytes:
    """Return ``size`` bytes in which the positions can be told apart."""
    words = (number * 2654435761 + seed & 0xFFFFFFFF for number in range(size // 4 + 1))
    return b"".join(word.to_bytes(4, "big") for word in words)[:size]
