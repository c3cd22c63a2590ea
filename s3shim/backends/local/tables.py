"""The tables of the index, as they are read (View) and changed (Edit) within a transaction.

buckets    name                                          BucketRecord
objects    bucket id, key, NUL, inverse sequence         ObjectRecord, the newest version first
inline     extent id                                     the bytes of a small object
refs       extent id of a file                           how many objects use it
gc         due time (ms), extent id of a file            nothing: the file may be unlinked then
documents  bucket id, name                               bytes
state      name                                          counters, the identity of the store
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import lmdb

from s3shim.backends.local.records import (
    BUCKET,
    COUNT,
    DOCUMENT,
    INLINE,
    OBJECT,
    TEXT,
    BucketRecord,
    Extent,
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

TABLES = (b"buckets", b"objects", b"inline", b"refs", b"gc", b"documents", b"state")

_LONGEST_NAME = 255
_SEQUENCE = b"sequence"
_UUID = b"uuid"


class Tables:
    """The handles of the tables."""

    __slots__ = ("buckets", "documents", "gc", "inline", "objects", "refs", "state")

    def __init__(self, env: lmdb.Environment, *, create: bool) -> None:
        handles = [env.open_db(name, create=create) for name in TABLES]
        self.buckets, self.objects, self.inline, self.refs, self.gc, self.documents, self.state = handles


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
        with self.txn.cursor(self.tables.objects) as cursor:
            found = cursor.set_range(number(bucket_id))
            return not (found and cursor.key().startswith(number(bucket_id)))

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
        stem = number(bucket_id)
        previous = b""
        with self.txn.cursor(self.tables.objects) as cursor:
            if not cursor.set_range(seek_key(bucket_id, start)):
                return
            for found, value in cursor:
                if not found.startswith(stem):
                    return
                key = key_of(found)
                if key == previous:
                    continue
                previous = key
                record = unseal(found, value, OBJECT)
                if not record.delete_marker:
                    name = key.decode()
                    info = record.info(name)
                    yield name, lambda info=info: info  # type: ignore[misc]

    def inline_bytes(self, extent: Extent) -> bytes:
        """Return the bytes of an INLINE extent, verified; raise InternalError where they are damaged."""
        data = self.txn.get(extent.id, db=self.tables.inline)
        if data is None or len(data) != extent.length or crc64nvme(data) != extent.digest:
            raise damaged("inline bytes %s", extent.id.hex())
        return data

    # -- files --------------------------------------------------------------------------------

    def references(self, extent_id: bytes) -> int:
        """Return how many objects use a file."""
        value = self.txn.get(extent_id, db=self.tables.refs)
        return 0 if value is None else unseal(extent_id, value, COUNT)

    def referenced(self, first: bytes) -> Iterator[bytes]:
        """Yield the ids of the files in use whose id begins with ``first``."""
        with self.txn.cursor(self.tables.refs) as cursor:
            if cursor.set_range(first):
                for key, _ in cursor:
                    if not key.startswith(first):
                        return
                    yield key

    def garbage(self, until: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield (gc key, extent id) of the files that may be unlinked at ``until`` (ms), oldest first."""
        limit = number(until + 1)
        with self.txn.cursor(self.tables.gc) as cursor:
            for key, _ in cursor:
                if key >= limit:
                    return
                yield key, key[8:]

    # -- documents and state ------------------------------------------------------------------

    def document(self, bucket_id: int, name: str) -> bytes | None:
        """Return a document, or None."""
        key = number(bucket_id) + name.encode()
        value = self.txn.get(key, db=self.tables.documents)
        return None if value is None else unseal(key, value, DOCUMENT)

    def uuid(self) -> str | None:
        """Return the identity of the store, None in a new one."""
        value = self.txn.get(_UUID, db=self.tables.state)
        return None if value is None else unseal(_UUID, value, TEXT)


class Edit(View):
    """A View that changes what it shows; ``changed`` says whether it has.

    All or nothing is for the caller: where one of its steps fails after a change, it aborts the transaction.
    """

    __slots__ = ("changed",)

    def __init__(self, txn: lmdb.Transaction[bytes], tables: Tables) -> None:
        super().__init__(txn, tables)
        self.changed = False

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
        value = self.txn.get(_SEQUENCE, db=self.tables.state)
        following = 1 if value is None else unseal(_SEQUENCE, value, COUNT) + 1
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
        stem = number(bucket.id)
        with self.txn.cursor(self.tables.documents) as cursor:
            found = cursor.set_range(stem)
            names = []
            while found and cursor.key().startswith(stem):
                names.append(cursor.key())
                found = cursor.next()
        for key in names:
            self.delete(key, self.tables.documents)
        self.delete(name.encode(), self.tables.buckets)

    def add_object(self, bucket_id: int, key: str, record: ObjectRecord) -> None:
        """Keep a version and count the files that it uses."""
        lmdb_key = version_key(key_stem(bucket_id, key), record.sequence)
        self.put(lmdb_key, seal(lmdb_key, record), self.tables.objects)
        for extent in record.extents:
            if extent.kind != INLINE:
                count = self.references(extent.id) + 1
                self.put(extent.id, seal(extent.id, count), self.tables.refs)

    def add_inline(self, sequence: int, data: bytes, digest: int) -> Extent:
        """Keep bytes under a new sequence number and return their extent."""
        key = number(sequence)
        if not self.put(key, data, self.tables.inline, append=True):
            raise damaged("sequence %d: the inline table is ahead of it", sequence)
        return Extent(INLINE, key, len(data), digest)

    def remove_object(self, bucket_id: int, key: str, record: ObjectRecord, due: int) -> None:
        """Remove a version; files that nothing uses any more may be unlinked at ``due`` (ms)."""
        self.delete(version_key(key_stem(bucket_id, key), record.sequence), self.tables.objects)
        for extent in record.extents:
            if extent.kind == INLINE:
                self.delete(extent.id, self.tables.inline)
                continue
            count = self.references(extent.id) - 1
            if count > 0:
                self.put(extent.id, seal(extent.id, count), self.tables.refs)
            else:
                self.delete(extent.id, self.tables.refs)
                self.put(number(due) + extent.id, b"", self.tables.gc)

    def forget_garbage(self, gc_keys: list[bytes]) -> None:
        """Remove rows of the gc table whose files are gone."""
        for key in gc_keys:
            self.delete(key, self.tables.gc)

    def put_document(self, bucket_id: int, name: str, document: bytes | None) -> None:
        """Keep a document; None removes it."""
        key = number(bucket_id) + name.encode()
        if document is None:
            self.delete(key, self.tables.documents)
        else:
            self.put(key, seal(key, document), self.tables.documents)
