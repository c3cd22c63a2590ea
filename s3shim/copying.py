"""What a copy takes over from its source."""

from __future__ import annotations

from dataclasses import dataclass, field

from s3shim.conditions import NO_CONDITIONS, Conditions
from s3shim.model import ObjectMeta, ObjectRef


@dataclass(slots=True)
class Copy:
    """What to copy. ``meta`` None copies the source's metadata, ``tags`` None its tags."""

    source: ObjectRef
    conditions: Conditions = field(default_factory=lambda: NO_CONDITIONS)
    meta: ObjectMeta | None = None
    tags: dict[str, str] | None = None
