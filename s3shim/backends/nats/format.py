"""The Object Store format of NATS, and how what S3 knows of an object is kept in it.

A bucket is the stream ``OBJ_<store>``; an object is one message on ``$O.<store>.M.<base64 of the key>``,
JSON, and its bytes are the messages on ``$O.<store>.C.<nuid>``. Content-Type and the other standard headers
are in ``headers``; x-amz-meta-* and tags are in ``metadata`` under the names that nats-s3 gives them. What
has no place there is in ``metadata`` under RECORD, as JSON, bound to the nuid: a client that replaces or
copies the object without knowing of it makes it void. Fields that we do not know are kept.

Source: ADR-20 (JetStream based Object Stores).
"""

from __future__ import annotations

import json
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

import msgspec

from s3shim.model import ObjectInfo, ObjectMeta, ObjectPart
from s3shim.names import is_bucket_name

STREAM_PREFIX = "OBJ_"
RECORD = "s3shim"
META_PREFIX = "x-amz-meta-"
TAG_PREFIX = "x-amz-tag-"
CHUNK_SIZE = 256 * 1024
"""Twice that of other clients, who read any size: each message costs the server a sync of its own."""
CHECKSUM_HEADER = "S3shim-Crc64nvme"
ZERO_TIME = "0001-01-01T00:00:00Z"

TABLE = 100
"""Parts of an object whose table is in its metadata."""

_DOT = "_2e"
_STORE = re.compile(r"[A-Za-z0-9_-]{1,250}", re.ASCII)
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SYSTEM = {
    "cache-control": "Cache-Control",
    "content-disposition": "Content-Disposition",
    "content-encoding": "Content-Encoding",
    "content-language": "Content-Language",
    "expires": "Expires",
}


def store_of(bucket: str) -> str:
    """Return the store's name: a store's has no dots, a bucket's no underscores."""
    return bucket.replace(".", _DOT)


def is_store_name(store: str) -> bool:
    """Whether NATS takes it for a name of a store, of a length that a stream's may have."""
    return _STORE.fullmatch(store) is not None


def bucket_of_stream(stream: str) -> str | None:
    """Return the bucket that a stream holds; None for a stream that is none of S3's."""
    if not stream.startswith(STREAM_PREFIX):
        return None
    bucket = stream.removeprefix(STREAM_PREFIX).replace(_DOT, ".")
    return bucket if is_bucket_name(bucket) else None


def stream_of(bucket: str) -> str:
    """Return the name of the stream that holds a bucket."""
    return STREAM_PREFIX + store_of(bucket)


def meta_subject(bucket: str, key: str) -> str:
    """Return the subject of an object's metadata."""
    return f"$O.{store_of(bucket)}.M.{urlsafe_b64encode(key.encode()).decode()}"


def all_meta(bucket: str) -> str:
    """Return the subject of all metadata of a bucket."""
    return f"$O.{store_of(bucket)}.M.>"


def all_chunks(bucket: str) -> str:
    """Return the subject of all chunks of a bucket."""
    return f"$O.{store_of(bucket)}.C.>"


def chunk_subject(bucket: str, nuid: str) -> str:
    """Return the subject of an object's chunks."""
    return f"$O.{store_of(bucket)}.C.{nuid}"


def key_of_subject(subject: str) -> str:
    """Return the key in the subject of an object's metadata. Raises ValueError where it is none."""
    return urlsafe_b64decode(subject.rpartition(".")[2].encode()).decode()


def new_nuid() -> str:
    """Return 22 random characters, as NATS's own ids are, from 128 random bits."""
    number = int.from_bytes(secrets.token_bytes(17), "big")
    digits = []
    for _ in range(22):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(digits)


