"""Storages that fail for a while or for good, and destinations that cannot keep everything."""

from __future__ import annotations

import pytest

from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code
from s3shim.migrate import Outcome, run, uploads, writing
from s3shim.model import ObjectRef
from tests.contract.bodies import BytesBody, code_of, get, pattern, put
from tests.contract.uploads import put_parts
from tests.migrate.faulty import (
    Failing,
    Humble,
    Strict,
    change_bytes,
    started,
)
from tests.migrate.scene import Run, assert_same, put_sha256_parts
from tests.migrate.scene import uploads as uploads_of

pytestmark = pytest.mark.usefixtures("no_pauses")


PASSING = [Code.ServiceUnavailable, Code.SlowDown, Code.RequestTimeout, Code.ServiceUnavailable]


def failing_copy(source):
    backend = started(Failing)
    Run(source, backend)
    return backend


@pytest.mark.parametrize(
    "name", ["get_object", "get_object_parts", "list_objects", "list_buckets", "head_bucket"]
)
def test_a_source_that_does_not_answer_for_a_while(source, target, name):
    failing = failing_copy(source)
    failing.faults[name] = list(PASSING)
    assert Run(failing, target, concurrency=1).progress.problems == 0
    assert_same(target, source)


@pytest.mark.parametrize(
    "name",
    [
        "get_object_parts",
        "list_objects",
        "create_bucket",
        "put_object",
        "create_multipart_upload",
        "upload_part",
        "complete_multipart_upload",
        "list_multipart_uploads",
        "put_object_last_modified",
    ],
)
@pytest.mark.parametrize("fault", [PASSING, [None, Code.ServiceUnavailable, None, Code.SlowDown]])
def test_a_destination_that_does_not_answer_for_a_while(source, name, fault):
    failing = started(Failing)
    failing.faults[name] = list(fault)
    assert Run(source, failing, concurrency=1).progress.problems == 0
    assert len(failing.faults.pop(name)) < len(fault)
    assert_same(failing, source)
    assert uploads_of(failing) == []


def test_what_fails_for_good_is_told_with_its_code(source):
    failing = started(Failing)
    failing.faults = {"put_object": [Code.AccessDenied], "complete_multipart_upload": [Code.InvalidRequest]}
    told = Run(source, failing, concurrency=1)
    assert told.lines == [
        f"bucket/before: the destination answers AccessDenied: {Code.AccessDenied.message}",
        f"bucket/parts: the destination answers InvalidRequest: {Code.InvalidRequest.message}",
    ]
    assert told.counts == {Outcome.COPIED: 2, Outcome.FAILED: 2}
    assert uploads_of(failing) == []
    assert Run(source, failing).counts == {Outcome.COPIED: 2, Outcome.EQUAL: 2}


def test_a_source_that_cannot_be_listed_any_further(source, target):
    for number in range(1200):
        put(source, f"many{number:04}", b"x")
    failing = failing_copy(source)
    failing.faults["list_objects"] = [None, Code.InternalError]
    told = Run(failing, target)
    assert told.lines == [f"bucket bucket: InternalError: {Code.InternalError.message}"]
    assert (told.counts, told.progress.problems) == ({Outcome.COPIED: 1000}, 1)
    failing.faults["list_buckets"] = [Code.InternalError]
    told = Run(failing, target)
    assert told.lines == [
        f"the buckets of the source cannot be listed: InternalError: {Code.InternalError.message}"
    ]
    assert told.progress.problems == 1


def test_a_destination_that_cannot_be_listed_gets_all_the_same(source):
    failing = started(Failing)
    failing.faults["list_objects"] = [Code.InternalError]
    told = Run(source, failing)
    assert told.lines == [
        f"bucket bucket: the destination cannot be listed: InternalError: {Code.InternalError.message}"
    ]
    assert told.counts == {Outcome.COPIED: 4}


def test_a_damaged_record_at_the_destination_is_replaced(source):
    failing = failing_copy(source)
    put(failing, "key", b"other")
    failing.faults["get_object_parts"] = [None, Code.InternalError]
    told = Run(source, failing, concurrency=1)
    assert told.counts == {Outcome.COPIED: 1, Outcome.EQUAL: 3}
    assert_same(failing, source)


