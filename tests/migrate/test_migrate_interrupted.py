"""Runs that are killed or stopped at any time, and sources that change while they are read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from s3shim.backends.local import LocalBackend, sweep
from s3shim.backends.local.fsck import check
from s3shim.migrate import Migration, Outcome
from s3shim.migrate.uploads import INITIATOR
from s3shim.model import ObjectMeta, UploadInfo, UploadRef
from tests.contract.bodies import BytesBody, pattern, put
from tests.contract.conftest import BLOCK, INLINE_MAX
from tests.contract.uploads import put_parts, upload
from tests.migrate.faulty import started
from tests.migrate.scene import MAIN, Run, assert_copies_nothing, assert_same, fill, state, uploads

KILLED = """
import os, signal, sys
from pathlib import Path
from s3shim.backends.local import LocalBackend
from s3shim.migrate import Migration

source, target = (LocalBackend(Path(name), inline_max=1000, block_size=4096) for name in sys.argv[1:3])
left = int(sys.argv[3])

def counted(method):
    def call(*arguments):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*arguments)
    return call

for backend in (source, target):
    backend.start()
for name in ("create_bucket", "put_document", "put_object", "create_multipart_upload", "upload_part",
             "complete_multipart_upload", "put_object_last_modified", "abort_multipart_upload"):
    setattr(target, name, counted(getattr(target, name)))
