"""What is done about an object of which both sides are known."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.migrate.describing import describe
from s3shim.migrate.looking import ABSENT, Found, look_at_made
from s3shim.migrate.progress import Outcome, Progress, Settled
from s3shim.migrate.records import CONTENT, Known, differences, told
from s3shim.migrate.verify import etag_at, faults_of_bytes
from s3shim.migrate.writing import Writing
from s3shim.model import ObjectRef


class Steps:
    """The three things that may be done. They raise what Writing does, and S3Error of the destination."""

    def __init__(self, source: Backend, target: Backend, progress: Progress) -> None:
        self._source = source
        self._target = target
        self._moved = progress.moved
        self._writing = Writing(source, target, progress.moved)

    def plan(self, ref: ObjectRef, wanted: Known, found: Found) -> Settled:
        """Say what is to be done."""
        missing = differences(wanted, found.known)
        if not missing:
            return Settled(Outcome.EQUAL)
        return Settled(Outcome.PLANNED, f"{told(missing)}, {wanted.info.size:,} bytes")

    def migrate(self, ref: ObjectRef, wanted: Known, found: Found) -> Settled:
        """Make the object at the destination equal to that of the source."""
        missing = differences(wanted, found.known)
        if not missing:
            return Settled(Outcome.EQUAL)
        if found.known is not None and CONTENT.isdisjoint(missing):
            made, outcome = describe(self._target, ref, wanted, found.known), Outcome.DESCRIBED
        elif found.known is not None and self._is_best(ref, wanted, found.known):
            return _different(missing)
        else:
            made, outcome = self._writing.copy(ref, wanted, found.conditions), Outcome.COPIED
        missing = differences(wanted, look_at_made(self._target, ref, made))
        return _different(missing) if missing else Settled(outcome)

    def _is_best(self, ref: ObjectRef, wanted: Known, found: Known) -> bool:
        """Whether a copy would give the destination nothing: it has the bytes, in the parts of the source."""
        mine, there = wanted.info, found.info
        if mine.size != there.size or mine.etag == there.etag or mine.meta != there.meta:
            return False
        if [part.size for part in wanted.parts] != [part.size for part in found.parts]:
            return False
        return etag_at(self._source, ref, wanted, found.parts, self._moved) == there.etag

    def verify(self, ref: ObjectRef, wanted: Known, found: Found) -> Settled:
        """Read both and say whether they are equal."""
        if found.known is None:
            absent = found.conditions is ABSENT
            return Settled(Outcome.DIFFERENT, "is missing" if absent else "its record cannot be read")
        missing = differences(wanted, found.known)
        missing += faults_of_bytes(self._source, self._target, ref, wanted, found.known, self._moved)
        return _different(missing) if missing else Settled(Outcome.EQUAL)


def _different(missing: list[str]) -> Settled:
    return Settled(Outcome.DIFFERENT, told(missing))
