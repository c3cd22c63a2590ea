"""The rows of multipart uploads in the index: uploads, parts, and what completed ones were answered.

An upload's id is its sequence number and 16 random bytes, in hex: it sorts by initiation and cannot be
guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hmac import compare_digest

from s3shim.backends.local.records import (
    COMPLETED,
    PART,
    UPLOAD,
    CompletedRecord,
    Damaged,
    Extent,
    PartRecord,
    UploadRecord,
    key_of,
    key_stem,
    number,
    seal,
    seek_key,
    unseal,
)
from s3shim.backends.local.tables import Edit, View
from s3shim.errors import Code, S3Error
from s3shim.model import UploadInfo, UploadRef
from s3shim.paging import upload_position

_ID = re.compile(r"([0-9a-f]{16})([0-9a-f]{32})", re.ASCII)
_SEQUENCE_DIGITS = 16


@dataclass(slots=True)
class Upload:
    """An upload as found: its LMDB key, its sequence number, its bucket's id, its record."""

    key: bytes
    sequence: int
    bucket_id: int
    record: UploadRecord


def upload_id_of(sequence: int, nonce: bytes) -> str:
    """Return the id of an upload."""
    return f"{sequence:016x}{nonce.hex()}"


def parse_id(ref: UploadRef) -> tuple[int, bytes]:
    """Return the sequence number and the nonce in an upload id, or raise NoSuchUpload."""
    match = _ID.fullmatch(ref.upload_id)
    if match is None:
        raise no_such_upload(ref)
    return int(match[1], 16), bytes.fromhex(match[2])


def no_such_upload(ref: UploadRef) -> S3Error:
    """Return the error for an id that names no upload of this bucket and key."""
    return S3Error(Code.NoSuchUpload, UploadId=ref.upload_id[:100])


# -- uploads ----------------------------------------------------------------------------------


def find(view: View, ref: UploadRef) -> Upload:
    """Return an upload under way; NoSuchBucket, NoSuchUpload."""
    upload = look(view, ref)
    if upload is None:
        raise no_such_upload(ref)
    return upload


def look(view: View, ref: UploadRef) -> Upload | None:
    """Return an upload under way, None where there is none; NoSuchBucket, NoSuchUpload for a strange id."""
    bucket_id = view.bucket(ref.bucket).id
    sequence, nonce = parse_id(ref)
    key = key_stem(bucket_id, ref.key) + number(sequence)
    value = view.txn.get(key, db=view.tables.uploads)
    if value is None:
        return None
    record = unseal(key, value, UPLOAD)
    return Upload(key, sequence, bucket_id, record) if compare_digest(record.nonce, nonce) else None


def removable(view: View, ref: UploadRef) -> bytes:
    """Return the LMDB key of an upload under way, be its record damaged; NoSuchBucket, NoSuchUpload."""
    try:
        return find(view, ref).key
    except Damaged:
        return key_stem(view.bucket(ref.bucket).id, ref.key) + number(parse_id(ref)[0])


def put(edit: Edit, bucket_id: int, key: str, sequence: int, record: UploadRecord) -> None:
    """Keep a new upload."""
    lmdb_key = key_stem(bucket_id, key) + number(sequence)
    edit.put(lmdb_key, seal(lmdb_key, record), edit.tables.uploads)


def exists(view: View, key: bytes) -> bool:
    """Whether the upload with this LMDB key is under way."""
    return view.txn.get(key, db=view.tables.uploads) is not None


def initiated(view: View, before: int) -> list[bytes]:
    """Return the LMDB keys of the uploads that were initiated before a time (ms), but for damaged ones."""
    found = []
    for key, value in view.rows(view.tables.uploads, b""):
        with suppress(S3Error):
            if unseal(key, value, UPLOAD).initiated < before:
                found.append(key)
    return found


def seek(view: View, bucket_id: int, start: str) -> Iterator[tuple[str, Callable[[str], UploadInfo]]]:
    """Yield the positions of a bucket's uploads from ``start`` on; see paging.list_uploads_page."""
    for found, value in view.rows(view.tables.uploads, number(bucket_id), _seek_start(bucket_id, start)):
        record = unseal(found, value, UPLOAD)
        upload_id = upload_id_of(int.from_bytes(found[-8:], "big"), record.nonce)
        position = upload_position(key_of(found).decode(), upload_id)
        if position >= start:
            yield position, partial(_info, record)