def test_a_storage_that_is_gone_is_the_end(source, monkeypatch):
    monkeypatch.setattr(run, "MOST_IN_A_ROW", 3)
    for number in range(100):
        put(source, f"many{number}", b"x")
    failing = started(Failing)
    failing.faults["put_object"] = [Code.ServiceUnavailable] * 10_000
    told = Run(source, failing, concurrency=2)
    assert "given up after 3 such failures in a row" in told.lines
    assert told.progress.stopped
    assert 3 <= told.counts[Outcome.FAILED] <= 5


def test_an_object_that_is_too_large_for_one_request(source, monkeypatch):
    monkeypatch.setattr(uploads, "_PART", 4000)
    monkeypatch.setattr(writing, "LARGE", 8000)
    put(source, "sha", BytesBody(pattern(9000, 1), algorithm="sha256"))
    failing = started(Failing)
    failing.faults["put_object"] = [None, Code.EntityTooLarge, Code.EntityTooLarge]
    told = Run(source, failing, concurrency=1)
    assert told.lines == [
        "bucket/key: differs in ETag, parts",
        "bucket/sha: differs in ETag, checksums, parts",
    ]
    assert [get(failing, key) for key in ("key", "sha")] == [pattern(9000), pattern(9000, 1)]
    info, parts = failing.get_object_parts(ObjectRef("bucket", "key"), NO_CONDITIONS)
    assert [part.size for part in parts] == [4000, 4000, 1000]
    told = Run(source, failing)
    assert told.counts == {Outcome.EQUAL: 3, Outcome.DIFFERENT: 2}
    assert failing.head_object(ObjectRef("bucket", "key"), NO_CONDITIONS) == info
    for key, reason in (("key", "crc32"), ("sha", "sha256")):
        change_bytes(source, key, 5000)
        failing.delete_object(ObjectRef("bucket", key), NO_CONDITIONS)
        failing.faults["put_object"] = [Code.EntityTooLarge]
        (line,) = [line for line in Run(source, failing).lines if f"/{key}:" in line]
        assert line.endswith(f" do not have its {reason}")
        assert code_of(failing.head_object, ObjectRef("bucket", key), NO_CONDITIONS) is Code.NoSuchKey


def test_parts_that_are_too_small_for_the_destination_become_one_body(source):
    put_sha256_parts(source, "more parts", [pattern(4000, 3), b"end"])
    put_parts(source, "one part", [b"alone"])
    strict = started(Strict)
    told = [f"bucket/{key}: differs in ETag, checksums, parts" for key in ("more parts", "parts")]
    for copied in (4, 0):
        run_of_it = Run(source, strict, concurrency=1)
        assert run_of_it.lines == told
        assert run_of_it.counts.get(Outcome.COPIED, 0) == copied
        for key in ("more parts", "parts", "one part"):
            assert get(strict, key) == get(source, key)
        assert uploads_of(strict) == []
    strict.faults["put_object"] = [Code.AccessDenied]  # nothing is put any more
    assert Run(source, strict).lines == told


def test_a_destination_that_promises_nothing_gets_what_it_can_keep(source):
    humble = started(Humble)
    told = ["bucket/parts: differs in ETag, checksums, parts"]
    for outcome in (Outcome.COPIED, Outcome.EQUAL):
        run_of_it = Run(source, humble)
        assert (run_of_it.counts, run_of_it.lines) == ({outcome: 3, Outcome.DIFFERENT: 1}, told)
        assert get(humble, "parts") == get(source, "parts")
        humble.faults["put_object"] = [Code.AccessDenied]
    put(source, "key", b"new")
    humble.faults = {}
    assert Run(source, humble).counts[Outcome.COPIED] == 1
    assert get(humble, "key") == b"new"


def test_metadata_that_the_destination_cannot_change_alone_goes_with_the_bytes(source):
    failing = failing_copy(source)
    for key in ("key", "parts"):
        source.put_object_tags(ObjectRef("bucket", key), {"a": "1"})
    failing.faults["copy_object"] = [Code.NotImplemented, Code.EntityTooLarge]
    assert Run(source, failing).counts == {Outcome.COPIED: 2, Outcome.EQUAL: 2}
    assert_same(failing, source)
