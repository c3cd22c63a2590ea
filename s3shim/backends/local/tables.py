"""The tables of the index, as they are read (View) and changed (Edit) within a transaction.

buckets    name                                          BucketRecord
objects    bucket id, key, NUL, inverse sequence         ObjectRecord, the newest version first
layouts    sequence of an object                         Layout of one that was uploaded in parts
inline     extent id                                     the bytes of a small object or part
refs       extent id of a file                           how many extents name it
gc         due time (ms), sequence, extent id            a CRC only: unused since then, it may go when due
documents  bucket id, name                               bytes
state      name                                          counters, the identity of the store
uploads    bucket id, key, NUL, sequence                 UploadRecord
parts      sequence of an upload, part number            PartRecord
completed  sequence of an upload                         CompletedRecord
answered   time (ms), sequence of an upload              nothing: it was completed then
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import lmdb

from s3shim.backends.local.records import (
    AT_ONCE,
    BUCKET,
    COUNT,
    DOCUMENT,
    INLINE,
    KEY,
    LAYOUT,
    OBJECT,
    TEXT,
    BucketRecord,
    Damaged,
    Extent,
    Layout,
    ObjectRecord,
    damaged,
    key_stem,
    number,
    seal,
    seek_key,
    sequence_of,
    unseal,
    unseal_bucket,
    uses_of,
    version_key,
)
from s3shim.checksums import crc64nvme
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo, ObjectInfo

_LONGEST_NAME = 255
_SEQUENCE = b"sequence"
_UUID = b"uuid"


class Tables:
    """The handles of the tables."""

    def __init__(self, env: lmdb.Environment, *, create: bool) -> None:
        # Without a transaction of ours py-lmdb waits for the write lock with Python's own lock held.
        # A read transaction of ours would take the handles with it at its end.
        with nullcontext() if env.flags()["readonly"] else env.begin(write=True) as txn:

            def table(name: str) -> lmdb._Database:
                return env.open_db(name.encode(), txn=txn, create=create)

            self.answered = table("answered")
            self.buckets = table("buckets")
            self.completed = table("completed")
            self.documents = table("documents")
            self.gc = table("gc")
            self.inline = table("inline")
            self.layouts = table("layouts")
            self.objects = table("objects")
            self.parts = table("parts")
            self.refs = table("refs")
            self.state = table("state")
            self.uploads = table("uploads")


class View:
    """The index at one instant, within a read or write transaction."""

    __slots__ = ("tables", "txn")

    def __init__(self, txn: lmdb.Transaction[bytes], tables: Tables) -> None:
        self.txn = txn
        self.tables = tables

    def end(self) -> None:
        """Give the transaction up.

        LMDB's reader slot is free only once the transaction object is gone, and a View may live on in
        the frames of a traceback, so it lets go of it.
        """
        self.txn.abort()
        del self.txn

    def rows(self, table: lmdb._Database, stem: bytes, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield the rows of a table whose key begins with ``stem``, those from ``start`` on, in order.

        InternalError where their order is broken: in a damaged tree LMDB may go back and forth for ever.
        """
        least = max(stem, start)
        last = None
        with self.txn.cursor(table) as cursor:
            if cursor.set_range(least):
                for key, value in cursor:
                    if key < least or key == last:
                        raise damaged("order of rows: %r after %r", key, least)
                    if not key.startswith(stem):
                        return
                    yield key, value
                    least = last = key

    # -- buckets ------------------------------------------------------------------------------

    def bucket(self, name: str) -> BucketRecord:
        """Return a bucket's record, or raise NoSuchBucket."""
        key = name.encode()
        value = self.txn.get(key, db=self.tables.buckets) if 0 < len(key) <= _LONGEST_NAME else None
        if value is None:
            raise S3Error(Code.NoSuchBucket, BucketName=name)
        return unseal_bucket(key, value)

    def buckets(self) -> list[BucketInfo]:
        """Return all buckets in byte order."""
        rows = self.rows(self.tables.buckets, b"")
        return [unseal(key, value, BUCKET).info(key.decode()) for key, value in rows]

    def is_empty(self, bucket_id: int) -> bool:
        """Whether a bucket has no object version."""
        return next(self.rows(self.tables.objects, number(bucket_id)), None) is None

    # -- objects ------------------------------------------------------------------------------

    def current(self, bucket_id: int, key: str) -> ObjectRecord | None:
        """Return the newest version of ``key``, delete markers too, or None."""
        row = self._newest(bucket_id, key)
        return None if row is None else unseal(*row, OBJECT)

    def removable(self, bucket_id: int, key: str) -> ObjectRecord | None:
        """Return the newest version of ``key`` for its removal, or None.

        A damaged record can be removed too, but nobody knows what it held: that stays counted in refs.
        """
        row = self._newest(bucket_id, key)
        try:
            return None if row is None else unseal(*row, OBJECT)
        except Damaged:
            return ObjectRecord(sequence_of(row[0]), 0, "", 0, []) if row else None

    def _newest(self, bucket_id: int, key: str) -> tuple[bytes, bytes] | None:
        stem = key_stem(bucket_id, key)
        cursor = self.txn.cursor(self.tables.objects)
        found = cursor.set_range(stem) and cursor.key().startswith(stem)
        row = cursor.item() if found else None
        cursor.close()
        return row

    def seek(self, bucket_id: int, start: str) -> Iterator[tuple[str, Callable[[str], ObjectInfo]]]:
        """Yield the keys from ``start`` on whose newest version is an object; see paging.list_page."""
        previous = b""
        for found, value in self.rows(self.tables.objects, number(bucket_id), seek_key(bucket_id, start)):
            key = found[KEY]
            if key != previous:
                previous = key
                record = unseal(found, value, OBJECT)
                if not record.delete_marker:
                    yield key.decode(), record.info

    def layout(self, record: ObjectRecord) -> Layout:
        """Return the layout of a version, maybe without parts; raise InternalError where it is damaged."""
        if not record.parts_count:
            return Layout(record.extents, [])
        key = number(record.sequence)
        value = self.txn.get(key, db=self.tables.layouts)
        if value is None:
            raise damaged("layout of object version %d: missing", record.sequence)
        return unseal(key, value, LAYOUT)

    def inline_bytes(self, extent: Extent) -> bytes:
        """Return the bytes of an INLINE extent, verified; raise InternalError where they are damaged."""
        data = self.txn.get(extent.id, db=self.tables.inline)
        if data is None or len(data) != extent.length or crc64nvme(data) != extent.digest:
            raise damaged("inline bytes %s", extent.id.hex())
        return data

    # -- files --------------------------------------------------------------------------------

    def references(self, extent_id: bytes) -> int:
        """Return how many extents name a file."""
        value = self.txn.get(extent_id, db=self.tables.refs)
        return 0 if value is None else unseal(extent_id, value, COUNT)

    def referenced(self, first: bytes) -> Iterator[bytes]:
        """Yield the ids of the files in use whose id begins with ``first``."""
        for key, value in self.rows(self.tables.refs, first):
            unseal(key, value, COUNT)
            yield key

    def garbage(self, until: int) -> Iterator[tuple[bytes, int, bytes]]:
        """Yield (gc key, sequence, extent id) of what may go at ``until`` (ms), the first due first.

        The sequence is that of the change since which nothing uses the extent. Damaged rows are left out:
        what they seem to name may be in use.
        """
        limit = number(until + 1)
        for key, value in self.rows(self.tables.gc, b""):
            if key >= limit:
                return
            try:
                unseal(key, value, DOCUMENT)
            except Damaged:
                continue
            yield key, int.from_bytes(key[8:16], "big"), key[16:]

    # -- documents and state ------------------------------------------------------------------

    def document(self, bucket_id: int, name: str) -> bytes | None:
        """Return a document, or None."""
        key = number(bucket_id) + name.encode()
        value = self.txn.get(key, db=self.tables.documents)
        return None if value is None else unseal(key, value, DOCUMENT)

    def sequence(self) -> int:
        """Return the last number that next_sequence gave; raise InternalError where it is lost."""
        value = self.txn.get(_SEQUENCE, db=self.tables.state)
        if value is None:
            raise damaged("sequence: missing")  # to begin anew would give numbers in use
        return unseal(_SEQUENCE, value, COUNT)

    def uuid(self) -> str | None:
        """Return the identity of the store, None in a new one."""
        value = self.txn.get(_UUID, db=self.tables.state)
        return None if value is None else unseal(_UUID, value, TEXT)


