"""What is of no use any more: uploads that nobody ends, and what a process that died left of its own."""

from __future__ import annotations

import json
import os

from s3shim.backends.upstream.completing import REPLAY_MS, Completing
from s3shim.backends.upstream.entries import Found
from s3shim.backends.upstream.reading import ASIDE
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectRef, UploadRef


class Sweeping(Completing):
    """The part of UpstreamBackend that cleans up."""

    def expire_multipart_uploads(self, before: int) -> int:
        """See Backend. What else is older than a day, and used by nothing, goes too."""
        self.opened()
        expired = 0
        for name, _ in list(self.names_own("uploads/")):
            bucket, upload_id, _ = name.split("/", 2)
            info = self.upload_record(f"uploads/{name}")
            if info is None or info.initiated >= before:
                continue
            try:
                self.abort_multipart_upload(UploadRef(bucket, info.key, upload_id))
                expired += 1
            except S3Error as error:
                if error.code not in (Code.NoSuchUpload, Code.NoSuchBucket):
                    raise
        self._sweep()
        return expired

    def _sweep(self) -> None:
        # A body that is still on its way, or a copy, is younger.
        old = self.now() - REPLAY_MS
        for name, modified in list(self.names_own("completed/")):
            if modified < old:
                self.delete_own(f"completed/{name}")
        own = [
            (kind, name)
            for kind in ("staged/", "parts/")
            for name, modified in self.names_own(kind)
            if modified < old
        ]
        begun = [found for found in self.uploads_upstream(self.places.own("staged/")) if found[2] < old]
        # What an upload has there may be as old as the upload, and is needed until that ends.
        needed: set[str] = set()
        if own or begun:
            needed = {name.split("/", 2)[1] for name, _ in self.names_own("uploads/")}
        for kind, name in own:
            if name.split("/", 2)[kind == "parts/"] not in needed:
                self.delete_own(kind + name)
        for place, upstream_id, _ in begun:
            if place.key.rpartition("/")[2] not in needed:
                self.abort_upstream(place, upstream_id)
        for name, modified in list(self.names_own("manifests/")):
            if modified < old and not self._is_used(name):
                self.delete_own(f"manifests/{name}")
        self._sweep_asides(old)

    def _sweep_asides(self, old: int) -> None:
        """Remove checksums of objects that are gone, from anywhere on: there may be one for each object."""
        base = self.places.own(ASIDE)
        start = f"{base.key}{os.urandom(16).hex()}"
        try:
            page = self.list_page(base, start)
            items = page.items
            if not page.truncated:
                items += [item for item in self.list_page(base).items if item.key <= start]
        except S3Error as error:
            if error.code is not Code.NoSuchBucket:
                raise
            return
        for item in items:
            name = item.key[len(base.key) :]
            if item.modified < old and not self._is_aside(name):
                self.delete_own(f"{ASIDE}{name}")

    def _is_aside(self, name: str) -> bool:
        data = self.read_own(f"{ASIDE}{name}")
        found = self._owner_of(data) if data is not None else None
        return found is not None and found.entry.aside == name

    def _is_used(self, name: str) -> bool:
        """Whether the object that a table of parts was kept for is still the one that it was kept for."""
        bucket, _, manifest = name.partition("/")
        data = self.read_own(f"manifests/{name}")
        found = self._owner_of(data, bucket) if data is not None else None
        return found is not None and found.entry.manifest == manifest

    def _owner_of(self, data: bytes, bucket: str = "") -> Found | None:
        """Return the object that a record was kept for, in ``bucket`` or the one that it names."""
        record = json.loads(data)
        try:
            return self.current(ObjectRef(bucket or str(record["bucket"]), str(record["key"])))
        except S3Error as error:
            if error.code is Code.NoSuchBucket:
                return None
            raise
