"""The operations that are interrupted, each with what it makes of plain data.

``Case.act`` is an operation on the store of ``scene``, ``Case.after`` the same done to a State without a line
of the store: so who compares knows what must be there before and after.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

from crash.scene import LARGE, META, NOW, OTHER_LARGE, PARTS, SMALL, Stage, State, Thing, open_backend, thing
from s3shim.backends.local.layout import prepare
from s3shim.backends.local.sweep import sweep
from s3shim.conditions import NO_CONDITIONS
from s3shim.copying import Copy
from s3shim.model import BucketInfo, ObjectMeta, ObjectRef
from s3shim.multipart import ListedPart
from s3shim.ranges import ByteRange
from tests.contract.bodies import pattern, put
from tests.contract.uploads import begin, complete, copy_part, etag_of, upload


@dataclass(frozen=True)
class Case:
    """An operation. Done once more it answers as before, or with one of the codes ``again``, and changes
    nothing; where that is not so, ``again`` is None. One that does not ``open`` gets no backend.
    """

    name: str

    opens: ClassVar[bool] = True
    again: ClassVar[frozenset[str] | None] = frozenset()

    def act(self, stage: Stage) -> object:
        """Do it."""
        raise NotImplementedError

    def after(self, state: State) -> None:
        """Change ``state`` as the operation does; as it is, for one that changes nothing that shows."""


@dataclass(frozen=True)
class PutObject(Case):
    key: str
    data: bytes

    def act(self, stage: Stage) -> object:
        return put(stage.store, self.key, self.data, meta=ObjectMeta("text/new", {}, {"colour": "red"}))

    def after(self, state: State) -> None:
        new = thing(self.data, changed=NOW, content_type="text/new", user={"colour": "red"}, tags={})
        state.objects["bucket", self.key] = new


@dataclass(frozen=True)
class PutTags(Case):
    key: str

    def act(self, stage: Stage) -> object:
        return stage.store.put_object_tags(ObjectRef("bucket", self.key), {"kind": "new", "more": ""})

    def after(self, state: State) -> None:
        state.objects["bucket", self.key].tags = {"kind": "new", "more": ""}


@dataclass(frozen=True)
class CopyObject(Case):
    source: str
    key: str

    def act(self, stage: Stage) -> object:
        copy = Copy(ObjectRef("bucket", self.source), tags={"kind": "copy"})
        return stage.store.copy_object(copy, ObjectRef("bucket", self.key), NO_CONDITIONS)

    def after(self, state: State) -> None:
        source = state.objects["bucket", self.source]
        state.objects["bucket", self.key] = Thing(source.data, source.etag, NOW, tags={"kind": "copy"})


@dataclass(frozen=True)
class DeleteObject(Case):
    key: str

    def act(self, stage: Stage) -> object:
        return stage.store.delete_object(ObjectRef("bucket", self.key), NO_CONDITIONS)

    def after(self, state: State) -> None:
        del state.objects["bucket", self.key]


@dataclass(frozen=True)
class DeleteObjects(Case):
    keys: tuple[str, ...]

    def act(self, stage: Stage) -> object:
        return stage.store.delete_objects("bucket", [ObjectRef("bucket", key) for key in self.keys])

    def after(self, state: State) -> None:
        for key in self.keys:
            state.objects.pop(("bucket", key), None)


@dataclass(frozen=True)
class CreateUpload(Case):
    key: str

    again: ClassVar[frozenset[str] | None] = None

    def act(self, stage: Stage) -> object:
        return begin(stage.store, self.key, meta=META)

    def after(self, state: State) -> None:
        state.uploads.append(("bucket", self.key, NOW, {}))
        state.uploads.sort(key=lambda found: found[:3])


@dataclass(frozen=True)
class UploadPart(Case):
    number: int
    data: bytes

    def act(self, stage: Stage) -> object:
        return upload(stage.store, stage.ref("fresh"), self.number, self.data)

    def after(self, state: State) -> None:
        state.parts("fresh")[self.number] = self.data


@dataclass(frozen=True)
class UploadPartCopy(Case):
    number: int
    source: str
    start: int
    stop: int

    def act(self, stage: Stage) -> object:
        wanted = ByteRange(self.start, self.stop - 1)
        return copy_part(stage.store, stage.ref("fresh"), self.number, self.source, wanted)

    def after(self, state: State) -> None:
        source = state.objects["bucket", self.source].data
        state.parts("fresh")[self.number] = source[self.start : self.stop]


@dataclass(frozen=True)
class Complete(Case):
    key: str

    def act(self, stage: Stage) -> object:
        etags = [hashlib.md5(data, usedforsecurity=False).hexdigest() for data in PARTS]
        listed = [ListedPart(number, etag) for number, etag in enumerate(etags, 1)]
        return complete(stage.store, stage.ref(self.key), listed)

    def after(self, state: State) -> None:
        state.uploads = [found for found in state.uploads if found[:2] != ("bucket", self.key)]
        state.objects["bucket", self.key] = Thing(b"".join(PARTS), etag_of(PARTS), NOW)


@dataclass(frozen=True)
class Abort(Case):
    again: ClassVar[frozenset[str] | None] = frozenset({"NoSuchUpload"})

    def act(self, stage: Stage) -> object:
        return stage.store.abort_multipart_upload(stage.ref("aborted"))

    def after(self, state: State) -> None:
        state.uploads = [found for found in state.uploads if found[1] != "aborted"]


@dataclass(frozen=True)
class CreateBucket(Case):
    again: ClassVar[frozenset[str] | None] = frozenset({"BucketAlreadyOwnedByYou"})

    def act(self, stage: Stage) -> object:
        return stage.store.create_bucket(BucketInfo("new", "main", NOW))

    def after(self, state: State) -> None:
        state.buckets.append("new")


@dataclass(frozen=True)
class DeleteBucket(Case):
    bucket: str

    again: ClassVar[frozenset[str] | None] = frozenset({"NoSuchBucket"})

    def act(self, stage: Stage) -> object:
        return stage.store.delete_bucket(self.bucket)

    def after(self, state: State) -> None:
        state.buckets.remove(self.bucket)
        state.uploads = [found for found in state.uploads if found[0] != self.bucket]


@dataclass(frozen=True)
class PutDocument(Case):
    def act(self, stage: Stage) -> object:
        return stage.store.put_document("bucket", "policy", b"new policy")

    def after(self, state: State) -> None:
        state.documents["bucket"] = b"new policy"


@dataclass(frozen=True)
class Reclaim(Case):
    def act(self, stage: Stage) -> object:
        return stage.store.store.reclaim()


@dataclass(frozen=True)
class Sweep(Case):
    opens: ClassVar[bool] = False

    def act(self, stage: Stage) -> object:
        return sweep(stage.root)


@dataclass(frozen=True)
class Start(Case):
    opens: ClassVar[bool] = False

    def act(self, stage: Stage) -> object:
        """Start as the master does, then as a worker does."""
        prepare(stage.root)
        sweep(stage.root)
        backend = open_backend(stage.root)
        return backend.close()


NEW_SMALL, NEW_LARGE = pattern(350, 21), pattern(LARGE + 2_000, 22)

CASES: tuple[Case, ...] = (
    PutObject("put inline, new", "new", NEW_SMALL),
    PutObject("put inline, over inline", "small", NEW_SMALL),
    PutObject("put inline, over file", "large", NEW_SMALL),
    PutObject("put inline, over parts", "whole", NEW_SMALL),
    PutObject("put empty, over inline", "small", b""),
    PutObject("put file, new", "new", NEW_LARGE),
    PutObject("put file, over inline", "small", NEW_LARGE),
    PutObject("put file, over file", "large", NEW_LARGE),
    PutObject("put file, over parts", "whole", NEW_LARGE),
    PutTags("put tags, inline", "small"),
    PutTags("put tags, file", "large"),
    CopyObject("copy inline, new", "small", "new"),
    CopyObject("copy inline, over file", "small", "large"),
    CopyObject("copy file, new", "large", "new"),
    CopyObject("copy file, over inline", "large", "small"),
    CopyObject("copy parts, new", "whole", "new"),
    CopyObject("copy file, over itself", "large", "large"),
    DeleteObject("delete inline", "small"),
    DeleteObject("delete file", "large"),
    DeleteObject("delete parts", "whole"),
    DeleteObjects("delete many", ("doomed-1", "doomed-2", "doomed-3", "never")),
    CreateUpload("create upload", "begun"),
    UploadPart("upload part inline, new", 3, NEW_SMALL),
    UploadPart("upload part inline, again over file", 1, NEW_SMALL),
    UploadPart("upload part file, new", 3, NEW_LARGE),
    UploadPart("upload part file, again over file", 1, NEW_LARGE),
    UploadPartCopy("copy part inline, new", 3, "small", 100, SMALL),
    UploadPartCopy("copy part file, new", 3, "other-large", 100, len(OTHER_LARGE)),
    UploadPartCopy("copy part file, over file", 1, "other-large", 0, 5_000),
    Complete("complete, new", "fresh"),
    Complete("complete, over file", "large"),
    Abort("abort"),
    CreateBucket("create bucket"),
    DeleteBucket("delete bucket, empty", "empty"),
    DeleteBucket("delete bucket, with an upload", "leaving"),
    PutDocument("put document"),
    Reclaim("reclaim"),
    Sweep("sweep"),
    Start("start"),
)
