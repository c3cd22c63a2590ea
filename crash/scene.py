"""The small store that is copied for every case, and what a client can see of a store, as plain data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s3shim.backends.local import LocalBackend, upload_rows
from s3shim.backends.local.records import INLINE, Extent
from s3shim.backends.local.tables import View
from s3shim.model import BucketInfo, ListQuery, ObjectMeta, UploadQuery, UploadRef
from tests.contract.bodies import get, pattern, put
from tests.contract.uploads import begin, etag_of, put_parts, upload

BLOCK = 4096
INLINE_MAX = 1024
EARLIER = 1_700_000_000_000
NOW = EARLIER + 2 * 3_600_000  # what was let go earlier is due
SMALL, LARGE = 300, 10_000  # bytes: in the index, a file of three blocks
OTHER_SMALL, OTHER_LARGE = pattern(400, 8), pattern(9_000, 9)
PARTS = (pattern(LARGE, 5), pattern(SMALL, 6))

META = ObjectMeta("text/x-case", {"cache-control": "no-store"}, {"colour": "blue"}, {"kind": "old"})


@dataclass(slots=True)
class Thing:
    """An object as a client sees it."""

    data: bytes
    etag: str
    changed: int = EARLIER
    content_type: str | None = META.content_type
    user: dict[str, str] = field(default_factory=lambda: dict(META.user))
    tags: dict[str, str] = field(default_factory=lambda: dict(META.tags))


@dataclass(slots=True)
class State:
    """What a client can see: objects by (bucket, key), uploads, documents by bucket, buckets.

    An upload is (bucket, key, when initiated, bytes by part number); ids are random, so they are left out.
    """

    buckets: list[str]
    objects: dict[tuple[str, str], Thing]
    uploads: list[tuple[str, str, int, dict[int, bytes]]]
    documents: dict[str, bytes]

    def parts(self, key: str) -> dict[int, bytes]:
        """Return the parts of the upload of a key in "bucket"."""
        (found,) = [parts for bucket, name, _, parts in self.uploads if (bucket, name) == ("bucket", key)]
        return found


@dataclass(slots=True)
class Stage:
    """Where a case acts: the directory, the open backend where the case wants one, upload ids by key.

    ``acknowledge`` tells the parent that the operation is done; nobody but a wrong case calls it. ``passed``
    is for who counts the steps of the operation.
    """

    root: Path
    backend: LocalBackend | None
    upload_ids: dict[str, str]
    acknowledge: Any = None
    passed: list[str] = field(default_factory=list)

    @property
    def store(self) -> LocalBackend:
        """The open backend."""
        assert self.backend is not None
        return self.backend

    def ref(self, key: str) -> UploadRef:
        """Return the upload of a key in "bucket"."""
        return UploadRef("bucket", key, self.upload_ids[key])


def open_backend(root: Path, now: int = NOW) -> LocalBackend:
    """Return the store in ``root``, opened; its clock stands still, and its thread sleeps for a minute."""
    backend = LocalBackend(root, block_size=BLOCK, inline_max=INLINE_MAX, grace=3600, clock=lambda: now)
    backend.start()
    return backend


# -- the store --------------------------------------------------------------------------------


def thing(data: bytes, **described: Any) -> Thing:
    """Return an object that was put in one piece."""
    return Thing(data, hashlib.md5(data, usedforsecurity=False).hexdigest(), **described)


def prepare(root: Path) -> dict[str, str]:
    """Make the store that all cases begin with; return the upload ids by key."""
    backend = open_backend(root, EARLIER)
    for name in ("bucket", "empty", "leaving"):
        backend.create_bucket(BucketInfo(name, "main", EARLIER))
    backend.put_document("bucket", "policy", b"old policy")
    for key in ("large", "replaced"):
        put(backend, key, pattern(LARGE, 99), meta=META)  # two files that wait to be unlinked
    for key, data in before().objects.items():
        if key[1] not in ("whole", "doomed-3"):
            put(backend, key[1], data.data, meta=META)
    for key in ("whole", "doomed-3"):
        put_parts(backend, key, PARTS, meta=META)
    ids = {}
    for key in ("fresh", "large", "aborted"):
        ref = begin(backend, key, meta=META)
        ids[key] = ref.upload_id
        for number, data in enumerate(PARTS, 1):
            upload(backend, ref, number, data)
    upload(backend, begin(backend, "left", bucket="leaving"), 1, PARTS[0])
    backend.close()
    orphan = bytes(range(16)).hex()
    (root / "blobs" / orphan[:2] / orphan).write_bytes(b"what a crash before a commit leaves")
    (root / "blobs" / "ff" / f".new-{'ff' * 16}").write_bytes(b"what a crash leaves without O_TMPFILE")
    return ids


def before() -> State:
    """Return what ``prepare`` makes."""
    whole = Thing(b"".join(PARTS), etag_of(PARTS))
    objects = {
        "small": thing(pattern(SMALL, 1)),
        "large": thing(pattern(LARGE, 2)),
        "replaced": thing(OTHER_SMALL),
        "whole": whole,
        "other-small": thing(OTHER_SMALL),
        "other-large": thing(OTHER_LARGE),
        "doomed-1": thing(pattern(SMALL, 3)),
        "doomed-2": thing(pattern(LARGE, 4)),
        "doomed-3": whole,
    }
    parts = dict(enumerate(PARTS, 1))
    uploads = [("bucket", key, EARLIER, dict(parts)) for key in ("aborted", "fresh", "large")]
    uploads.append(("leaving", "left", EARLIER, {1: PARTS[0]}))
    found = {("bucket", key): value for key, value in sorted(objects.items())}
    return State(["bucket", "empty", "leaving"], found, uploads, {"bucket": b"old policy"})


def observe(backend: LocalBackend) -> State:
    """Return what a client can see in a store, every byte read."""
    buckets = [bucket.name for bucket in backend.list_buckets()]
    state = State(buckets, {}, [], {})
    for bucket in buckets:
        document = backend.get_document(bucket, "policy")
        if document is not None:
            state.documents[bucket] = document
        for info in backend.list_objects(bucket, ListQuery()).items:
            data = get(backend, info.key, bucket=bucket)
            assert len(data) == info.size
            state.objects[bucket, info.key] = Thing(
                data, info.etag, info.last_modified, info.meta.content_type, info.meta.user, info.meta.tags
            )
        for found in backend.list_multipart_uploads(bucket, UploadQuery()).items:
            parts = _parts(backend, UploadRef(bucket, found.key, found.upload_id))
            state.uploads.append((bucket, found.key, found.initiated, parts))
    return state


def _parts(backend: LocalBackend, ref: UploadRef) -> dict[int, bytes]:
    with backend.store.index.read() as view:
        rows = upload_rows.parts(view, upload_rows.find(view, ref).sequence)
        return {
            number: b"".join(_bytes(backend, view, extent) for extent in part.extents)
            for number, part in rows
        }


def _bytes(backend: LocalBackend, view: View, extent: Extent) -> bytes:
    if extent.kind == INLINE:
        return view.inline_bytes(extent)
    file = backend.store.files.open(extent)
    try:
        return b"".join(file.blocks(extent.offset, extent.offset + extent.length))
    finally:
        file.close()
