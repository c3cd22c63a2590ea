"""The keys of the buckets, in byte order, as listings want them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from threading import Lock
from typing import Annotated

import msgspec

from s3shim.backends.nats.failures import answered
from s3shim.backends.nats.format import all_meta, key_of_subject, meta_subject, read_entry, stream_of
from s3shim.backends.nats.jetstream import Stored
from s3shim.backends.nats.mirror import Mirror, Source
from s3shim.backends.nats.rows import LIVE, Rows, State
from s3shim.model import ListQuery, ObjectInfo, ObjectMeta, Page
from s3shim.names import MAX_KEY_BYTES
from s3shim.paging import list_page


class KeyRecord(msgspec.Struct, array_like=True, gc=False):
    """What a listing shows of an object, and the id of its chunks."""

    size: Annotated[int, msgspec.Meta(ge=0)]
    etag: str
    last_modified: int
    nuid: str
    checksums: dict[str, str] = {}
    checksum_type: str = "FULL_OBJECT"
    parts_count: int = 0

    def info(self, key: str) -> ObjectInfo:
        """Return the record as the model's, without what the client said of the object."""
        return ObjectInfo(
            key,
            self.size,
            self.etag,
            self.last_modified,
            ObjectMeta(),
            self.checksums,
            checksum_type=self.checksum_type,
            parts_count=self.parts_count,
        )


_decode = msgspec.msgpack.Decoder(KeyRecord).decode
_encode = msgspec.msgpack.Encoder().encode
_VALUE = slice(LIVE.size, None)


class Keys:
    """The metadata messages of a bucket; a Kind. A link to another object is a key like others."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket

    def name(self, subject: str) -> bytes:
        """Return the key; ValueError where no S3 client could ask for it by this subject."""
        key = key_of_subject(subject)
        name = key.encode()
        if not 0 < len(name) <= MAX_KEY_BYTES or b"\0" in name:
            raise ValueError("the key is none of S3's")
        if meta_subject(self._bucket, key) != subject:
            raise ValueError("the subject is not the key's")
        return name

    def subject(self, name: bytes) -> str:
        """Return the subject of a key's metadata."""
        return meta_subject(self._bucket, name.decode())

    def value(self, message: Stored) -> bytes | None:
        """Return the KeyRecord; ValueError where the metadata cannot be read."""
        try:
            entry = read_entry(message.data, message.seq, message.time)
            if entry.deleted:
                return None
            info = entry.info("")
            fields = (
                info.size,
                info.etag,
                info.last_modified,
                entry.nuid,
                info.checksums,
                info.checksum_type,
                info.parts_count,
            )
            return _encode(msgspec.convert(fields, KeyRecord))
        except (AttributeError, OverflowError, TypeError) as error:
            raise ValueError(str(error)) from None

    def salvage(self, message: Stored) -> bytes:
        """Return the id of the chunks, empty where it cannot be told."""
        try:
            return read_entry(message.data, message.seq, message.time).nuid.encode()
        except (ValueError, AttributeError, TypeError):
            return b""


class Index:
    """The keys of all buckets. Every method catches up first; raises NoSuchBucket and ServiceUnavailable."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._mirrors: dict[str, Mirror] = {}
        self._lock = Lock()

    def mirror(self, bucket: str) -> Mirror:
        """Return the mirror of a bucket's metadata."""
        with self._lock:
            mirror = self._mirrors.get(bucket)
            if mirror is None:
                mirror = Mirror(self._source, stream_of(bucket), all_meta(bucket), Keys(bucket))
                self._mirrors[bucket] = mirror
            return mirror

    def list_objects(self, bucket: str, query: ListQuery) -> Page[ObjectInfo]:
        """See Backend."""
        with answered(bucket):
            return self.mirror(bucket).look(lambda rows, state: list_page(partial(_seek, rows, state), query))

    def count(self, bucket: str) -> int:
        """Return how many objects there are."""
        with answered(bucket):
            return self.mirror(bucket).look(lambda rows, state: state.live)

    def keys_alive(self, bucket: str) -> bool:
        """Whether there is any object."""
        return self.count(bucket) > 0

    def nuids(self, bucket: str) -> set[str] | None:
        """Return the ids of the chunks of all objects, at one instant.

        Of those too that S3 does not list; None where there is one of which it cannot be told.
        """
        with answered(bucket):
            found = self.mirror(bucket).look(_nuids)
        return None if "" in found else found

    def forget(self, bucket: str, key: str, seq: int) -> None:
        """Drop a key whose message of this number the stream has no more, as its reader has found."""
        with answered(bucket):
            self.mirror(bucket).forget(key.encode(), seq)


def _seek(rows: Rows, state: State, start: str) -> Iterator[tuple[str, Callable[[str], ObjectInfo]]]:
    for name, value in rows.live(state, start.encode()):
        yield name.decode(), partial(_info, value)


def _nuids(rows: Rows, state: State) -> set[str]:
    known = {_decode(value[_VALUE]).nuid for _, value in rows.live(state)}
    # A link has no chunks, and whoever makes it need not give it an id.
    known.discard("")
    return known | {nuid.decode() for nuid in rows.odd(state)}


def _info(value: bytes, key: str) -> ObjectInfo:
    return _decode(value[_VALUE]).info(key)
