"""What is known of an object, and in what two storages differ about it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from s3shim import checksums
from s3shim.backends.base import Backend
from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.model import ObjectInfo, ObjectPart, ObjectRef
from s3shim.multipart import COMPOSITE

_MD5 = re.compile("[0-9a-f]{32}")

EXISTENCE = "existence"
LAST_MODIFIED = "Last-Modified"
CONTENT = frozenset({EXISTENCE, "size", "ETag", "checksums", "parts"})
"""The differences that only the bytes can settle; what is left is metadata."""


@dataclass(slots=True)
class Known:
    """An object's record and its parts; none where it was not uploaded in parts."""

    info: ObjectInfo
    parts: list[ObjectPart] = field(default_factory=list)

    @property
    def md5(self) -> str | None:
        """The MD5 of its bytes, where its ETag is one."""
        return self.info.etag if not self.parts and _MD5.fullmatch(self.info.etag) else None

    @property
    def whole_checksums(self) -> dict[str, str]:
        """Its checksums that are over its bytes, and not over the checksums of its parts."""
        return {} if self.info.checksum_type == COMPOSITE else self.info.checksums

    @property
    def digests(self) -> dict[str, str]:
        """What its bytes must have, in base64: its ETag, which need not be an MD5, where there is no more."""
        if self.whole_checksums or self.md5 is None:
            return self.whole_checksums
        return {"md5": checksums.encode(bytes.fromhex(self.md5))}

    @property
    def unchanged(self) -> Conditions:
        """The conditions that hold while the object has its ETag."""
        return Conditions(if_match=ETagList(strong=frozenset({self.info.etag})))

    def is_still(self, info: ObjectInfo) -> bool:
        """Whether ``info``, read later, is of the same write."""
        mine = self.info
        return (info.etag, info.size, info.last_modified) == (mine.etag, mine.size, mine.last_modified)


def look(backend: Backend, ref: ObjectRef) -> Known:
    """Return what a storage knows of an object. Raises as Backend.head_object."""
    return Known(*backend.get_object_parts(ref, NO_CONDITIONS))


def differences(source: Known, target: Known | None, *, dated: bool = False) -> list[str]:
    """Return in what ``target`` is not equal to ``source``; None is an object that is not there.

    Last-Modified counts where ``dated``. Checksums that only the target has are no difference.
    """
    if target is None:
        return [EXISTENCE]
    mine, other = source.info, target.info
    found = []
    if mine.size != other.size:
        found.append("size")
    if mine.etag != other.etag:
        found.append("ETag")
    if not _has(other.checksums, mine.checksums) or (
        mine.checksums and mine.checksum_type != other.checksum_type
    ):
        found.append("checksums")
    if _shape(source.parts) != _shape(target.parts) or not all(
        _has(there.checksums, here.checksums) for here, there in zip(source.parts, target.parts, strict=True)
    ):
        found.append("parts")
    if (mine.meta.content_type, mine.meta.system, mine.meta.user) != (
        other.meta.content_type,
        other.meta.system,
        other.meta.user,
    ):
        found.append("metadata")
    if mine.meta.tags != other.meta.tags:
        found.append("tags")
    if dated and mine.last_modified != other.last_modified:
        found.append(LAST_MODIFIED)
    return found


def _has(these: dict[str, str], those: dict[str, str]) -> bool:
    return all(these.get(algorithm) == value for algorithm, value in those.items())


def _shape(parts: list[ObjectPart]) -> list[tuple[int, int]]:
    return [(part.part_number, part.size) for part in parts]


def told(missing: list[str]) -> str:
    """Return differences in words."""
    return "is missing" if EXISTENCE in missing else f"differs in {', '.join(missing)}"
