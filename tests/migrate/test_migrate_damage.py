"""What is not sound at the source is told and never written; a verification finds every difference."""

from __future__ import annotations

from dataclasses import replace

import pytest

from s3shim.backends.local import LocalBackend
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code
from s3shim.migrate import Mode, Outcome
from s3shim.model import ObjectRef
from tests.contract.bodies import code_of, get, pattern, put
from tests.contract.conftest import BLOCK, INLINE_MAX
from tests.migrate.faulty import (
    Short,
    change_bytes,
    lie,
    started,
)
from tests.migrate.scene import MAIN, Run, state
from tests.migrate.scene import uploads as uploads_of

pytestmark = pytest.mark.usefixtures("no_pauses")


def assert_only_failed(source, target, key, reason):
    told = Run(source, target)
    assert told.lines == [f"bucket/{key}: the source is damaged: {reason}"]
    assert (told.counts, told.progress.problems) == ({Outcome.COPIED: 3, Outcome.FAILED: 1}, 1)
    assert code_of(target.head_object, ObjectRef("bucket", key), NO_CONDITIONS) is Code.NoSuchKey
    assert uploads_of(target) == []
    assert get(target, "zlast") == b"sound"
    assert Run(source, target).counts == {Outcome.EQUAL: 3, Outcome.FAILED: 1}


@pytest.mark.parametrize(
    ("key", "at", "reason"),
    [
        ("key", 0, "its bytes do not have its crc32"),
        ("key", 8999, "its bytes do not have its crc32"),
        ("parts", 4999, "its bytes do not have its sha256"),
        ("parts", 10_002, "its bytes do not have its sha256"),
    ],
)
def test_bytes_that_are_not_those_of_the_record_are_not_written(source, any_target, key, at, reason):
    change_bytes(source, key, at)
    assert_only_failed(source, any_target, key, reason)


def test_an_etag_decides_where_there_is_no_checksum(source, target):
    lie(source, "key", checksums={})
    assert Run(source, target).progress.problems == 0
    lie(source, "key", checksums={}, etag="0" * 32)
    told = Run(source, target)
    assert told.lines == ["bucket/key: the source is damaged: its bytes do not have its ETag"]
    assert get(target, "key") == pattern(9000)  # what was good before is still there


def test_an_etag_that_is_no_md5_is_told_where_the_checksum_is_right(source, target):
    lie(source, "key", etag="0" * 32)
    for outcome in (Outcome.COPIED, Outcome.EQUAL):
        told = Run(source, target)
        assert told.lines == ["bucket/key: differs in ETag"]
        assert told.counts == {outcome: 3, Outcome.DIFFERENT: 1}
        assert get(target, "key") == pattern(9000)


def test_a_checksum_of_the_whole_that_its_parts_do_not_make_is_damage(source, target):
    info = source.head_object(ObjectRef("bucket", "parts"), NO_CONDITIONS)
    wrong = "A" * 43 + "=-3"
    assert info.checksums["sha256"] != wrong
    lie(source, "parts", checksums={"sha256": wrong})
    assert_only_failed(source, target, "parts", "its parts do not have its sha256")


def test_damage_on_the_disk_of_the_source(tmp_path, target):
    source = started(LocalBackend, tmp_path / "source", inline_max=INLINE_MAX, block_size=BLOCK)
    source.create_bucket(MAIN)
    for key in ("before", "zlast"):
        put(source, key, b"sound")
    put(source, "more", b"sound")
    put(source, "key", pattern(3 * BLOCK))
    (path,) = [path for path in (tmp_path / "source" / "blobs").rglob("*") if path.is_file()]
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[2 * BLOCK + 7] ^= 1
    path.write_bytes(data)
    assert_only_failed(source, target, "key", "its bytes cannot be read")
    source.close()


def test_a_stream_that_ends_early_is_no_object(source, target):
    short = started(Short)
    short.buckets = source.buckets
    told = Run(short, target)
    assert told.lines[0] == "bucket/before: the source is damaged: it ends 1 bytes before its size"
    assert (told.counts, len(told.lines)) == ({Outcome.FAILED: 4}, 4)
    assert [name for name in state(target) if isinstance(name, tuple)] == []


# -- verify ----------------------------------------------------------------------------------------


def test_verify_reads_both_and_writes_nothing(source, target):
    Run(source, target)
    before = state(target)
    told = Run(source, target, Mode.VERIFY)
    assert (told.counts, told.lines) == ({Outcome.EQUAL: 4}, [])
    assert told.progress.bytes == 2 * (5 + 9000 + 10_003 + 5)
    assert state(target) == before


def test_verify_finds_every_planted_difference(source):
    target = started()
    Run(source, target)
    for key in ("tagged", "dated", "typed", "missing", "changed"):
        put(source, key, pattern(100))
    Run(source, target)
    target.put_object_tags(ObjectRef("bucket", "tagged"), {"a": "1"})
    lie(target, "dated", last_modified=1)
    lie(
        target,
        "typed",
        meta=replace(source.head_object(ObjectRef("bucket", "key"), NO_CONDITIONS).meta, content_type="a/b"),
    )
    target.delete_object(ObjectRef("bucket", "missing"), NO_CONDITIONS)
    put(target, "changed", pattern(100, 1))
    lie(target, "changed", last_modified=2)
    change_bytes(target, "key", 4000)
    change_bytes(target, "parts", 7000)
    target.put_document("bucket", "cors", b"x")
    put(target, "zz", b"only here")
    told = Run(source, target, Mode.VERIFY)
    assert told.lines == [
        "bucket bucket: differs in cors",
        "bucket/changed: differs in ETag, checksums, Last-Modified, bytes",
        "bucket/dated: differs in Last-Modified",
        "bucket/key: differs in bytes (its bytes do not have its crc32)",
        "bucket/missing: is missing",
        "bucket/parts: differs in bytes (its bytes do not have its sha256)",
        "bucket/tagged: differs in tags",
        "bucket/typed: differs in metadata",
    ]
    assert (told.progress.problems, told.progress.extra) == (8, 1)
    assert told.counts == {Outcome.EQUAL: 2, Outcome.DIFFERENT: 7}


def test_verify_finds_a_missing_bucket_and_a_damaged_source(source):
    target = started()
    assert Run(source, target, Mode.VERIFY).lines[0] == "bucket bucket: is missing"
    Run(source, target)
    change_bytes(source, "key", 4000)
    told = Run(source, target, Mode.VERIFY)
    assert told.lines == ["bucket/key: the source is damaged: its bytes do not have its crc32"]


def test_verify_finds_bytes_that_have_the_same_record(source):
    target = started()
    lie(source, "key", checksums={}, etag="1" * 32 + "-1")
    Run(source, target)
    lie(target, "key", etag="1" * 32 + "-1", checksums={})
    assert Run(source, target, Mode.VERIFY).lines == []
    change_bytes(target, "key", 4000)
    assert Run(source, target, Mode.VERIFY).lines == ["bucket/key: differs in bytes"]