migration = Migration(source, target, print, concurrency=int(sys.argv[4]))
migration.progress.__class__.moved = counted(migration.progress.__class__.moved)
print(migration.run().problems)
"""


def opened(path):
    return started(LocalBackend, path, inline_max=INLINE_MAX, block_size=BLOCK)


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_run_that_was_killed_at_any_point_goes_on(tmp_path, concurrency):
    source = opened(tmp_path / "source")
    source.create_bucket(MAIN)
    fill(source)
    expected = state(source)
    source.close()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    kills, point = 0, 1
    while True:
        command = [sys.executable, "-c", KILLED, tmp_path / "source", tmp_path / "target", str(point)]
        done = subprocess.run([*command, str(concurrency)], env=environment, capture_output=True, timeout=60)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        kills, point = kills + 1, point + 5
    assert (done.stdout, done.stderr) == (b"0\n", b"")
    assert kills >= 6
    target = opened(tmp_path / "target")
    assert state(target) == expected
    assert [uploads(target, name) for name in ("bucket", "another", "empty")] == [[], [], []]
    source = opened(tmp_path / "source")
    assert_copies_nothing(source, target)
    source.close()
    target.close()
    sweep(tmp_path / "target")
    assert check(tmp_path / "target", deep=True).problems == []


@pytest.fixture
def source():
    backend = started()
    backend.create_bucket(MAIN)
    return backend


def stop_at(source, target, size) -> Migration:
    """Run a migration that is stopped once so many bytes have been read."""
    migration = Migration(source, target, print, concurrency=1)

    class Stopping(type(source)):
        """The source; the bytes that it gives stop the migration."""

        def get_object(self, *arguments):
            """See Backend."""
            stream = super().get_object(*arguments)
            stream.chunks = _Counted(stream.chunks, migration, size)
            return stream

    source.__class__, kind = Stopping, type(source)
    try:
        migration.run()
    finally:
        source.__class__ = kind
    return migration


class _Counted:
    def __init__(self, chunks, migration, size):
        self.chunks, self.migration, self.size = chunks, migration, size

    def __iter__(self):
        for chunk in self.chunks:
            for start in range(0, len(chunk), 1000):
                if self.migration.progress.bytes >= self.size:
                    self.migration.progress.stop()
                yield chunk[start : start + 1000]

    def close(self):
        """See model.Chunks."""
        self.chunks.close()


PARTS = [pattern(5000, 1), pattern(5000, 2), pattern(5000, 3)]


def left_behind(target, parts, *, meta=None, initiator=INITIATOR, algorithm="crc32", key="parts"):
    """Leave an upload with these parts as an interrupted migration does."""
    info = UploadInfo(key, "", 0, initiator, meta or ObjectMeta(), algorithm, "COMPOSITE")
    begun = target.create_multipart_upload("bucket", info)
    ref = UploadRef("bucket", key, begun.upload_id)
    for number, data in parts.items():
        upload(target, ref, number, data)
    return ref


def reads(source, target, least):
    """Migrate, and assert that all is right then and that no more than ``least`` bytes were read for it."""
    run = Run(source, target)
    assert (run.lines, run.progress.problems) == ([], 0)
    assert_same(target, source)
    assert uploads(target) == []
    assert run.progress.bytes == least


@pytest.fixture
def half_way(source, any_target):
    put_parts(source, "parts", PARTS, algorithm="crc32")
    any_target.create_bucket(MAIN)
    return source, any_target


def test_an_upload_that_was_left_is_gone_on_with(half_way):
    left_behind(half_way[1], {1: PARTS[0], 2: PARTS[1]})
    reads(*half_way, 5000)


@pytest.mark.parametrize("size", [0, 4000, 5000, 12_000, 14_000])
def test_a_run_that_is_stopped_in_the_midst_of_parts_goes_on_behind_the_last_whole_one(half_way, size):
    migration = stop_at(*half_way, size)
    assert migration.progress.stopped
    assert (migration.progress.objects, migration.progress.bytes) == (0, size)
    assert "parts" not in [name[1] for name in state(half_way[1]) if isinstance(name, tuple)]
    reads(*half_way, 15_000 - size // 5000 * 5000)


@pytest.mark.parametrize("size", [0, 4000])
def test_a_run_that_is_stopped_in_the_midst_of_an_object_leaves_nothing_of_it(source, target, size):
    put(source, "key", pattern(9000))
    assert stop_at(source, target, size).progress.stopped
    assert list(state(target)) == ["bucket"]
    reads(source, target, 9000)


def test_an_upload_that_lacks_its_end_alone_reads_nothing(half_way):
    left_behind(half_way[1], dict(enumerate(PARTS, 1)))
    reads(*half_way, 0)


def test_of_several_uploads_the_best_is_gone_on_with_and_none_stays(half_way):
    for parts in ({}, {1: PARTS[0], 2: PARTS[1]}, {1: PARTS[0]}):
        left_behind(half_way[1], parts)
    reads(*half_way, 5000)


@pytest.mark.parametrize("parts", [{2: PARTS[1]}, {1: PARTS[1]}, {1: PARTS[0][:-1]}, {7: PARTS[0]}])
def test_parts_that_are_not_those_of_the_source_are_not_taken(half_way, parts):
    left_behind(half_way[1], parts)
    reads(*half_way, 15_000)


def test_an_upload_with_other_metadata_is_not_taken(half_way):
    left_behind(half_way[1], {1: PARTS[0]}, meta=ObjectMeta(tags={"a": "1"}))
    left_behind(half_way[1], {1: PARTS[0]}, algorithm="crc32c")
    reads(*half_way, 15_000)


def test_a_part_that_only_seems_to_be_right_is_found_by_the_etag(half_way):
    class Lying(BytesBody):
        """Other bytes, with the digests of the right ones but the MD5."""

        @property
        def digests(self):
            """See model.Body."""
            body = BytesBody(PARTS[0])
            body.ended, body.more = True, self.more
            right = body.digests
            right.md5 = super().digests.md5
            return right

    left_behind(half_way[1], {1: Lying(PARTS[1])})
    reads(*half_way, 10_000 + 15_000)


def test_uploads_of_objects_that_are_gone_or_there_are_aborted(half_way):
    source, target = half_way
    Run(source, target)
    for key in ("parts", "gone", "parts/below"):
        left_behind(target, {1: PARTS[0]}, key=key)
    theirs = left_behind(target, {1: PARTS[0]}, initiator="main")
    assert Run(source, target).counts == {Outcome.EQUAL: 1}
    assert [found.upload_id for found in uploads(target)] == [theirs.upload_id]


def test_more_leftovers_than_a_page_has_are_aborted(source):
    target = started()
    Run(source, target)
    for number in range(2100):
        left_behind(target, {}, key=f"{number % 1050:04}")
    Run(source, target)
    assert uploads(target) == []
