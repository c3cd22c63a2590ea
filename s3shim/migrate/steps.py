"""What is done about an object of which both sides are known."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.migrate.describing import date, describe, keeps_dates
from s3shim.migrate.looking import ABSENT, Found, look_at_made
from s3shim.migrate.progress import Outcome, Progress, Settled
from s3shim.migrate.records import CONTENT, LAST_MODIFIED, Known, differences, told
from s3shim.migrate.verify import etag_at, faults_of_bytes
from s3shim.migrate.writing import Writing, parts_of_large
from s3shim.model import ObjectPart, ObjectRef


class Steps:
    """The three things that may be done. They raise what Writing does, and S3Error of the destination."""

    def __init__(self, source: Backend, target: Backend, progress: Progress) -> None:
        self._source = source
        self._target = target
        self._moved = progress.moved
        self._dated = keeps_dates(target)
        self._writing = Writing(source, target, progress.moved)

    def plan(self, ref: ObjectRef, wanted: Known, found: Found) -> Settled:
        """Say what is to be done."""
        missing = self._differences(wanted, found.known)
        if not missing:
            return Settled(Outcome.EQUAL)
        return Settled(Outcome.PLANNED, f"{told(missing)}, {wanted.info.size:,} bytes")

    def migrate(self, ref: ObjectRef, wanted: Known, found: Found) -> Settled:
        """Make the object at the destination equal to that of the source."""
        missing = self._differences(wanted, found.known)
        if not missing:
            return Settled(Outcome.EQUAL)
        made, outcome = self._made(ref, wanted, found, missing)
        if self._dated and made.info.last_modified != wanted.info.last_modified:
            made = date(self._target, ref, wanted, made)
        missing = self._differences(wanted, made)
        return _different(missing) if missing else Settled(outcome)

    def _made(self, ref: ObjectRef, wanted: Known, found: Found, missing: list[str]) -> tuple[Known, Outcome]:
        known = found.known
        if known is not None:
            if missing == [LAST_MODIFIED]:
                return known, Outcome.DESCRIBED
            if CONTENT.isdisjoint(missing):
                made = describe(self._target, ref, wanted, known)
                if made is not None:
                    return look_at_made(self._target, ref, made), Outcome.DESCRIBED
            elif self._is_best(ref, wanted, known):
                return known, Outcome.DESCRIBED
        made = self._writing.copy(ref, wanted, found.conditions)
        return look_at_made(self._target, ref, made), Outcome.COPIED

    def _differences(self, wanted: Known, found: Known | None) -> list[str]:
        return differences(wanted, found, dated=self._dated)

    def _is_best(self, ref: ObjectRef, wanted: Known, found: Known) -> bool:
        """Whether a copy would give the destination nothing: it has the bytes, in the parts of a copy."""
        mine, there = wanted.info, found.info
        if mine.size != there.size or mine.etag == there.etag or mine.meta != there.meta:
            return False
        if _sizes(found.parts) != _sizes(self._writing.parts_of(wanted) or parts_of_large(mine.size)):
            return False
        return etag_at(self._source, ref, wanted, found.parts, self._moved) == there.etag

    def verify(self, ref: ObjectRef, wanted: Known, found: Found) -> Settled:
        """Read both and say whether they are equal."""
        if found.known is None:
            absent = found.conditions is ABSENT
            return Settled(Outcome.DIFFERENT, "is missing" if absent else "its record cannot be read")
        missing = self._differences(wanted, found.known)
        missing += faults_of_bytes(self._source, self._target, ref, wanted, found.known, self._moved)
        return _different(missing) if missing else Settled(Outcome.EQUAL)


def _sizes(parts: list[ObjectPart]) -> list[int]:
    return [part.size for part in parts]


def _different(missing: list[str]) -> Settled:
    return Settled(Outcome.DIFFERENT, told(missing))
