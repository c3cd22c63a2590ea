"""Everything from one storage into another, and nothing the second time."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import s3shim
from s3shim.backends.local import LocalBackend
from s3shim.conditions import NO_CONDITIONS
from s3shim.migrate import Mode, Outcome
from s3shim.migrate.buckets import DOCUMENTS
from s3shim.model import BucketInfo, ObjectMeta, ObjectRef
from tests.contract.bodies import BytesBody, get, pattern, put
from tests.contract.uploads import begin, put_parts, upload
from tests.migrate.scene import (
    CORS,
    MAIN,
    ODD,
    Run,
    add_ranges_and_appends,
    assert_copies_nothing,
    assert_same,
    state,
    uploads,
)


def test_everything_is_at_the_destination_and_a_second_run_copies_nothing(pair):
    source, target = pair
    before = state(source)
    run = Run(source, target)
    assert (set(run.counts), run.lines, run.progress.problems) == ({Outcome.COPIED}, [], 0)
    assert run.progress.objects == sum(isinstance(name, tuple) for name in before)
    assert_same(target, source)
    assert state(source) == before
    assert uploads(target) == []
    assert_copies_nothing(source, target)


def test_storages_elsewhere(far_pair):
    source, target = far_pair
    run = Run(source, target)
    assert (set(run.counts), run.lines, run.progress.problems) == ({Outcome.COPIED}, [], 0)
    assert_same(target, source)
    assert Run(source, target, Mode.VERIFY).lines == []
    assert_copies_nothing(source, target)


def test_a_dry_run_tells_and_writes_nothing(near_pair):
    source, target = near_pair
    run = Run(source, target, Mode.PLAN)
    assert set(run.counts) == {Outcome.PLANNED}
    assert "bucket bucket: is missing" in run.lines
    assert "bucket/inline: is missing, 5 bytes" in run.lines
    assert r"bucket/\U0001f600: is missing, 4 bytes" in run.lines
    assert (run.progress.problems, run.progress.bytes) == (0, 0)
    assert target.list_buckets() == []
    Run(source, target)
    put(source, "inline", b"other")
    source.put_object_tags(ObjectRef("bucket", "file"), {"new": "1"})
    target.put_document("bucket", "cors", None)
    before = state(target)
    run = Run(source, target, Mode.PLAN)
    assert run.lines == [
        "bucket bucket: differs in cors",
        "bucket/file: differs in tags, 20,483 bytes",
        "bucket/inline: differs in ETag, checksums, Last-Modified, 5 bytes",
    ]
    assert state(target) == before


def test_what_changed_at_the_source_is_copied_and_nothing_else(pair):
    source, target = pair
    Run(source, target)
    put(source, "inline", b"other")
    put_parts(source, "parts", [pattern(3000), b"new"])
    put(source, "added", pattern(7000))
    source.delete_object(ObjectRef("bucket", "empty"), NO_CONDITIONS)
    source.put_document("bucket", "cors", None)
    source.put_document("another", "cors", CORS)
    run = Run(source, target)
    assert run.counts.pop(Outcome.COPIED) == 3
    assert (set(run.counts), run.lines, run.progress.extra) == ({Outcome.EQUAL}, [], 1)
    target.delete_object(ObjectRef("bucket", "empty"), NO_CONDITIONS)  # it stayed
    assert_same(target, source)
    assert_copies_nothing(source, target)


def test_new_metadata_and_tags_move_no_bytes(pair):
    source, target = pair
    Run(source, target)
    source.put_object_tags(ObjectRef("bucket", "parts"), {"a": "1"})
    put(source, "inline", b"small", meta=ODD)
    before = {key: value[2] for key, value in state(target).items() if isinstance(key, tuple)}
    run = Run(source, target)
    assert run.counts.pop(Outcome.DESCRIBED) == 2
    assert (set(run.counts), run.progress.bytes) == ({Outcome.EQUAL}, 0)
    assert_same(target, source)
    assert {key: value[2] for key, value in state(target).items() if isinstance(key, tuple)} == before
    assert_copies_nothing(source, target)


def test_what_is_only_at_the_destination_stays(near_pair):
    source, target = near_pair
    target.create_bucket(MAIN)
    target.create_bucket(BucketInfo("only-there", "main", 1))
    for key in ("!first", "inline2", "\U0010ffff"):
        put(target, key, b"mine")
    run = Run(source, target)
    assert (run.progress.extra, run.progress.problems) == (3, 0)
    assert [get(target, key) for key in ("!first", "inline2", "\U0010ffff")] == [b"mine"] * 3
    assert target.head_bucket("only-there").owner == "main"


def test_a_bucket_of_another_owner_is_left_alone(near_pair):
    source, target = near_pair
    target.create_bucket(BucketInfo("another", "somebody", 1))
    run = Run(source, target)
    assert run.lines == [
        "bucket another: it belongs to 'somebody' at the destination, and to 'second' at the source"
    ]
    assert run.progress.problems == 1
    assert [key for key in state(target) if isinstance(key, tuple) and key[0] == "another"] == []
    assert target.get_document("bucket", "cors") == CORS


def test_wrong_objects_at_the_destination_are_replaced(pair):
    source, target = pair
    target.create_bucket(MAIN)
    put(target, "parts", get(source, "parts"))  # the same bytes, but not in parts
    put_parts(target, "file", [get(source, "file")])
    put(target, "inline", BytesBody(b"small", algorithm="sha256"))
    put(target, "empty", b"not empty")
    assert Run(source, target).progress.problems == 0
    assert_same(target, source)


def test_uploads_of_others_stay(near_pair):
    source, target = near_pair
    target.create_bucket(MAIN)
    ref = begin(target, "parts")
    upload(target, ref, 1, b"mine")
    upload(source, begin(source, "under way"), 1, b"not an object yet")
    Run(source, target)
    assert [(info.key, info.upload_id) for info in uploads(target)] == [("parts", ref.upload_id)]
    assert len(uploads(source)) == 1


@pytest.mark.parametrize("concurrency", [1, 16])
def test_any_number_at_once(near_pair, concurrency):
    source, target = near_pair
    many = 100 if isinstance(source, LocalBackend) else 1300
    for number in range(many):
        put(source, f"many/{number:05}", b"%d" % number, bucket="another")
    run = Run(source, target, concurrency=concurrency)
    assert run.progress.problems == 0
    assert_same(target, source)
    assert len(state(target)) > many


def test_an_etag_that_no_copy_can_have_is_told_each_time_and_copied_once(near_pair):
    source, target = near_pair
    add_ranges_and_appends(source)
    told = ["bucket/appended: differs in ETag", "bucket/range: differs in ETag"]
    run = Run(source, target)
    assert (run.counts[Outcome.DIFFERENT], run.lines, run.progress.problems) == (2, told, 2)
    before = {
        key: target.head_object(ObjectRef("bucket", key), NO_CONDITIONS) for key in ("appended", "range")
    }
    for key in ("appended", "range"):
        assert get(target, key) == get(source, key)
        ref = ObjectRef("bucket", key)
        info, parts = source.get_object_parts(ref, NO_CONDITIONS)
        assert (info.etag != before[key].etag, parts) == (
            True,
            target.get_object_parts(ref, NO_CONDITIONS)[1],
        )
        assert replace(before[key], etag=info.etag) == info
    run = Run(source, target)
    assert (run.counts.pop(Outcome.DIFFERENT), set(run.counts), run.lines) == (2, {Outcome.EQUAL}, told)
    for info in before.values():
        assert target.head_object(ObjectRef("bucket", info.key), NO_CONDITIONS) == info
    put(source, "range", b"new")
    source.put_object_tags(ObjectRef("bucket", "appended"), {"a": "1"})
    assert Run(source, target).counts.keys() == {Outcome.EQUAL, Outcome.COPIED, Outcome.DIFFERENT}
    assert get(target, "range") == b"new"
    assert target.head_object(ObjectRef("bucket", "appended"), NO_CONDITIONS).meta == ObjectMeta(
        tags={"a": "1"}
    )


def test_every_document_of_a_bucket_is_known():
    """A document that operations keep and a migration does not know of would be lost."""
    package = Path(s3shim.__file__).parent
    calls = re.compile(r"(?:get|put)_document\((?:request\.)?bucket, (\w+)")
    named = {
        (path.name, name)
        for folder in ("operations", "wire", "auth")
        for path in (package / folder).rglob("*.py")
        for name in calls.findall(path.read_text())
    }
    assert named == {("cors.py", "DOCUMENT")}
    assert DOCUMENTS == ("cors",)
