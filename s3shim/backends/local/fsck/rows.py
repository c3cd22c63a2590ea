"""The rows of all tables: each for itself, and those that must fit each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from s3shim.backends.local.fsck.contents import Contents
from s3shim.backends.local.fsck.extents import Extents
from s3shim.backends.local.fsck.report import Report
from s3shim.backends.local.fsck.tally import Tally
from s3shim.backends.local.records import (
    BUCKET,
    COMPLETED,
    COUNT,
    DOCUMENT,
    LAYOUT,
    OBJECT,
    PART,
    TEXT,
    UPLOAD,
    Damaged,
    Layout,
    ObjectRecord,
    number,
    unseal,
)
from s3shim.backends.local.tables import View, is_inline
from s3shim.errors import S3Error
from s3shim.names import check_key, shown

R = TypeVar("R")

MAX_PARTS = 10_000
_ETAG = re.compile(r"[0-9a-f]{32}(-[1-9][0-9]{0,4})?", re.ASCII)
_LARGEST = (1 << 64) - 1
_NUMBER = 8


class Rows:
    """Walks the tables once. ``contents`` reads what they name too, None for the rows alone."""

    def __init__(
        self,
        view: View,
        identity: str,
        report: Report,
        extents: Extents,
        contents: Contents | None = None,
        *,
        exact: bool = False,
    ) -> None:
        self._view = view
        self._identity = identity
        self._report = report
        self._extents = extents
        self._contents = contents
        self._buckets: dict[int, str] = {}
        self._buckets_unread = False
        self._uploads: set[int] = set()
        self._unread_refs: set[bytes] = set()
        self._sequence = _LARGEST
        self.layouts = Tally(exact=exact)
        self.waiting: set[bytes] = set()

    def walk(self) -> None:
        """Check every row."""
        self._walk_state()
        self._walk_buckets()
        self._walk_documents()
        self._walk_objects()
        self._walk_layouts()
        self._walk_uploads()
        self._walk_parts()
        self._walk_completed()
        self._walk_answered()
        self._walk_gc()
        self._walk_inline()
        self._walk_refs()

    @property
    def agree(self) -> bool:
        """Whether layouts, files and inline bytes are those that are needed."""
        return self.layouts.agrees and self._extents.refs.agrees and self._extents.inline.agrees

    def tell_differences(self, report: Report) -> None:
        """After an exact walk: tell which rows nothing needs or are counted wrongly.

        What is missing was told with the row that needs it. Where such rows cannot be read, a row that
        seems to be superfluous may be theirs, and is not told.
        """
        blind = self._extents.blind
        for key, needed, found in self.layouts.differences():
            if found > needed and not blind:
                report.problem(f"layout of object version {_sequence(key)}: belongs to no object")
        for key, needed, found in self._extents.inline.differences():
            if needed > found > 0:
                report.problem(f"inline bytes {key.hex()}: used {needed} times")
            elif found > needed and not blind:
                report.problem(f"inline bytes {key.hex()}: nothing uses them")
        for key, needed, found in self._extents.refs.differences():
            if key not in self._unread_refs and (needed > found or not blind):
                report.problem(f"file {key.hex()}: {needed} extents name it, refs says {found}")

    # -- state, buckets, documents ------------------------------------------------------------

    def _walk_state(self) -> None:
        found = dict(self._rows("state"))
        sequence, identity = found.pop(b"sequence", None), found.pop(b"uuid", None)
        if sequence is None:
            self._report.problem("state sequence: missing")
        else:
            last = self._unseal("state sequence", b"sequence", sequence, COUNT)
            self._sequence = _LARGEST if last is None else last
        if identity is None:
            self._report.problem("state uuid: missing")
        else:
            uuid = self._unseal("state uuid", b"uuid", identity, TEXT)
            if uuid not in (None, self._identity):
                self._report.problem(f"VERSION is that of store {self._identity}, the index of {uuid}")
        for key in found:
            self._report.problem(f"state {shown(key)}: unknown")

    def _walk_buckets(self) -> None:
        for key, value in self._rows("buckets"):
            label = f"bucket {shown(key)}"
            self._report.count("buckets")
            record = self._unseal(label, key, value, BUCKET)
            if record is None:
                self._buckets_unread = True
                continue
            self._check_sequence(label, record.id)
            if record.id in self._buckets:
                self._report.problem(f"{label}: has the id of bucket {self._buckets[record.id]}")
            self._buckets[record.id] = shown(key)

    def _walk_documents(self) -> None:
        for key, value in self._rows("documents"):
            label = f"document {self._named(key[:_NUMBER])}/{shown(key[_NUMBER:])}"
            self._report.count("documents")
            self._check_bucket(label, key[:_NUMBER])
            self._unseal(label, key, value, DOCUMENT)

    # -- objects ------------------------------------------------------------------------------

    def _walk_objects(self) -> None:
        previous = b""
        for key, value in self._rows("objects"):
            label = f"object {self._named(key[:_NUMBER])}/{shown(key[_NUMBER:-9])}"
            self._report.count("objects")
            self._check_key(label, key)
            record = self._unseal(label, key, value, OBJECT)
            if record is None:
                self._extents.blind = True
                continue
            if record.sequence != _LARGEST - _sequence(key[-_NUMBER:]):
                self._report.problem(f"{label}: its record is that of version {record.sequence}")
            # Versions of one key follow each other, and without versioning there is one.
            if key[:-_NUMBER] == previous:
                self._report.problem(f"{label}: has more than one version")
            previous = key[:-_NUMBER]
            self._check_object(label, record)

    def _check_object(self, label: str, record: ObjectRecord) -> None:
        self._check_sequence(label, record.sequence)
        self._check_etag(label, record.etag)
        layout = None
        extents = record.extents
        if record.parts_count:
            layout = self._layout(label, record)
            if layout is None:
                self._extents.blind = True
                return
            extents = layout.extents
        self._report.count("bytes", record.size)
        if self._extents.check(label, extents, record.size) and self._contents is not None:
            self._contents.check_object(label, record, layout, extents)

    def _layout(self, label: str, record: ObjectRecord) -> Layout | None:
        key = number(record.sequence)
        self.layouts.expect(key)
        value = self._view.txn.get(key, db=self._view.tables.layouts)
        if value is None:
            self._report.problem(f"{label}: its layout is missing")
            return None
        layout = self._unseal(f"{label}: layout", key, value, LAYOUT)
        if layout is not None:
            numbers = [part.part_number for part in layout.parts]
            sizes = [part.size for part in layout.parts]
            if (
                record.extents
                or len(numbers) != record.parts_count
                or sorted(set(numbers)) != numbers
                or not 1 <= numbers[0] <= numbers[-1] <= MAX_PARTS
                or min(sizes) < 0
                or sum(sizes) != record.size
            ):
                self._report.problem(f"{label}: its parts do not make it")
        return layout

    def _walk_layouts(self) -> None:
        for key, _ in self._rows("layouts"):
            self.layouts.find(key)

    # -- uploads ------------------------------------------------------------------------------

    def _walk_uploads(self) -> None:
        for key, value in self._rows("uploads"):
            label = (
                f"upload {_sequence(key[-_NUMBER:])} of {self._named(key[:_NUMBER])}/{shown(key[_NUMBER:-9])}"
            )
            self._report.count("uploads")
            self._check_key(label, key)
            sequence = _sequence(key[-_NUMBER:])
            self._check_sequence(label, sequence)
            if sequence in self._uploads:
                self._report.problem(f"{label}: its number is that of another upload")
            self._uploads.add(sequence)
            self._unseal(label, key, value, UPLOAD)

    def _walk_parts(self) -> None:
        for key, value in self._rows("parts"):
            upload, part_number = _sequence(key[:_NUMBER]), int.from_bytes(key[_NUMBER:], "big")
            label = f"part {part_number} of upload {upload}"
            self._report.count("parts")
            if len(key) != _NUMBER + 2 or not 1 <= part_number <= MAX_PARTS:
                self._report.problem(f"{label}: no part number")
            if upload not in self._uploads:
                self._report.problem(f"{label}: there is no such upload")
            record = self._unseal(label, key, value, PART)
            if record is None:
                self._extents.blind = True
                continue
            self._check_etag(label, record.etag)
            self._report.count("bytes", record.size)
            if self._extents.check(label, record.extents, record.size) and self._contents is not None:
                self._contents.check_part(label, record)

    def _walk_completed(self) -> None:
        for key, value in self._rows("completed"):
            label = f"completed upload {_sequence(key)}"
            self._report.count("completed uploads")
            self._check_sequence(label, _sequence(key))
            if _sequence(key) in self._uploads:
                self._report.problem(f"{label}: it is under way too")
            record = self._unseal(label, key, value, COMPLETED)
            if record is None:
                continue
            answered = number(record.record.last_modified) + key
            if self._view.txn.get(answered, db=self._view.tables.answered) is None:
                self._report.problem(f"{label}: nothing says when it may be forgotten")

    def _walk_answered(self) -> None:
        previous: set[bytes] = set()
        for key, _ in self._rows("answered"):
            upload = key[_NUMBER:]
            if self._view.txn.get(upload or b"\0", db=self._view.tables.completed) is None:
                self._report.problem(f"answered {key.hex()}: no such upload was completed")
            elif upload in previous:
                self._report.problem(f"answered {key.hex()}: the upload was completed at another time too")
            previous.add(upload)

    # -- bytes --------------------------------------------------------------------------------

    def _walk_gc(self) -> None:
        tables = self._view.tables
        for key, value in self._rows("gc"):
            extent_id = key[2 * _NUMBER :]
            label = f"gc of {extent_id.hex()}"
            self._unseal(label, key, value, DOCUMENT)
            self._check_sequence(label, _sequence(key[_NUMBER : 2 * _NUMBER]))
            if len(extent_id) not in (_NUMBER, 2 * _NUMBER):
                self._report.problem(f"gc {key.hex()}: names nothing")
                continue
            if extent_id in self.waiting:
                self._report.problem(f"{label}: it is there twice")
            self.waiting.add(extent_id)
            if is_inline(extent_id):
                self._extents.inline.expect(extent_id)
                if self._view.txn.get(extent_id, db=tables.inline) is None:
                    self._report.problem(f"{label}: there are no such inline bytes")
            elif self._view.txn.get(extent_id, db=tables.refs) is not None:
                self._report.problem(f"{label}: the file is in use")

    def _walk_inline(self) -> None:
        for key, value in self._rows("inline"):
            self._report.count("inline")
            self._extents.inline.find(key)
            if len(key) != _NUMBER or not value:
                self._report.problem(f"inline bytes {key.hex()}: make no sense")
            else:
                self._check_sequence(f"inline bytes {key.hex()}", _sequence(key))

    def _walk_refs(self) -> None:
        for key, value in self._rows("refs"):
            self._report.count("files")
            count = self._unseal(f"refs of file {key.hex()}", key, value, COUNT)
            if count is None:
                self._unread_refs.add(key)
            else:
                self._extents.refs.find(key, count)

    # -- what many rows have ------------------------------------------------------------------

    def _rows(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        rows = getattr(self._view.tables, table)
        try:
            for key, value in self._view.rows(rows, b""):
                # A damaged page above the rows leads whoever looks for one astray, and not whoever walks.
                if self._view.txn.get(key, db=rows) != value:
                    self._report.problem(f"{table} {shown(key)}: is not found by its key")
                yield key, value
        except Damaged as error:
            self._extents.blind = True
            self._report.problem(f"{table}: {error.what}")

    def _unseal(self, label: str, key: bytes, value: bytes, decoder: msgspec.msgpack.Decoder[R]) -> R | None:
        try:
            return unseal(key, value, decoder)
        except Damaged as error:
            self._report.problem(f"{label}: {error.what.rpartition(': ')[2]}")
            return None

    def _named(self, bucket_id: bytes) -> str:
        return self._buckets.get(_sequence(bucket_id)) or f"#{_sequence(bucket_id)}"

    def _check_bucket(self, label: str, bucket_id: bytes) -> None:
        if _sequence(bucket_id) not in self._buckets and not self._buckets_unread:
            self._report.problem(f"{label}: there is no such bucket")

    def _check_key(self, label: str, key: bytes) -> None:
        self._check_bucket(label, key[:_NUMBER])
        try:
            name = key[_NUMBER:-9].decode()
            check_key(name)
            sound = bool(name) and key[-9] == 0
        except (UnicodeDecodeError, S3Error):
            sound = False
        if not sound:
            self._report.problem(f"{label}: not a key")

    def _check_sequence(self, label: str, sequence: int) -> None:
        if not 0 < sequence <= self._sequence:
            self._report.problem(
                f"{label}: number {sequence} was never given, the last one is {self._sequence}"
            )

    def _check_etag(self, label: str, etag: str) -> None:
        if not _ETAG.fullmatch(etag):
            self._report.problem(f"{label}: {shown(etag)} is not an ETag")


def _sequence(key: bytes) -> int:
    return int.from_bytes(key, "big")
