"""Uploads under way and their parts, as JSON in the key-value bucket, where every gateway sees them.

``upload.<store>.<incarnation>.<upload id>`` is an upload, ``part.<upload id>.<number>`` a part of it, and
``done.<upload id>`` for a day what its completion was answered. The chunks of a part are in the bucket's own
stream under a nuid of the part's; the sweep takes none that a record names.
"""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import asdict, dataclass, field, fields
from threading import Lock
from typing import Any

from s3shim.backends.nats.format import Entry, store_of
from s3shim.model import ObjectInfo, ObjectMeta, PartInfo, UploadInfo

OPEN, COMPLETING, COMMITTING = "open", "completing", "committing"

_last_id = 0
_lock = Lock()


@dataclass(slots=True)
class PartRecord:
    """A part and where its chunks are."""

    part_number: int
    size: int
    etag: str
    last_modified: int
    checksums: dict[str, str]
    nuid: str
    chunk: int
    chunks: int
    first: int
    last: int

    def info(self) -> PartInfo:
        """Return the part as the model has it."""
        return PartInfo(self.part_number, self.size, self.etag, self.last_modified, self.checksums)

    def entry(self) -> Entry:
        """Return the part as if it were an object, to be read."""
        raw = {"nuid": self.nuid, "size": self.size, "chunks": self.chunks}
        record = {"chunk": self.chunk, "first": self.first, "last": self.last}
        return Entry(raw, 0, self.last_modified, record)

    def dump(self) -> bytes:
        """Return the value for the key-value bucket."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()


def load_part(value: bytes) -> PartRecord:
    """Return a part. Raises ValueError, TypeError."""
    return PartRecord(**json.loads(value))


@dataclass(slots=True)
class UploadRecord:
    """An upload. ``state`` is OPEN until somebody completes it.

    Then ``nuid`` is that of the object to be, ``beat`` when the one who does it last said so (ms), and in
    COMMITTING ``message`` is the metadata message in base64, ``expected`` the number of the one that it is to
    replace and ``outcome`` a Completed, so that another gateway can finish what was begun.
    """

    key: str
    upload_id: str
    initiated: int
    initiator: str
    meta: dict[str, Any]
    checksum_algorithm: str | None
    checksum_type: str
    state: str = OPEN
    nuid: str = ""
    beat: int = 0
    message: str = ""
    expected: int = 0
    outcome: str = ""
    seq: int = field(default=0, compare=False)

    def info(self) -> UploadInfo:
        """Return the upload as the model has it."""
        return UploadInfo(
            self.key,
            self.upload_id,
            self.initiated,
            self.initiator,
            ObjectMeta(**self.meta),
            self.checksum_algorithm,
            self.checksum_type,
        )

    def dump(self) -> bytes:
        """Return the value for the key-value bucket."""
        document = asdict(self)
        del document["seq"]
        return json.dumps(document, separators=(",", ":")).encode()


def load_upload(value: bytes, seq: int) -> UploadRecord:
    """Return an upload; ``seq`` is the number of its message. Raises ValueError, TypeError."""
    return UploadRecord(**json.loads(value), seq=seq)


def record_of(info: UploadInfo) -> UploadRecord:
    """Return the record of a new upload."""
    return UploadRecord(
        info.key,
        info.upload_id,
        info.initiated,
        info.initiator,
        asdict(info.meta),
        info.checksum_algorithm,
        info.checksum_type,
    )


@dataclass(slots=True)
class Completed:
    """What a completion was answered; ``incarnation`` is that of the bucket."""

    incarnation: str
    fingerprint: str
    info: dict[str, Any]

    def dump(self) -> bytes:
        """Return the value for the key-value bucket."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()

    def object_info(self) -> ObjectInfo:
        """Return the object."""
        known = {name: self.info[name] for name in (each.name for each in fields(ObjectInfo))}
        return ObjectInfo(**known | {"meta": ObjectMeta(**known["meta"])})


def load_completed(value: bytes) -> Completed:
    """Return the outcome of a completion. Raises ValueError, TypeError."""
    return Completed(**json.loads(value))


def new_upload_id() -> str:
    """Return an id of 128 random bits behind the time, later ones of a process above earlier ones."""
    global _last_id
    with _lock:
        _last_id = max(_last_id + 1, time.time_ns())
        return f"{_last_id:016x}{secrets.token_hex(16)}"


def is_upload_id(text: str) -> bool:
    """Whether ``new_upload_id`` may have made it."""
    return len(text) == 48 and all(character in "0123456789abcdef" for character in text)


def uploads_prefix(bucket: str, incarnation: str) -> str:
    """Return what the keys of a bucket's uploads begin with."""
    return f"upload.{store_of(bucket)}.{incarnation}."


def upload_key(bucket: str, incarnation: str, upload_id: str) -> str:
    """Return the key of an upload."""
    return uploads_prefix(bucket, incarnation) + upload_id


def parts_prefix(upload_id: str) -> str:
    """Return what the keys of an upload's parts begin with."""
    return f"part.{upload_id}."


def part_key(upload_id: str, part_number: int) -> str:
    """Return the key of a part; they sort by number."""
    return f"part.{upload_id}.{part_number:05d}"


def completed_key(upload_id: str) -> str:
    """Return the key of what a completion was answered."""
    return f"done.{upload_id}"
