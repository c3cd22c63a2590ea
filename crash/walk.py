"""Looks at everything in a shelf whose index may be damaged, as the clients of one server would."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from crash.shelf import BUCKET, OWNER, Held, Shelf
from s3shim.backends.local import LocalBackend
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code, S3Error
from s3shim.model import ListQuery, ObjectInfo, ObjectMeta, ObjectRef, UploadQuery
from tests.contract.bodies import get, put

T = TypeVar("T")

PAGE = 40
_NEVER = ObjectMeta("no such type")
_NOT_THERE = {Code.NoSuchKey, Code.NoSuchBucket, Code.NoSuchUpload}


@dataclass(slots=True)
class Seen:
    """What a walk met: ``counts`` of errors, missing and older things, and what is ``wrong``, in words."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Walk:
    """One walk through all of a shelf."""

    def __init__(self, shelf: Shelf, backend: LocalBackend, seen: Seen) -> None:
        self._shelf = shelf
        self._backend = backend
        self._seen = seen

    def everything(self) -> None:
        """Look at the buckets, every page of the listings, every key, every upload."""
        buckets = self._try(self._backend.list_buckets)
        if buckets is not None:
            told = {(bucket.name, bucket.owner, bucket.created) for bucket in buckets}
            self._set("buckets", told, {(name, OWNER, 1_700_000_000_000) for name in (BUCKET, "other")})
        self._listings()
        for key in [*self._shelf.held, *self._shelf.gone]:
            self._object(key)
        self._uploads()

    def _try(self, call: Callable[[], T]) -> T | None:
        # The gateway makes a 500 of any exception.
        try:
            return call()
        except S3Error as error:
            self._seen.counts["missing" if error.code in _NOT_THERE else "errors"] += 1
        except Exception:
            self._seen.counts["errors"] += 1
        return None

    def _set(self, label: str, told: set[T], true: set[T]) -> None:
        self._seen.counts["missing"] += len(true - told)
        self._seen.wrong += [f"{label}: {item}" for item in told - true]

    def _listings(self) -> None:
        told: list[ObjectInfo] = []
        marker: str | None = ""
        while marker is not None and len(told) < 10_000:
            query = ListQuery(marker=marker, max_keys=PAGE)
            page = self._try(lambda query=query: self._backend.list_objects(BUCKET, query))
            if page is None:
                # Behind the damage the listing may go on.
                marker = next((key for key in sorted(self._shelf.held) if key > f"{marker}~"), None)
                continue
            for info in page.items:
                self._is_state(info.key, info, None, "listing")
            told += page.items
            marker = page.next_marker
        keys = [info.key for info in told]
        if keys != sorted(set(keys)):
            self._seen.wrong.append("the listing is not in order")
        if not self._seen.counts["errors"]:
            self._seen.counts["missing"] += len(self._shelf.held.keys() - set(keys))
        prefixes = {f"{key.partition('/')[0]}/" for key in self._shelf.held if "/" in key}
        page = self._try(lambda: self._backend.list_objects(BUCKET, ListQuery(delimiter="/")))
        if page is not None:
            self._set("prefixes", set(page.common_prefixes), prefixes)

    def _object(self, key: str) -> None:
        if key in self._shelf.gone and self._is_gone(key):
            return
        info = self._try(lambda: self._backend.head_object(ObjectRef(BUCKET, key), NO_CONDITIONS))
        data = self._try(lambda: get(self._backend, key, bucket=BUCKET))
        if info is not None:
            self._is_state(key, info, data, "object")

    def _is_gone(self, key: str) -> bool:
        try:
            self._backend.head_object(ObjectRef(BUCKET, key), NO_CONDITIONS)
        except Exception as error:
            return isinstance(error, S3Error) and error.code is Code.NoSuchKey
        return False

    def _is_state(self, key: str, info: ObjectInfo, data: bytes | None, label: str) -> None:
        # The newest state, or one that once was.
        states = self._states(key)
        for number, (held, meta) in enumerate(states):
            described = info.meta == meta and (info.parts_count or info.etag == _md5(held))
            if described and info.size == len(held) and data in (None, held):
                self._seen.counts["older"] += number > 0
                return
        self._seen.wrong.append(f"{label} {key}: {info}, {data!r:.80}")

    def _states(self, key: str) -> list[tuple[bytes, ObjectMeta]]:
        held = self._shelf.held.get(key)
        if held is None:
            gone = self._shelf.gone.get(key)
            # What was deleted may only be seen as something older than what there is.
            return [] if gone is None else [(b"", _NEVER), (gone.data, gone.meta)]
        untagged = ObjectMeta(held.meta.content_type, held.meta.system, held.meta.user)
        return [(held.data, held.meta), *((data, untagged) for data in [held.data, *held.older])]

    def _uploads(self) -> None:
        page = self._try(lambda: self._backend.list_multipart_uploads(BUCKET, UploadQuery()))
        if page is not None:
            told = {(info.key, info.upload_id, info.initiator) for info in page.items}
            refs = [ref for ref, _ in self._shelf.uploads.values()]
            self._set("uploads", told, {(ref.key, ref.upload_id, "main") for ref in refs})
        for ref, parts in self._shelf.uploads.values():
            found = self._try(lambda ref=ref: self._backend.list_parts(ref, 0, 1000))
            if found is not None:
                told_parts = {(part.part_number, part.size, part.etag) for part in found[1]}
                true = {(number, len(data), _md5(data)) for number, data in parts.items()}
                self._set(f"parts of {ref.key}", told_parts, true)


def change(shelf: Shelf, backend: LocalBackend, seen: Seen) -> None:
    """Put, overwrite and delete small objects as far as that goes; ``shelf`` holds what came of it."""
    described = ObjectMeta("text/plain")
    for number in range(8):
        for key in (f"many/new/{number}", f"many/{number % 7}/{number:04}"):
            data = b"new " * 20 + key.encode()
            try:
                put(backend, key, data, bucket=BUCKET, meta=described)
            except Exception:
                seen.counts["errors"] += 1
                continue
            held = shelf.held.pop(key, None)
            older = [] if held is None else [*held.older, held.data]
            shelf.held[key] = Held(data, described, older)
    for key in ("many/2/0009", "many/new/1"):
        try:
            backend.delete_object(ObjectRef(BUCKET, key), NO_CONDITIONS)
        except Exception:
            seen.counts["errors"] += 1
            continue
        held = shelf.held.pop(key, None)
        if held is not None:
            shelf.gone[key] = held


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
