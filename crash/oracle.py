"""What a store may hold: each write is noted as acknowledged or as unanswered, and what is found is judged.

Acknowledged is a write whose answer came whole and says that it was done. Without an answer, or with one
of 5xx, a write may have been done or not, but never in half. Each key belongs to one writer, so its
history is a sequence and few states are possible at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from crash.content import Found, Piece, Value

Change = Callable[[Value | None], Value | None]

LOST = "lost"
WRONG = "wrong bytes"
HALF = "half states"
KINDS = (LOST, WRONG, HALF)


@dataclass(slots=True)
class Verdict:
    """What was found to be wrong, by kind, and told in lines."""

    counts: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)

    def add(self, kind: str, line: str) -> None:
        """Note a fault."""
        self.counts[kind] += 1
        self.lines.append(f"{kind}: {line}")


@dataclass(slots=True)
class Upload:
    """A multipart upload. ``whole`` is the object it makes but for its pieces.

    ``parts`` are the possible states of each part number, ``there`` those of the upload: open or not.
    """

    key: str
    whole: Value
    parts: dict[int, list[Piece | None]] = field(default_factory=dict)
    there: list[bool] = field(default_factory=lambda: [True])

    def sure(self) -> dict[int, Piece]:
        """Return the parts that are certainly there, by number."""
        return {number: s[0] for number, s in sorted(self.parts.items()) if len(s) == 1 and s[0] is not None}


@dataclass(slots=True, frozen=True)
class FoundUpload:
    """A multipart upload as listed; size and ETag of each part by its number."""

    key: str
    parts: dict[int, tuple[int, str]]


@dataclass(slots=True)
class Together:
    """An unanswered write of several places: all of them have changed or none.

    ``keys`` are those that it removes or, with an ``upload_id``, the one that it makes of the upload.
    """

    keys: dict[str, Value | None]
    upload_id: str | None = None


class Ledger:
    """What one writer knows of the keys, uploads and buckets that are its own."""

    def __init__(self, name: str, keys: int) -> None:
        self.name = name
        self.objects: dict[str, list[Value | None]] = {
            f"{name}/{number:02}": [None] for number in range(keys)
        }
        self.uploads: dict[str, Upload] = {}
        self.begun: list[Upload] = []  # whose id was in an answer that never came
        self.buckets: dict[str, list[bool]] = {f"bucket-{name}": [False]}
        self.together: list[Together] = []
        self.version = 0
        self._past: dict[str, set[Value]] = {key: set() for key in self.objects}

    def next(self) -> int:
        """Return the number of the next write."""
        self.version += 1
        return self.version

    def sure(self, key: str) -> Value | None:
        """Return the state of a key, None also where it is not certain."""
        states = self.objects[key]
        return states[0] if len(states) == 1 else None

    def free(self) -> list[str]:
        """Return the keys that may be written: those whose states do not hang on others'."""
        bound = {key for together in self.together for key in together.keys}
        return [key for key in self.objects if key not in bound]

    def wrote(self, key: str, change: Change, *, acknowledged: bool) -> None:
        """Note a write of one key."""
        before = self.objects[key]
        after = [change(state) for state in before]
        self._past[key].update(state for state in after if state is not None)
        self.objects[key] = _distinct(after if acknowledged else [*before, *after])

    def wrote_together(self, together: Together) -> None:
        """Note an unanswered write of several places."""
        for key, value in together.keys.items():
            self.wrote(key, _to(value), acknowledged=False)
        if together.upload_id is not None:
            self.uploads[together.upload_id].there = [True, False]
        self.together.append(together)

    def read(self, key: str, found: Found | None, verdict: Verdict) -> None:
        """Judge what a read showed; it is the truth from now on: what was seen must survive too."""
        value = self._judge(key, found, verdict)
        self.objects[key] = [value]

    def settle(
        self, objects: dict[str, Found | None], uploads: dict[str, FoundUpload], verdict: Verdict
    ) -> None:
        """Judge all that was found after a restart; it is the truth from now on."""
        for key, seen in objects.items():
            self.read(key, seen, verdict)
        self._settle_uploads(uploads, verdict)
        for together in self.together:
            done = {self.objects[key][0] == value for key, value in together.keys.items()}
            if together.upload_id is not None:
                done.add(together.upload_id not in uploads)
            if len(done) > 1:
                verdict.add(HALF, f"{together} was done for some only")
        self.together.clear()

    def settle_buckets(self, found: set[str], verdict: Verdict) -> None:
        """Judge the buckets that were found."""
        for name, states in self.buckets.items():
            if (name in found) not in states:
                verdict.add(LOST, f"bucket {name}: one of {states}, found {name in found}")
            self.buckets[name] = [name in found]

    def _settle_uploads(self, found: dict[str, FoundUpload], verdict: Verdict) -> None:
        for upload_id, upload in self.uploads.items():
            if (upload_id in found) not in upload.there:
                what = "open again" if upload_id in found else "gone"
                verdict.add(LOST, f"upload {upload_id} of {upload.key} is {what}")
            elif upload_id in found:
                _judge_parts(upload, found[upload_id], verdict)
        for upload_id in found.keys() - self.uploads.keys():
            # One that was begun without an answer; each may have been begun once.
            origin = next((upload for upload in self.begun if upload.key == found[upload_id].key), None)
            if origin is None:
                verdict.add(LOST, f"upload {upload_id} of {found[upload_id].key} is open, it must not be")
            else:
                self.begun.remove(origin)
                _judge_parts(origin, found[upload_id], verdict)
                self.uploads[upload_id] = origin
        self.begun.clear()
        self.uploads = {name: upload for name, upload in self.uploads.items() if name in found}
        for upload in self.uploads.values():
            upload.there = [True]

    def _judge(self, key: str, found: Found | None, verdict: Verdict) -> Value | None:
        states = self.objects[key]
        if found is None:
            if None not in states:
                verdict.add(LOST, f"{key} is gone, must be one of {states}")
            return None
        for value in states:
            if value is not None and found.body_is(value) and _rest(found) == _rest(value):
                return value
        past = [value for value in self._past[key] if found.body_is(value)]
        told = f"{key} is {found.told()}, must be one of {states}"
        same = [value for value in past if _rest(value) == _rest(found)]
        if same:
            verdict.add(LOST, told)
            return same[0]
        verdict.add(HALF if past else WRONG, told)
        return replace(past[0], meta=found.meta, tags=found.tags) if past else None


def _rest(value: Value | Found) -> tuple[object, ...]:
    return value.meta, value.tags


def _judge_parts(upload: Upload, found: FoundUpload, verdict: Verdict) -> None:
    # A listing shows size and ETag of a part; its bytes are seen once the upload is completed.
    for number in sorted(upload.parts.keys() | found.parts.keys()):
        shown = found.parts.get(number)
        states = upload.parts.get(number, [None])
        held = [state for state in states if shown == (state and (state.size, state.md5.hex()))]
        if not held:
            verdict.add(LOST, f"part {number} of {upload.key} is {shown}, must be one of {states}")
        upload.parts[number] = held[:1] or [None]


def _to(value: Value | None) -> Change:
    return lambda _: value


def _distinct(states: list[Value | None]) -> list[Value | None]:
    return list(dict.fromkeys(states))