def _info(record: UploadRecord, position: str) -> UploadInfo:
    key, _, upload_id = position.partition("\0")
    return record.info(key, upload_id)


def _seek_start(bucket_id: int, start: str) -> bytes:
    # A row at or before the first that is wanted. What follows the NUL may be any text of a client.
    key, nul, upload_id = start.partition("\0")
    if not nul:
        return number(bucket_id) + key.encode()
    digits = upload_id[:_SEQUENCE_DIGITS]
    if upload_id > "g":
        return seek_key(bucket_id, start)
    if re.fullmatch("[0-9a-f]{16}", digits):
        return key_stem(bucket_id, key) + number(int(digits, 16))
    return key_stem(bucket_id, key)


def remove_all(edit: Edit, bucket_id: int, due: int) -> None:
    """Remove all uploads of a bucket; the files of their parts may be unlinked at ``due`` (ms)."""
    for key in [key for key, _ in edit.rows(edit.tables.uploads, number(bucket_id))]:
        remove(edit, key, due)


def remove(edit: Edit, key: bytes, due: int) -> None:
    """Remove an upload and its parts, damaged ones too; their files may be unlinked at ``due`` (ms)."""
    for part_key, value in list(edit.rows(edit.tables.parts, key[-8:])):
        edit.release(_extents(part_key, value), due)
        edit.delete(part_key, edit.tables.parts)
    edit.delete(key, edit.tables.uploads)


# -- parts ------------------------------------------------------------------------------------


def parts(view: View, sequence: int, above: int = 0) -> Iterator[tuple[int, PartRecord]]:
    """Yield (part number, record) of an upload's parts above a number, ascending."""
    start = _part_key(sequence, min(above + 1, 0xFFFF))
    for key, value in view.rows(view.tables.parts, number(sequence), start):
        yield int.from_bytes(key[8:], "big"), unseal(key, value, PART)


def part(view: View, sequence: int, part_number: int) -> PartRecord | None:
    """Return a part, or None."""
    key = _part_key(sequence, part_number)
    value = view.txn.get(key, db=view.tables.parts)
    return None if value is None else unseal(key, value, PART)


def replace_part(edit: Edit, sequence: int, part_number: int, record: PartRecord, due: int) -> None:
    """Keep a part, whose extents have been counted, in place of the one with its number."""
    key = _part_key(sequence, part_number)
    previous = edit.txn.get(key, db=edit.tables.parts)
    edit.put(key, seal(key, record), edit.tables.parts)
    if previous is not None:
        edit.release(_extents(key, previous), due)


def forget_upload(edit: Edit, key: bytes, part_numbers: list[int]) -> None:
    """Remove the rows of an upload whose parts have become an object's or have been released."""
    sequence = int.from_bytes(key[-8:], "big")
    for part_number in part_numbers:
        edit.delete(_part_key(sequence, part_number), edit.tables.parts)
    edit.delete(key, edit.tables.uploads)


def _extents(key: bytes, value: bytes) -> list[Extent]:
    # Nobody knows what a damaged part held: that stays counted in refs.
    try:
        return unseal(key, value, PART).extents
    except Damaged:
        return []


def _part_key(sequence: int, part_number: int) -> bytes:
    return number(sequence) + part_number.to_bytes(2, "big")


# -- completed --------------------------------------------------------------------------------


def completed(view: View, sequence: int) -> CompletedRecord | None:
    """Return what is known of an upload that was completed, or None."""
    key = number(sequence)
    value = view.txn.get(key, db=view.tables.completed)
    return None if value is None else unseal(key, value, COMPLETED)


def put_completed(edit: Edit, sequence: int, time: int, record: CompletedRecord) -> None:
    """Keep what an upload that was completed at ``time`` (ms) was answered."""
    key = number(sequence)
    edit.put(key, seal(key, record), edit.tables.completed)
    edit.put(number(time) + key, b"", edit.tables.answered)


def answered(view: View, before: int) -> Iterator[bytes]:
    """Yield the keys of the table of that name for the uploads completed before a time (ms)."""
    limit = number(max(before, 0))
    for key, _ in view.rows(view.tables.answered, b""):
        if key >= limit:
            return
        yield key


def forget(edit: Edit, keys: list[bytes]) -> None:
    """Forget what was answered, by the keys that ``answered`` gave."""
    for key in keys:
        edit.delete(key, edit.tables.answered)
        edit.delete(key[8:], edit.tables.completed)