class Edit(View):
    """A View that changes what it shows; ``changed`` says whether it has.

    All or nothing is for the caller: where one of its steps fails after a change, it aborts the transaction.
    """

    __slots__ = ("_removal", "changed")

    def __init__(self, txn: lmdb.Transaction[bytes], tables: Tables) -> None:
        super().__init__(txn, tables)
        self.changed = False
        self._removal = 0

    def put(self, key: bytes, value: bytes, table: lmdb._Database, *, append: bool = False) -> bool:
        """Keep ``value`` under ``key``; with ``append``, False where the key is not above all others."""
        self.changed = True
        return self.txn.put(key, value, db=table, append=append)

    def delete(self, key: bytes, table: lmdb._Database) -> None:
        """Remove what is under ``key``."""
        self.changed = True
        self.txn.delete(key, db=table)

    def next_sequence(self) -> int:
        """Return a number above all that were given before."""
        following = self.sequence() + 1
        self.put(_SEQUENCE, seal(_SEQUENCE, following), self.tables.state)
        return following

    def set_uuid(self, uuid: str) -> None:
        """Keep the identity of a new store, and begin to count."""
        if self.txn.get(_SEQUENCE, db=self.tables.state) is None:
            self.put(_SEQUENCE, seal(_SEQUENCE, 0), self.tables.state)
        self.put(_UUID, seal(_UUID, uuid), self.tables.state)

    def add_bucket(self, info: BucketInfo) -> None:
        """Keep a new bucket; BucketAlreadyOwnedByYou or BucketAlreadyExists where the name is taken."""
        key = info.name.encode()
        taken = self.txn.get(key, db=self.tables.buckets)
        if taken is not None:
            mine = unseal(key, taken, BUCKET).owner == info.owner
            code = Code.BucketAlreadyOwnedByYou if mine else Code.BucketAlreadyExists
            raise S3Error(code, BucketName=info.name)
        record = BucketRecord(self.next_sequence(), info.owner, info.created)
        self.put(key, seal(key, record), self.tables.buckets)

    def remove_bucket(self, name: str) -> None:
        """Remove an empty bucket and its documents; NoSuchBucket, BucketNotEmpty."""
        bucket = self.bucket(name)
        if not self.is_empty(bucket.id):
            raise S3Error(Code.BucketNotEmpty, BucketName=name)
        for key in [key for key, _ in self.rows(self.tables.documents, number(bucket.id))]:
            self.delete(key, self.tables.documents)
        self.delete(name.encode(), self.tables.buckets)

    def put_record(self, bucket_id: int, key: str, record: ObjectRecord) -> None:
        """Keep a version's record; its extents are counted by ``hold``."""
        lmdb_key = version_key(key_stem(bucket_id, key), record.sequence)
        self.put(lmdb_key, seal(lmdb_key, record), self.tables.objects)

    def replace(
        self, bucket_id: int, key: str, record: ObjectRecord, current: ObjectRecord | None, due: int
    ) -> None:
        """Keep a version's record, then remove the version ``current`` that it replaces."""
        self.put_record(bucket_id, key, record)
        if current is not None:
            self.remove_object(bucket_id, key, current, due)

    def put_layout(self, sequence: int, layout: Layout) -> None:
        """Keep the layout of the version ``sequence``; its extents are counted by ``hold``."""
        key = number(sequence)
        self.put(key, seal(key, layout), self.tables.layouts)

    def add_inline(self, sequence: int, data: bytes, digest: int) -> Extent:
        """Keep bytes under a new sequence number and return their extent."""
        key = number(sequence)
        if not self.put(key, data, self.tables.inline, append=True):
            raise damaged("sequence %d: the inline table is ahead of it", sequence)
        return Extent(INLINE, key, len(data), digest)

    def remove_object(self, bucket_id: int, key: str, record: ObjectRecord, due: int) -> None:
        """Remove a version and release its extents; what a damaged layout names stays counted."""
        try:
            extents = self.layout(record).extents
        except Damaged:
            extents = []
        self.release(extents, due)
        self.drop_rows(bucket_id, key, record)

    def drop_rows(self, bucket_id: int, key: str, record: ObjectRecord) -> None:
        """Remove the rows of a version; what it is made of is released before, or another's now."""
        self.delete(version_key(key_stem(bucket_id, key), record.sequence), self.tables.objects)
        if record.parts_count:
            self.delete(number(record.sequence), self.tables.layouts)

    def hold(self, extents: list[Extent], least: int = 0) -> None:
        """Count files as used by these extents too; InternalError where one had fewer uses than ``least``."""
        for extent_id, uses in uses_of(extents).items():
            count = self._counted(extent_id, least) + uses
            self.put(extent_id, seal(extent_id, count), self.tables.refs)

    def release(self, extents: list[Extent], due: int) -> None:
        """Let extents go; what nothing uses any more may be unlinked at ``due`` (ms).

        Inline bytes go at once where every reader has copied them before it began to answer. A file whose
        count is damaged stays: something else may use it.
        """
        for extent_id, uses in uses_of(extents).items():
            try:
                count = self._counted(extent_id, uses) - uses
            except Damaged:
                continue
            if count > 0:
                self.put(extent_id, seal(extent_id, count), self.tables.refs)
            else:
                self.delete(extent_id, self.tables.refs)
                self._discard(extent_id, due)
        for extent in extents:
            if extent.kind == INLINE:
                if len(extents) <= AT_ONCE:
                    self.delete(extent.id, self.tables.inline)
                else:
                    self._discard(extent.id, due)

    def _counted(self, extent_id: bytes, least: int) -> int:
        count = self.references(extent_id)
        if count < least:
            raise damaged("references of file %s: %d, not %d", extent_id.hex(), count, least)
        return count

    def _discard(self, extent_id: bytes, due: int) -> None:
        # One sequence number for all that a change removes. A reader that knew a number below it may
        # still read what is removed.
        self._removal = self._removal or self.next_sequence()
        key = number(due) + number(self._removal) + extent_id
        self.put(key, seal(key, b""), self.tables.gc)

    def forget_garbage(self, gc_keys: list[bytes]) -> None:
        """Remove rows of the gc table whose files are gone, and inline bytes with theirs."""
        for key in gc_keys:
            self.delete(key, self.tables.gc)
            if is_inline(key[16:]):
                self.delete(key[16:], self.tables.inline)

    def put_document(self, bucket_id: int, name: str, document: bytes | None) -> None:
        """Keep a document; None removes it."""
        key = number(bucket_id) + name.encode()
        if document is None:
            self.delete(key, self.tables.documents)
        else:
            self.put(key, seal(key, document), self.tables.documents)


def is_inline(extent_id: bytes) -> bool:
    """Whether an extent id is that of inline bytes, a sequence number, and not that of a file."""
    return len(extent_id) == 8
