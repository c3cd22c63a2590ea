"""What is not sound at the source is told and never written; storages that fail for a while, or for good."""

from __future__ import annotations

from dataclasses import replace

import pytest

from s3shim.backends.local import LocalBackend
from s3shim.backends.memory import MemoryBackend
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code, S3Error
from s3shim.migrate import Mode, Outcome, run, uploads, writing
from s3shim.model import ObjectRef, ReadyChunks
from tests.contract.bodies import BytesBody, code_of, get, pattern, put
from tests.contract.conftest import BLOCK, INLINE_MAX
from tests.migrate.scene import MAIN, Run, put_sha256_parts, state
from tests.migrate.scene import uploads as uploads_of


def started(kind=MemoryBackend, *arguments, **settings):
    backend = kind(*arguments, **settings)
    backend.start()
    return backend


@pytest.fixture
def source():
    backend = started()
    backend.create_bucket(MAIN)
    put(backend, "before", b"sound")
    put(backend, "key", pattern(9000))
    put_sha256_parts(backend, "parts", [pattern(5000, 1), pattern(5000, 2), b"end"])
    put(backend, "zlast", b"sound")
    return backend


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("s3shim.migrate.failures.pause_after", lambda attempt: 0.001)
    monkeypatch.setattr("s3shim.migrate.objects.pause_after", lambda attempt: 0.001)


def lie(backend, key, **fields):
    """Change what the record of an object says."""
    info, data = backend.buckets["bucket"].objects[key]
    backend.buckets["bucket"].objects[key] = replace(info, **fields), data


def change_bytes(backend, key, at):
    """Change a byte of an object, but not its record."""
    info, data = backend.buckets["bucket"].objects[key]
    spoiled = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    backend.buckets["bucket"].objects[key] = info, spoiled


def assert_only_failed(source, target, key, reason):
    told = Run(source, target)
    assert told.lines == [f"bucket/{key}: the source is damaged: {reason}"]
    assert (told.counts, told.progress.problems) == ({Outcome.COPIED: 3, Outcome.FAILED: 1}, 1)
    assert code_of(target.head_object, ObjectRef("bucket", key), NO_CONDITIONS) is Code.NoSuchKey
    assert uploads_of(target) == []
    assert get(target, "zlast") == b"sound"
    assert Run(source, target).counts == {Outcome.EQUAL: 3, Outcome.FAILED: 1}


TARGETS = {
    "memory": lambda path: started(),
    "local": lambda path: started(LocalBackend, path / "target", inline_max=INLINE_MAX, block_size=BLOCK),
}


@pytest.fixture(params=TARGETS)
def target(request, tmp_path):
    backend = TARGETS[request.param](tmp_path)
    yield backend
    backend.close()


@pytest.mark.parametrize(
    ("key", "at", "reason"),
    [
        ("key", 0, "its bytes do not have its crc32"),
        ("key", 8999, "its bytes do not have its crc32"),
        ("parts", 4999, "its bytes do not have its sha256"),
        ("parts", 10_002, "its bytes do not have its sha256"),
    ],
)
def test_bytes_that_are_not_those_of_the_record_are_not_written(source, target, key, at, reason):
    change_bytes(source, key, at)
    assert_only_failed(source, target, key, reason)


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


class Failing(MemoryBackend):
    """Memory of which some calls fail: ``faults`` maps a method to the errors of its next calls."""

    def __init__(self):
        super().__init__()
        self.faults = {}

    def _fail(self, name):
        if self.faults.get(name):
            error = self.faults[name].pop(0)
            if error is not None:
                raise S3Error(error)


def _failing(name):
    def method(self, *arguments):
        self._fail(name)
        return getattr(MemoryBackend, name)(self, *arguments)

    return method


for _name in (
    "get_object",
    "get_object_parts",
    "list_objects",
    "list_buckets",
    "head_bucket",
    "create_bucket",
    "put_document",
    "put_object",
    "create_multipart_upload",
    "upload_part",
    "complete_multipart_upload",
    "list_multipart_uploads",
    "put_object_last_modified",
    "copy_object",
):
    setattr(Failing, _name, _failing(_name))

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
    assert state(target) == state(source)


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
    assert state(failing) == state(source)
    assert uploads_of(failing) == []


def test_what_fails_for_good_is_told_with_its_code(source):
    failing = started(Failing)
    failing.faults = {"put_object": [Code.AccessDenied], "complete_multipart_upload": [Code.EntityTooSmall]}
    told = Run(source, failing, concurrency=1)
    assert told.lines == [
        f"bucket/before: the destination answers AccessDenied: {Code.AccessDenied.message}",
        f"bucket/parts: the destination answers EntityTooSmall: {Code.EntityTooSmall.message}",
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
    assert state(failing) == state(source)


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


class Short(Failing):
    """Memory that ends its streams early."""

    def get_object(self, *arguments):
        """See Backend."""
        stream = super().get_object(*arguments)
        stream.chunks = ReadyChunks(stream.chunks.data[:-1])
        return stream


def test_a_stream_that_ends_early_is_no_object(source, target):
    short = started(Short)
    short.buckets = source.buckets
    told = Run(short, target)
    assert told.lines[0] == "bucket/before: the source is damaged: it ends 1 bytes before its size"
    assert (told.counts, len(told.lines)) == ({Outcome.FAILED: 4}, 4)
    assert [name for name in state(target) if isinstance(name, tuple)] == []


def test_metadata_that_the_destination_cannot_change_alone_goes_with_the_bytes(source):
    failing = failing_copy(source)
    for key in ("key", "parts"):
        source.put_object_tags(ObjectRef("bucket", key), {"a": "1"})
    failing.faults["copy_object"] = [Code.NotImplemented, Code.EntityTooLarge]
    assert Run(source, failing).counts == {Outcome.COPIED: 2, Outcome.EQUAL: 2}
    assert state(failing) == state(source)


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
