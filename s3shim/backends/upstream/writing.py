"""Writes: nothing is to be seen under its key before all of it has been verified.

A body that fits into memory is read to its end first and goes up in one request that can be repeated. A
larger one that does not go straight to its key (see straight.py) goes up to a place of our own and is
copied within the upstream once it was verified: that needs no trust in what an upstream does with a body that
breaks off, and the record (checksums, time) is known by then.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote, urlencode

from s3shim.backends.upstream.bodies import Counted, in_parts, md5_of, read_ahead
from s3shim.backends.upstream.entries import Entry, headers_of
from s3shim.backends.upstream.places import Place
from s3shim.backends.upstream.remote import Slot
from s3shim.backends.upstream.straight import Straight, info_of
from s3shim.conditions import NO_CONDITIONS, Conditions, check_write
from s3shim.errors import Code, S3Error
from s3shim.model import NULL_VERSION, Body, Deleted, ObjectInfo, ObjectMeta, ObjectRef

_PLAIN_TAG = re.compile(r"[A-Za-z0-9 +=._:/@-]*", re.ASCII)
_COPIES = 6
"""How often a copy is tried that has no effect because its time is not after that of what it replaces."""


class Writing(Straight):
    """The part of UpstreamBackend that writes objects."""

    def put_object(self, ref: ObjectRef, body: Body, meta: ObjectMeta, conditions: Conditions) -> ObjectInfo:
        """See Backend."""
        seen = self.bucket(ref.bucket)
        place = self.at(ref)
        if self.goes_straight(body, conditions):
            return self.put_straight(seen, ref, body, meta)
        data = read_ahead(body, self.settings.block_size)
        if isinstance(data, bytes):
            entry, md5 = Entry(0, body.digests.checksums), body.digests.md5
            entry.blind = conditions is NO_CONDITIONS
            with self.committing(seen, ref.key):
                native = self.check_conditions(ref, conditions)
                entry.modified, entry.mark = self.now(), os.urandom(6).hex() if native else ""
                try:
                    self.put_upstream(place, {**self.headers(meta, entry), **native}, data, md5)
                except S3Error as error:
                    # What a repeated request finds there may be what the first try of it made.
                    if error.code is not Code.PreconditionFailed or not self._is_there(ref, entry.mark):
                        raise
            return info_of(ref.key, len(data), md5, meta, entry)
        staged = self.places.own(f"staged/{new_name()}")
        try:
            size, etag = self._stage(staged, data, body)
            entry, md5 = Entry(0, body.digests.checksums), body.digests.md5
            if etag != md5:
                entry.etag = md5
            entry.blind = conditions is NO_CONDITIONS
            with self.committing(seen, ref.key):
                self.check_conditions(ref, conditions)
                self.place_copy(staged, size, ref, meta, entry, etag)
        finally:
            self.drop(staged)
        return info_of(ref.key, size, md5, meta, entry)

    def _stage(self, staged: Place, chunks: Iterator[bytes], body: Body) -> tuple[int, str]:
        """Send the body to a place of our own; return its size and the upstream's ETag."""
        counted = Counted(chunks, body)
        if body.length is None and not self.dialect.chunked:
            return self._stage_in_parts(staged, counted)
        etag = self.stream_upstream(staged, counted, body.length).strip('"')
        self.same_bytes(etag, body.digests.md5)
        return counted.size, etag

    def _stage_in_parts(self, staged: Place, counted: Counted) -> tuple[int, str]:
        """Send a body of unknown length as parts that grow, so that 10,000 of them are enough."""
        upstream_id = self.begin_upstream(staged)
        parts: list[tuple[int, str]] = []
        try:
            for number, data in enumerate(in_parts(counted), 1):
                etag = self.send_part(Slot(staged, upstream_id, number), data)
                self.same_bytes(etag, md5_of(data))
                parts.append((number, etag))
            return counted.size, self.complete_upstream(staged, upstream_id, counted.size, parts)
        except BaseException:
            self.abort_upstream(staged, upstream_id)
            raise

    def check_conditions(self, ref: ObjectRef, conditions: Conditions) -> dict[str, str]:
        """Raise what check_write raises for the object as it is; its lock is held.

        Returns the headers by which an upstream that honours conditions refuses a PUT once the object is
        another one: writers on other hosts are not kept out by our locks.
        """
        if conditions is NO_CONDITIONS:
            return {}
        found = self.current(ref)
        check_write(self.as_listed(conditions, found) if found else conditions, found.info if found else None)
        if not self.dialect.conditions:
            return {}
        return {"If-Match": f'"{found.upstream_etag}"'} if found else {"If-None-Match": "*"}

    def _is_there(self, ref: ObjectRef, mark: str) -> bool:
        found = self.current(ref)
        return found is not None and found.entry.mark == mark

    def headers(self, meta: ObjectMeta, entry: Entry) -> dict[str, str]:
        """Return the headers that store an object's record in this upstream."""
        native = self._tags_upstream(meta.tags)
        headers = headers_of(meta, entry, keep_tags=not native)
        if native and meta.tags:
            headers["x-amz-tagging"] = urlencode(meta.tags, quote_via=quote)
        return headers

    def _tags_upstream(self, tags: dict[str, str]) -> bool:
        """Whether the upstream keeps these tags; others are kept in the object's entry."""
        return self.dialect.tagging and all(
            _PLAIN_TAG.fullmatch(text) for text in (*tags.keys(), *tags.values())
        )

    def place_copy(
        self, source: Place, size: int, target: ObjectRef, meta: ObjectMeta, entry: Entry, etag: str
    ) -> None:
        """Copy within the upstream, with another record; sets the entry's time. The target's lock is held."""
        place = self.at(target)
        if size > self.dialect.copy_limit:
            entry.etag = entry.etag or etag
        for _ in range(_COPIES):
            entry.modified = entry.modified or self.now()
            entry.mark = os.urandom(6).hex() if self.dialect.copy_may_lose else ""
            found = self.copy_upstream(source, etag, size, place, self.headers(meta, entry))
            if self.is_md5(etag) and self.is_md5(found) and found != etag:
                raise S3Error(Code.InternalError)
            if not self.dialect.copy_may_lose or self._is_there(target, entry.mark):
                return
        raise S3Error(Code.ServiceUnavailable)

    def delete_object(self, ref: ObjectRef, conditions: Conditions) -> Deleted:
        """See Backend."""
        seen = self.bucket(ref.bucket)
        if ref.version_id not in (None, NULL_VERSION):
            self.check_conditions(ObjectRef(ref.bucket, ref.key), conditions)
            return Deleted()
        with self.committing(seen, ref.key):
            self.check_conditions(ref, conditions)
            try:
                self.delete_upstream(self.kept(ref))
            except S3Error as error:
                if error.code is not Code.NoSuchKey:
                    raise
        return Deleted()

    def put_object_tags(self, ref: ObjectRef, tags: dict[str, str]) -> None:
        """See Backend. Where the upstream keeps no tags, the object is copied onto itself with them."""
        seen = self.bucket(ref.bucket)
        with self.committing(seen, ref.key):
            found = self.find(ref)
            place = self.at(ref)
            if self._tags_upstream(tags) and not found.tags_kept:
                self.tag_upstream(place, tags)
                return
            meta = replace(found.info.meta, tags=tags)
            entry = replace(found.entry, blind=False, aside="")
            self.place_copy(place, found.info.size, ref, meta, entry, found.upstream_etag)


def new_name() -> str:
    """Return a name that cannot be guessed and sorts by its time."""
    return f"{Writing.now():012x}{os.urandom(16).hex()}"
