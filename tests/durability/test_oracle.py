"""What the oracle lets pass, and what it calls lost, wrong or half."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crash.content import Found, Piece, Value
from crash.oracle import HALF, LOST, WRONG, FoundUpload, Ledger, Together, Upload, Verdict

KEY = "w/00"
OTHER = "w/01"


def value(version, size=1000, tags=()):
    return Value((Piece(KEY, version, size),), False, (("x-amz-meta-version", str(version)),), tags)


def found(wanted, **changes):
    return replace(Found(wanted.data, wanted.etag, wanted.meta, wanted.tags), **changes)


FIRST, SECOND, THIRD = value(1), value(2, 5000, (("a", "2"),)), value(3, 0)


@pytest.fixture
def ledger():
    """A writer's: FIRST and SECOND are acknowledged, THIRD is not."""
    made = Ledger("w", 2)
    made.wrote(KEY, lambda _: FIRST, acknowledged=True)
    made.wrote(KEY, lambda _: SECOND, acknowledged=True)
    made.wrote(KEY, lambda _: THIRD, acknowledged=False)
    return made


def judged(ledger, seen, uploads=None):
    """Return the kinds of what is wrong where KEY is ``seen``."""
    verdict = Verdict()
    ledger.settle({KEY: seen, OTHER: None}, uploads or {}, verdict)
    assert len(verdict.lines) == verdict.counts.total()
    return list(verdict.counts.elements())


@pytest.mark.parametrize("seen", [SECOND, THIRD])
def test_the_last_acknowledged_state_and_a_later_one_pass(ledger, seen):
    assert judged(ledger, found(seen)) == []
    assert ledger.objects[KEY] == [seen]
    assert ledger.sure(KEY) == seen
    assert judged(ledger, found(seen)) == []


MIXED = SECOND.data[:2560] + value(3, 5000).data[2560:]


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (None, LOST),
        (found(FIRST), LOST),
        (found(SECOND, tags=()), HALF),
        (found(SECOND, meta=FIRST.meta), HALF),
        (found(THIRD, tags=SECOND.tags), HALF),
        (found(SECOND, data=MIXED), WRONG),
        (found(SECOND, data=SECOND.data[:-1]), WRONG),
        (found(SECOND, data=bytes(5000)), WRONG),
        (found(SECOND, etag=FIRST.etag), WRONG),
        (found(value(9)), WRONG),
    ],
)
def test_anything_else_is_told(ledger, seen, kind):
    assert judged(ledger, seen) == [kind]


def test_a_read_settles_what_was_unanswered(ledger):
    verdict = Verdict()
    ledger.read(KEY, found(THIRD), verdict)
    assert verdict.lines == []
    assert judged(ledger, found(SECOND)) == [LOST]


def test_a_delete_must_last(ledger):
    ledger.wrote(KEY, lambda _: None, acknowledged=True)
    assert judged(ledger, found(SECOND)) == [LOST]


def test_an_unanswered_change_follows_from_each_state_before(ledger):
    ledger.wrote(KEY, lambda old: replace(old, tags=(("b", "4"),)), acknowledged=False)
    tagged = [replace(state, tags=(("b", "4"),)) for state in (SECOND, THIRD)]
    assert ledger.objects[KEY] == [SECOND, THIRD, *tagged]
    assert judged(ledger, found(tagged[0])) == []


def test_bytes_say_what_they_are():
    told = found(SECOND, data=MIXED).told()
    assert "20 lines of 'w/00 2'" in told
    assert "20 lines of 'w/00 3'" in told


@pytest.fixture
def uploading():
    """A writer with an upload "id" of KEY that has the parts 1 and 3 and perhaps another part 3."""
    made = Ledger("w", 2)
    upload = Upload(KEY, replace(FIRST, pieces=(), in_parts=True))
    upload.parts = {1: [Piece(KEY, 5, 100)], 3: [Piece(KEY, 6, 200), Piece(KEY, 7, 300)]}
    made.uploads["id"] = upload
    return made


def listed(*versions_and_sizes):
    pieces = [Piece(KEY, version, size) for version, size in versions_and_sizes]
    return FoundUpload(KEY, {n: (p.size, p.md5.hex()) for n, p in zip((1, 3, 4), pieces, strict=False)})


def test_parts_that_may_be_there_pass(uploading):
    assert uploading.uploads["id"].sure() == {1: Piece(KEY, 5, 100)}
    assert judged(uploading, None, {"id": listed((5, 100), (7, 300))}) == []
    assert uploading.uploads["id"].sure() == {1: Piece(KEY, 5, 100), 3: Piece(KEY, 7, 300)}


@pytest.mark.parametrize(
    "uploads",
    [
        {},
        {"id": listed((5, 100))},
        {"id": listed((4, 100), (6, 200))},
        {"id": listed((5, 100), (6, 200), (8, 1))},
        {"id": listed((5, 100), (6, 200)), "stray": listed()},
    ],
)
def test_other_uploads_and_parts_are_told(uploading, uploads):
    assert judged(uploading, None, uploads) == [LOST]


def test_an_upload_whose_begin_was_unanswered_may_be_there_once(uploading):
    uploading.begun.append(Upload(KEY, FIRST))
    held = {"id": listed((5, 100), (6, 200))}
    assert judged(uploading, None, {**held, "new": listed()}) == []
    assert judged(uploading, None, {**held, "new": listed(), "newer": listed()}) == [LOST]


@pytest.mark.parametrize(
    ("done", "still_open", "kinds"),
    [(False, True, []), (True, False, []), (True, True, [HALF]), (False, False, [HALF])],
)
def test_an_unanswered_completion_is_whole_or_nothing(uploading, done, still_open, kinds):
    whole = replace(uploading.uploads["id"].whole, pieces=(Piece(KEY, 5, 100),))
    uploading.wrote_together(Together({KEY: whole}, "id"))
    assert KEY not in uploading.free()
    uploads = {"id": listed((5, 100), (6, 200))} if still_open else {}
    assert judged(uploading, found(whole) if done else None, uploads) == kinds
    assert KEY in uploading.free()


def test_an_unanswered_delete_of_many_is_whole_or_nothing(ledger):
    ledger.wrote(KEY, lambda _: FIRST, acknowledged=True)
    ledger.wrote(OTHER, lambda _: SECOND, acknowledged=True)
    ledger.wrote_together(Together({KEY: None, OTHER: None}))
    assert judged(ledger, found(FIRST)) == [HALF]


def test_buckets(ledger):
    ledger.buckets["bucket-w"] = [True]
    verdict = Verdict()
    ledger.settle_buckets({"bucket-w", "load"}, verdict)
    assert verdict.lines == []
    ledger.settle_buckets({"load"}, verdict)
    assert verdict.counts == {LOST: 1}