@dataclass(slots=True)
class Entry:
    """An object's metadata as stored: ``raw`` is the JSON, ``seq`` the number of its message.

    ``time`` is the server's, in ms. ``record`` is ours, empty where the object is of another client.
    ``traceless``: it was removed, and there was no room for a tombstone.
    """

    raw: dict[str, Any]
    seq: int
    time: int
    record: dict[str, Any] = field(default_factory=dict)
    traceless: bool = False

    @property
    def deleted(self) -> bool:
        """Whether this says that there is no object."""
        return bool(self.raw.get("deleted"))

    @property
    def nuid(self) -> str:
        """The id under which the chunks are."""
        return str(self.raw.get("nuid", ""))

    @property
    def size(self) -> int:
        """The bytes of the object."""
        return int(self.raw.get("size", 0))

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return int(self.raw.get("chunks", 0))

    @property
    def digest(self) -> bytes | None:
        """The SHA-256 of the object, None where there is none."""
        name, _, value = str(self.raw.get("digest", "")).partition("=")
        if name != "SHA-256":
            return None
        try:
            return urlsafe_b64decode(value + "=" * (-len(value) % 4))
        except ValueError:
            return None

    @property
    def link(self) -> tuple[str, str] | None:
        """The (store, name) that this is a link to; the name is empty for a link to a store."""
        link = (self.raw.get("options") or {}).get("link")
        return (str(link.get("bucket", "")), str(link.get("name", ""))) if link else None

    @property
    def chunk_size(self) -> int:
        """The size of all chunks but the last, 0 where they may differ."""
        return int(self.record.get("chunk", 0))

    @property
    def parts(self) -> list[ObjectPart]:
        """The parts that it was uploaded in; those of more than TABLE are in messages of their own."""
        return parts_of(self.record.get("parts", ()))

    def info(self, key: str) -> ObjectInfo:
        """Return what S3 knows of the object. Another client's has its digest for an ETag."""
        record = self.record
        digest = str(self.raw.get("digest") or self.nuid)
        return ObjectInfo(
            key,
            self.size,
            record.get("etag") or digest,
            record.get("modified", self.time),
            _meta(self.raw, record),
            dict(record.get("sums", {})),
            checksum_type=record.get("kind", "FULL_OBJECT"),
            parts_count=int(record.get("count", 0)),
        )


def read_entry(data: bytes, seq: int, time: int) -> Entry:
    """Return the entry that a metadata message holds. Raises ValueError where it is not one."""
    raw = _parsed(data)
    if not isinstance(raw, dict):
        raise ValueError("the metadata is no JSON object")
    record: Any = {}
    try:
        record = _parsed((raw.get("metadata") or {}).get(RECORD, "{}"))
    except (ValueError, TypeError, AttributeError):
        record = {}
    if not isinstance(record, dict) or record.get("nuid") != raw.get("nuid"):
        record = {}
    return Entry(raw, seq, time, record)


