"""Copies, which the upstream makes itself, and the removal of many objects at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from s3shim.backends.upstream.entries import Found
from s3shim.backends.upstream.locks import BUCKET, KEY, Lock
from s3shim.backends.upstream.writing import Writing, new_name
from s3shim.conditions import Conditions, check_copy
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectInfo, ObjectRef

_ATTEMPTS = 5


class Copying(Writing):
    """The part of UpstreamBackend that makes objects of others."""

    def copy_object(self, copy: Copy, target: ObjectRef, conditions: Conditions) -> ObjectInfo:
        """See Backend. The bytes do not leave the upstream."""
        self.at(target)
        for _ in range(_ATTEMPTS):
            with self._copying(copy.source, target):
                found = self.find(copy.source)
                check_copy(copy.conditions, found.info)
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
        entry = replace(found.entry, modified=0, etag=source.etag if found.entry.etag else "")
        if entry.manifest:
            entry.manifest = self._copy_manifest(copy.source.bucket, found, target)
        self.place_copy(self.at(copy.source), target, meta, entry, found.upstream_etag)
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
