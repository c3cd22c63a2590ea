"""The records that cross the boundaries between the floors, and nothing else.

Times are int milliseconds since the epoch, UTC. Sizes are ints in bytes. ETags are hex without
quotes. Keys are str: any valid S3 key is UTF-8, and Python orders str by code point, which is the
byte order of UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")

NULL_VERSION = "null"


@dataclass(slots=True)
class Identity:
    """Who is asking. ``account`` is empty for an anonymous request."""

    account: str
    access_key: str = ""
    display_name: str = ""


ANONYMOUS = Identity("")


@dataclass(slots=True)
class BucketInfo:
    """A bucket. ``owner`` is the account that created it."""

    name: str
    owner: str
    created: int


@dataclass(slots=True)
class ObjectRef:
    """Names one object version; ``version_id`` None is the current one, "null" the null version."""

    bucket: str
    key: str
    version_id: str | None = None


@dataclass(slots=True)
class ObjectMeta:
    """What the client says of an object.

    ``content_type`` None means that none was sent. ``system`` holds the stored standard headers by
    lower-case name (cache-control, content-disposition, content-encoding, content-language,
    expires). ``user`` holds x-amz-meta-* by the lower-case rest of the name. Values are the header
    bytes as latin-1 text, so what came in goes out.
    """

    content_type: str | None = None
    system: dict[str, str] = field(default_factory=dict)
    user: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class ObjectInfo:
    """An object version as stored.

    ``checksums`` maps an algorithm (crc32, ...) to base64, with ``-N`` behind it where ``checksum_type``
    is COMPOSITE. ``parts_count`` is 0 for an object that was not uploaded in parts.
    """

    key: str
    size: int
    etag: str
    last_modified: int
    meta: ObjectMeta
    checksums: dict[str, str]
    version_id: str = NULL_VERSION
    checksum_type: str = "FULL_OBJECT"
    parts_count: int = 0


@dataclass(slots=True)
class ObjectPart:
    """A part of an object that was uploaded in parts: its size in bytes, its checksums as base64."""

    part_number: int
    size: int
    checksums: dict[str, str]


@dataclass(slots=True)
class UploadRef:
    """Names one multipart upload; bucket and key must be its own."""

    bucket: str
    key: str
    upload_id: str


@dataclass(slots=True)
class UploadInfo:
    """A multipart upload under way.

    ``initiator`` is an account. ``checksum_algorithm`` None means that the client asked for none.
    """

    key: str
    upload_id: str
    initiated: int
    initiator: str
    meta: ObjectMeta
    checksum_algorithm: str | None = None
    checksum_type: str = "FULL_OBJECT"


@dataclass(slots=True)
class PartInfo:
    """An uploaded part. ``checksums`` as in ObjectInfo, empty for one that was copied."""

    part_number: int
    size: int
    etag: str
    last_modified: int
    checksums: dict[str, str]


@dataclass(slots=True)
class UploadQuery:
    """Which uploads to list: those after (``key_marker``, ``upload_id_marker``), exclusive.

    Without ``upload_id_marker`` all uploads of ``key_marker`` are passed over.
    """

    prefix: str = ""
    delimiter: str = ""
    key_marker: str = ""
    upload_id_marker: str = ""
    max_uploads: int = 1000


@dataclass(slots=True)
class ObjectStream:
    """An object being read: ``length`` bytes from offset ``start``, as ``chunks`` of bytes.

    ``chunks`` verifies each block just before it yields bytes of it, raises S3Error(InternalError)
    where the stored bytes are not those that were written, and may be closed at any time.
    """

    info: ObjectInfo
    start: int
    length: int
    chunks: Chunks


class Chunks(Protocol):
    """Bytes in order, with a ``close()`` that may be called at any time and more than once."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class Digests:
    """What a body hashed: ``md5`` in hex, ``checksums`` from algorithm to base64."""

    md5: str
    checksums: dict[str, str]


class Body(Protocol):
    """A request body, pulled. ``length`` is the declared size, None where none was declared."""

    length: int | None

    def read(self, size: int) -> bytes:
        """Return 1 to ``size`` bytes, or b"" at the end, once everything has been verified.

        Raises S3Error where the body is shorter than declared or a digest does not match; what
        was read must then be thrown away.
        """
        ...

    def also(self, algorithm: str) -> None:
        """Let the digests hold the checksum by ``algorithm`` too; before the first ``read``."""
        ...

    def hand_on(self) -> str | None:
        """Leave it to the storage behind to verify the SHA-256 that the client signed; return it in hex.

        The digests have no MD5 then unless the client stated one. None, and nothing changes, where the client
        signed none. Before the first ``read``.
        """
        ...

    @property
    def digests(self) -> Digests:
        """The digests of the whole body; only after ``read`` has returned b""."""
        ...


@dataclass(slots=True)
class Deleted:
    """The outcome of a delete."""

    version_id: str | None = None
    delete_marker: bool = False


@dataclass(slots=True)
class ListQuery:
    """What to list: keys after ``marker`` (exclusive) that begin with ``prefix``.

    With ``delimiter``, keys that hold it after the prefix are rolled up into common prefixes. Where
    ``marker`` is itself such a common prefix, all keys below it are passed over.
    """

    prefix: str = ""
    delimiter: str = ""
    marker: str = ""
    max_keys: int = 1000


@dataclass(slots=True)
class Page(Generic[T]):
    """One page of a listing: ``items`` and ``common_prefixes``, each in byte order.

    ``next_marker`` is the last key or common prefix of a truncated page, None otherwise.
    """

    items: list[T]
    common_prefixes: list[str]
    next_marker: str | None = None

    @property
    def is_truncated(self) -> bool:
        """Whether more follows."""
        return self.next_marker is not None


class ReadyChunks:
    """Chunks that are all at hand, as ``data``; ``close`` does nothing."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __iter__(self) -> Iterator[bytes]:
        return iter((self.data,) if self.data else ())

    def close(self) -> None:
        """Let go of nothing."""
