"""The tables of the index, as they are read (View) and changed (Edit) within a transaction.

buckets    name                                          BucketRecord
objects    bucket id, key, NUL, inverse sequence         ObjectRecord, the newest version first
layouts    sequence of an object                         Layout of one that was uploaded in parts
inline     extent id                                     the bytes of a small object or part
refs       extent id of a file                           how many extents name it
gc         due time (ms), sequence, extent id            nothing: unused since then, it may go when due
documents  bucket id, name                               bytes
state      name                                          counters, the identity of the store
uploads    bucket id, key, NUL, sequence                 UploadRecord
parts      sequence of an upload, part number            PartRecord
completed  sequence of an upload                         CompletedRecord
answered   time (ms), sequence of an upload              nothing: it was completed then
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import lmdb

from s3shim.backends.local.records import (
    AT_ONCE,
    BUCKET,
    COUNT,
    DOCUMENT,
    FILE,
    INLINE,
    LAYOUT,
    OBJECT,
    TEXT,
    BucketRecord,
    Extent,
    Layout,
    ObjectRecord,
    damaged,
    key_of,
    key_stem,
    number,
    seal,
    seek_key,
    unseal,
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

    __slots__ = (
        "answered",
        "buckets",
        "completed",
        "documents",
        "gc",
        "inline",
        "layouts",
        "objects",
        "parts",
        "refs",
        "state",
        "uploads",
    )

    def __init__(self, env: lmdb.Environment, *, create: bool) -> None:
        self.answered = env.open_db(b"answered", create=create)
        self.buckets = env.open_db(b"buckets", create=create)
        self.completed = env.open_db(b"completed", create=create)
        self.documents = env.open_db(b"documents", create=create)
        self.gc = env.open_db(b"gc", create=create)
        self.inline = env.open_db(b"inline", create=create)
        self.layouts = env.open_db(b"layouts", create=create)
        self.objects = env.open_db(b"objects", create=create)
        self.parts = env.open_db(b"parts", create=create)
        self.refs = env.open_db(b"refs", create=create)
        self.state = env.open_db(b"state", create=create)
        self.uploads = env.open_db(b"uploads", create=create)


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
        """Yield the rows of a table whose key begins with ``stem``, those from ``start`` on, in order."""
        with self.txn.cursor(table) as cursor:
            if cursor.set_range(max(stem, start)):
                for key, value in cursor:
                    if not key.startswith(stem):
                        return
                    yield key, value

    # -- buckets ------------------------------------------------------------------------------

    def bucket(self, name: str) -> BucketRecord:
        """Return a bucket's record, or raise NoSuchBucket."""
        key = name.encode()
        value = self.txn.get(key, db=self.tables.buckets) if 0 < len(key) <= _LONGEST_NAME else None
        if value is None:
            raise S3Error(Code.NoSuchBucket, BucketName=name)
        return unseal(key, value, BUCKET)

    def buckets(self) -> list[BucketInfo]:
        """Return all buckets in byte order."""
        with self.txn.cursor(self.tables.buckets) as cursor:
            return [unseal(key, value, BUCKET).info(key.decode()) for key, value in cursor]

    def is_empty(self, bucket_id: int) -> bool:
        """Whether a bucket has no object version."""
        return next(self.rows(self.tables.objects, number(bucket_id)), None) is None

    # -- objects ------------------------------------------------------------------------------

    def current(self, bucket_id: int, key: str) -> ObjectRecord | None:
        """Return the newest version of ``key``, delete markers too, or None."""
        stem = key_stem(bucket_id, key)
        with self.txn.cursor(self.tables.objects) as cursor:
            if not cursor.set_range(stem):
                return None
            found, value = cursor.item()
        return unseal(found, value, OBJECT) if found.startswith(stem) else None

    def seek(self, bucket_id: int, start: str) -> Iterator[tuple[str, Callable[[], ObjectInfo]]]:
        """Yield the keys from ``start`` on whose newest version is an object; see paging.list_page."""
        previous = b""
        for found, value in self.rows(self.tables.objects, number(bucket_id), seek_key(bucket_id, start)):
            key = key_of(found)
            if key == previous:
                continue
            previous = key
            record = unseal(found, value, OBJECT)
            if not record.delete_marker:
                name = key.decode()
                yield name, partial(record.info, name)

    def layout(self, record: ObjectRecord) -> Layout:
        """Return the layout of an object with parts; raise InternalError where it is damaged."""
        key = number(record.sequence)
        value = self.txn.get(key, db=self.tables.layouts)
        if value is None:
            raise damaged("layout of object version %d: missing", record.sequence)
        return unseal(key, value, LAYOUT)

    def extents(self, record: ObjectRecord) -> list[Extent]:
        """Return the extents of an object version, in order."""
        return self.layout(record).extents if record.parts_count else record.extents

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
        for key, _ in self.rows(self.tables.refs, first):
            yield key

    def garbage(self, until: int) -> Iterator[tuple[bytes, int, bytes]]:
        """Yield (gc key, sequence, extent id) of what may go at ``until`` (ms), the first due first.

        The sequence is that of the change since which nothing uses the extent.
        """
        limit = number(until + 1)
        for key, _ in self.rows(self.tables.gc, b""):
            if key >= limit:
                return
            yield key, int.from_bytes(key[8:16], "big"), key[16:]

    # -- documents and state ------------------------------------------------------------------

    def document(self, bucket_id: int, name: str) -> bytes | None:
        """Return a document, or None."""
        key = number(bucket_id) + name.encode()
        value = self.txn.get(key, db=self.tables.documents)
        return None if value is None else unseal(key, value, DOCUMENT)

    def sequence(self) -> int:
        """Return the last number that next_sequence gave."""
        value = self.txn.get(_SEQUENCE, db=self.tables.state)
        return 0 if value is None else unseal(_SEQUENCE, value, COUNT)

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
        """Keep the identity of the store."""
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
        """Remove a version and release its extents."""
        self.release(self.extents(record), due)
        self.delete(version_key(key_stem(bucket_id, key), record.sequence), self.tables.objects)
        if record.parts_count:
            self.delete(number(record.sequence), self.tables.layouts)

    def check_removable(self, record: ObjectRecord) -> None:
        """Raise InternalError where a row that remove_object needs is damaged."""
        for extent in self.extents(record):
            if extent.kind == FILE:
                self.references(extent.id)

    def hold(self, extents: list[Extent]) -> None:
        """Count files as used by these extents too."""
        for extent_id, uses in _uses(extents).items():
            count = self.references(extent_id) + uses
            self.put(extent_id, seal(extent_id, count), self.tables.refs)

    def release(self, extents: list[Extent], due: int) -> None:
        """Let extents go; what nothing uses any more may be unlinked at ``due`` (ms).

        Inline bytes go at once where every reader has copied them before it began to answer.
        """
        left = {extent_id: self.references(extent_id) - uses for extent_id, uses in _uses(extents).items()}
        for extent_id, count in left.items():
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

    def _discard(self, extent_id: bytes, due: int) -> None:
        # One sequence number for all that a change removes. A reader that knew a number below it may
        # still read what is removed.
        self._removal = self._removal or self.next_sequence()
        self.put(number(due) + number(self._removal) + extent_id, b"", self.tables.gc)

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


def _uses(extents: list[Extent]) -> Counter[bytes]:
    return Counter(extent.id for extent in extents if extent.kind == FILE)