def _parsed(text: bytes | str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        # Others may write what is not quite JSON, such as half of a surrogate pair.
        return json.loads(text)


@dataclass(slots=True)
class Content:
    """The stored bytes of an object: ``sha256`` is their digest, ``chunk`` the size of chunks but the last.

    ``first`` and ``last`` are the numbers of the first and of the last chunk's message, ``incarnation`` says
    which of the buckets of one name holds them.
    """

    incarnation: str
    nuid: str
    size: int
    chunks: int
    sha256: bytes
    chunk: int = CHUNK_SIZE
    first: int = 0
    last: int = 0


def write_entry(bucket: str, info: ObjectInfo, content: Content, parts: list[ObjectPart]) -> bytes:
    """Return the metadata message of a new object."""
    raw: dict[str, Any] = {
        "name": info.key,
        "options": {"max_chunk_size": content.chunk},
        "bucket": store_of(bucket),
        "nuid": content.nuid,
        "size": content.size,
        "mtime": ZERO_TIME,
        "chunks": content.chunks,
        "digest": f"SHA-256={urlsafe_b64encode(content.sha256).decode()}",
    }
    record: dict[str, Any] = {
        "nuid": content.nuid,
        "etag": info.etag,
        "modified": info.last_modified,
        "sums": info.checksums,
        "chunk": content.chunk,
        "first": content.first,
        "last": content.last,
    }
    if info.checksum_type != "FULL_OBJECT":
        record["kind"] = info.checksum_type
    if parts:
        record["count"] = len(parts)
        if len(parts) <= TABLE:
            record["parts"] = table_of(parts)
    put_meta(raw, record, info.meta)
    return _compact(raw)


def table_of(parts: list[ObjectPart]) -> list[Any]:
    """Return parts as JSON holds them."""
    return [[part.part_number, part.size, part.checksums] for part in parts]


def parts_of(table: Any) -> list[ObjectPart]:
    """Return the parts of a table."""
    return [ObjectPart(number, size, dict(sums)) for number, size, sums in table]


def with_tags(entry: Entry, tags: dict[str, str]) -> bytes:
    """Return the metadata message with other tags, and with everything else as it was."""
    raw = dict(entry.raw)
    raw["metadata"] = {
        name: value for name, value in (raw.get("metadata") or {}).items() if not name.startswith(TAG_PREFIX)
    }
    raw["metadata"].update({TAG_PREFIX + name: value for name, value in tags.items()})
    # The message's time moves, that of the object does not.
    return _with_record(entry, raw, {"modified": entry.time} | entry.record)


def with_last_modified(entry: Entry, last_modified: int) -> bytes:
    """Return the metadata message with another time of the object (ms) and nothing else changed."""
    raw = dict(entry.raw)
    raw["metadata"] = dict(raw.get("metadata") or {})
    return _with_record(entry, raw, entry.record | {"modified": last_modified})


def _with_record(entry: Entry, raw: dict[str, Any], record: dict[str, Any]) -> bytes:
    raw["metadata"][RECORD] = _compact({"nuid": entry.nuid} | record).decode()
    return _compact(raw)


def with_meta(entry: Entry, info: ObjectInfo) -> bytes:
    """Return the metadata message with other metadata and another time, and the bytes that it has."""
    raw = dict(entry.raw)
    for name in ("headers", "metadata"):
        raw.pop(name, None)
    record = dict(entry.record) | {"modified": info.last_modified}
    record.pop("exact", None)
    put_meta(raw, record, info.meta)
    return _compact(raw)


def tombstone(entry: Entry) -> bytes:
    """Return the metadata message that says that the object has been deleted, as other clients write it."""
    raw = dict(entry.raw) | {"deleted": True, "size": 0, "chunks": 0, "mtime": ZERO_TIME}
    for name in ("digest", "metadata", "headers"):
        raw.pop(name, None)
    return _compact(raw)


def put_meta(raw: dict[str, Any], record: dict[str, Any], meta: ObjectMeta) -> None:
    """Put what the client said of an object, and our record, where they belong."""
    headers = {_SYSTEM.get(name, name): [_text(value)] for name, value in meta.system.items()}
    if meta.content_type is not None:
        headers["Content-Type"] = [_text(meta.content_type)]
    if headers:
        raw["headers"] = headers
    metadata = {META_PREFIX + name: _text(value) for name, value in meta.user.items()}
    exact = {name: value for name, value in _flat(meta).items() if _bytes(_text(value)) != value}
    if exact:
        record["exact"] = exact
    metadata.update({TAG_PREFIX + name: value for name, value in meta.tags.items()})
    metadata[RECORD] = _compact(record).decode()
    raw["metadata"] = metadata


def _flat(meta: ObjectMeta) -> dict[str, str]:
    flat = {META_PREFIX + name: value for name, value in meta.user.items()} | meta.system
    if meta.content_type is not None:
        flat["content-type"] = meta.content_type
    return flat


def _meta(raw: dict[str, Any], record: dict[str, Any]) -> ObjectMeta:
    exact = record.get("exact", {})
    meta = ObjectMeta()

    def value_of(name: str, shown: str) -> str:
        kept = exact.get(name)
        return kept if kept is not None and _text(kept) == shown else _bytes(shown)

    for header, values in (raw.get("headers") or {}).items():
        shown = values[0] if isinstance(values, list) and values else values
        name = header.lower()
        if not isinstance(shown, str):
            continue
        if name == "content-type":
            meta.content_type = value_of(name, shown)
        elif name in _SYSTEM:
            meta.system[name] = value_of(name, shown)
    for name, shown in (raw.get("metadata") or {}).items():
        if not isinstance(shown, str):
            continue
        if name.lower().startswith(META_PREFIX):
            name = name.lower()
            meta.user[name.removeprefix(META_PREFIX)] = value_of(name, shown)
        elif name.startswith(TAG_PREFIX):
            meta.tags[name.removeprefix(TAG_PREFIX)] = shown
    return meta


def _text(value: str) -> str:
    """Return header bytes, which are latin-1 text inside the house, as the text that they mean."""
    return value.encode("latin-1", "replace").decode("utf-8", "replace")


def _bytes(text: str) -> str:
    """Return text as header bytes in latin-1, without what a header cannot hold."""
    shown = text.encode("utf-8", "replace").decode("latin-1")
    return "".join(" " if character < " " or character == "\x7f" else character for character in shown)


def _compact(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def seq_of(entry: Entry | None) -> int:
    """Return the number of an entry's message, 0 for none."""
    return 0 if entry is None else entry.seq


def info_of(entry: Entry | None, key: str) -> ObjectInfo | None:
    """Return what is to be held against conditions, None where there is no object."""
    return None if entry is None or entry.deleted else entry.info(key)
