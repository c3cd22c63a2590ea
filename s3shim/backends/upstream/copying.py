"""Copies, which the upstream makes itself, and the removal of many objects at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from s3shim.backends.upstream.entries import Found
from s3shim.backends.upstream.locks import BUCKET, KEY, Lock
from s3shim.backends.upstream.store import Bucket
from s3shim.backends.upstream.writing import Writing, new_name
from s3shim.conditions import NO_CONDITIONS, Conditions, check_copy
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.model import NULL_VERSION, Deleted, ObjectInfo, ObjectRef

_ATTEMPTS = 5
_MANY = 1000
_FEW = 3
_UNFIT = re.compile("[\x00-\x1f\ufffe\uffff]")
"""What a key has that XML does not carry unharmed."""


class Copying(Writing):
    """The part of UpstreamBackend that makes objects of others."""

    def copy_object(self, copy: Copy, target: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """See Backend. The bytes do not leave the upstream."""
        self.at(target)
        for _ in range(_ATTEMPTS):
            with self._copying(copy.source, target):
                found = self.find(copy.source)
                check_copy(self.as_listed(copy.conditions, found), found.info)
                self.check_conditions(target, conditions)
                try:
                    return self._copy(copy, found, target)
                except S3Error as error:
                    # A writer that does not come through this host changed the source meanwhile.
                    if error.code not in (Code.PreconditionFailed, Code.NoSuchKey):
                        raise
        raise S3Error(Code.ServiceUnavailable)

    def _copy(self, copy: Copy, found: Found, target: ObjectRef) -> ObjectInfo:
        source = found.info
        meta = replace(
            source.meta if copy.meta is None else copy.meta,
            tags=source.meta.tags if copy.tags is None else copy.tags,
        )
        etag = source.etag if found.entry.etag else ""
        entry = replace(found.entry, modified=0, etag=etag, blind=False, aside="")
        if entry.manifest:
            entry.manifest = self._copy_manifest(copy.source.bucket, found, target)
        self.place_copy(self.at(copy.source), source.size, target, meta, entry, found.upstream_etag)
        return replace(source, key=target.key, last_modified=entry.modified, meta=meta)

    def _copy_manifest(self, bucket: str, found: Found, target: ObjectRef) -> str:
        """Keep the table of parts once more: each lives as long as its own object."""
        name = new_name()
        rows = [[part.part_number, part.size, part.checksums] for part in self.parts_of(bucket, found)]
        self.keep_manifest(target, name, rows)
        return name

    def keep_manifest(self, ref: ObjectRef, name: str, rows: list[list[object]]) -> None:
        """Keep a table of parts beside an object."""
        self.write_own(f"manifests/{ref.bucket}/{name}", json.dumps({"key": ref.key, "parts": rows}).encode())

    def delete_objects(self, bucket: str, refs: list[ObjectRef]) -> list[Deleted | S3Error]:
        """See Backend. Many in one request where the upstream takes that, each for itself elsewhere."""
        seen = self.bucket(bucket)
        outcomes: list[Deleted | S3Error] = []
        for start in range(0, len(refs), _MANY):
            some = refs[start : start + _MANY]
            left = self._delete_many(seen, some) if self.dialect.multi_delete else {ref.key for ref in some}
            for ref in some:
                try:
                    outcomes.append(self.delete_object(ref, NO_CONDITIONS) if ref.key in left else Deleted())
                except S3Error as error:
                    outcomes.append(error)
        return outcomes

    def _delete_many(self, seen: Bucket, refs: list[ObjectRef]) -> set[str]:
        """Remove what one request can; return the keys that are to be removed one by one."""
        name = seen.info.name
        left: set[str] = set()
        places: dict[str, str] = {}
        for ref in refs:
            if ref.version_id in (None, NULL_VERSION) and not _UNFIT.search(ref.key):
                try:
                    places[self.kept(ref).key] = ref.key
                    continue
                except S3Error:
                    pass
            left.add(ref.key)
        if len(places) < _FEW:
            return {ref.key for ref in refs}
        locks = [Lock(KEY, name, key) for key in places.values()]
        with self.locks.hold(Lock(BUCKET, name, exclusive=False), *locks):
            self.still(seen)
            stayed = self.delete_many_upstream(self.places.base(name).bucket, list(places))
        return left | {places.get(key, "") for key in stayed}

    @contextmanager
    def _copying(self, source: ObjectRef, target: ObjectRef) -> Iterator[None]:
        seen = [self.bucket(source.bucket), self.bucket(target.bucket)]
        with self.locks.hold(
            Lock(BUCKET, source.bucket, exclusive=False),
            Lock(BUCKET, target.bucket, exclusive=False),
            Lock(KEY, source.bucket, source.key, exclusive=False),
            Lock(KEY, target.bucket, target.key),
        ):
            for bucket in seen:
                self.still(bucket)
            yield
