"""Sources that change while they are read, destinations that others write to, and several runs at once."""

from __future__ import annotations

import threading
import time

import pytest

from s3shim.backends.memory import MemoryBackend
from s3shim.conditions import NO_CONDITIONS
from s3shim.migrate import Outcome
from s3shim.model import ListQuery, ObjectMeta, ObjectRef, UploadRef
from tests.contract.bodies import BytesBody, get, pattern, put
from tests.contract.uploads import put_parts
from tests.migrate.faulty import Failing, started
from tests.migrate.scene import MAIN, Run, assert_copies_nothing, assert_same, fill, uploads

PARTS = [pattern(5000, 1), pattern(5000, 2), pattern(5000, 3)]


@pytest.fixture
def source():
    backend = started()
    backend.create_bucket(MAIN)
    return backend


def changing():
    """Return a storage in which ``faults`` happen just before calls."""
    return started(Failing)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr("s3shim.migrate.objects.pause_after", lambda attempt: 0.001)


KEY = ObjectRef("bucket", "key")


@pytest.mark.parametrize("first", [b"old", pattern(3000), [pattern(3000), b"old"]])
@pytest.mark.parametrize("second", [b"new", pattern(3000, 1), [pattern(3000), b"new"], None])
def test_an_object_that_changes_between_its_record_and_its_bytes(first, second):
    source, target = changing(), changing()
    source.create_bucket(MAIN)

    def write(value):
        if value is None:
            source.delete_object(KEY, NO_CONDITIONS)
        elif isinstance(value, bytes):
            put(source, "key", value)
        else:
            put_parts(source, "key", value)

    write(first)
    source.faults["get_object"] = [lambda: write(second)]
    run = Run(source, target)
    assert run.progress.problems == 0
    assert run.counts == ({Outcome.GONE: 1} if second is None else {Outcome.COPIED: 1})
    assert_same(target, source)
    assert uploads(target) == []


def test_an_object_that_never_stands_still_is_told():
    source, target = changing(), changing()
    source.create_bucket(MAIN)
    put(source, "key", b"0")
    source.faults["get_object"] = [lambda n=n: put(source, "key", b"%d" % n) for n in range(1, 100)]
    run = Run(source, target)
    assert run.lines == ["bucket/key: it changes again and again"]
    assert run.counts == {Outcome.FAILED: 1}


@pytest.mark.parametrize(
    "method", ["put_object", "put_object_last_modified", "copy_object", "complete_multipart_upload"]
)
def test_what_others_write_at_the_destination_meanwhile_is_seen(method):
    source, target = changing(), changing()
    source.create_bucket(MAIN)
    put(source, "key", b"data")
    source.put_object_last_modified(KEY, 1_000_000_000_000, NO_CONDITIONS)
    if method == "complete_multipart_upload":
        put_parts(source, "key", [b"data", b"more"])
    elif method == "copy_object":
        Run(source, target)
        source.put_object_tags(KEY, {"a": "1"})
    seen = []
    theirs = BytesBody(b"theirs")
    target.faults[method] = [
        lambda: seen.append(MemoryBackend.put_object(target, KEY, theirs, ObjectMeta(), NO_CONDITIONS))
    ]
    assert Run(source, target, concurrency=1).progress.problems == 0
    assert len(seen) == 1
    assert_same(target, source)
    assert uploads(target) == []


def test_an_upload_that_is_aborted_by_another_run_begins_anew():
    source, target = changing(), changing()
    source.create_bucket(MAIN)
    put_parts(source, "key", PARTS)

    def abort():
        (found,) = uploads(target)
        target.abort_multipart_upload(UploadRef("bucket", "key", found.upload_id))

    target.faults["upload_part"] = [lambda: None, abort]
    target.faults["complete_multipart_upload"] = [abort]
    assert Run(source, target).counts == {Outcome.COPIED: 1}
    assert_same(target, source)


def test_a_bucket_that_goes_while_it_is_read_is_no_problem():
    source, target = changing(), changing()
    source.create_bucket(MAIN)
    source.faults["list_objects"] = [lambda: source.delete_bucket("bucket")]
    run = Run(source, target)
    assert (run.lines, run.progress.problems) == ([], 0)


def test_a_bucket_that_another_run_makes_first():
    source, target = changing(), changing()
    source.create_bucket(MAIN)
    put(source, "key", b"data")
    target.faults["create_bucket"] = [lambda: MemoryBackend.create_bucket(target, MAIN)]
    assert Run(source, target).progress.problems == 0
    assert_same(target, source)


def test_two_runs_at_once_make_it_equal(source, target):
    fill(source)
    runs = []
    threads = [threading.Thread(target=lambda: runs.append(Run(source, target))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [run.lines for run in runs] == [[], []]
    assert_same(target, source)
    assert_copies_nothing(source, target)


def test_writers_at_the_source_never_make_a_mixture(source, any_target):
    target = any_target

    def whole(seed):
        return bytes([seed]) * 3000

    ended = threading.Event()

    def write():
        seed = 0
        while not ended.is_set():
            seed = (seed + 1) % 200
            put(source, "plain", whole(seed), meta=ObjectMeta(user={"seed": str(seed)}))
            put_parts(source, "parts", [whole(seed), whole(seed)], meta=ObjectMeta(user={"seed": str(seed)}))

    seen: set[str] = set()
    deadline = time.monotonic() + 30
    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(seen) < 5:
            assert time.monotonic() < deadline
            Run(source, target)
            for found in target.list_objects("bucket", ListQuery()).items:
                info = target.head_object(ObjectRef("bucket", found.key), NO_CONDITIONS)
                assert set(get(target, found.key)) == {int(info.meta.user["seed"])}
                seen.add(info.meta.user["seed"])
    finally:
        ended.set()
        writer.join(60)
    assert Run(source, target).progress.problems == 0
    assert_same(target, source)
