"""Readers of objects of many files: few descriptors, undisturbed by whatever happens to the key."""

import os
import subprocess
import sys

import pytest

from s3shim.backends.local import readers
from s3shim.conditions import NO_CONDITIONS
from s3shim.copying import Copy
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectRef
from s3shim.ranges import ByteRange
from tests.contract.bodies import code_of, get, pattern, put
from tests.contract.uploads import put_parts
from tests.unit.audit import audit, entries
from tests.unit.stores import BLOCK, KEY, started

PARTS = [pattern(2 * BLOCK + 100, seed) for seed in range(5)]
MIXED = [PARTS[0], b"small", PARTS[1], b"other", PARTS[2], b"last"]


@pytest.fixture
def root(tmp_path):
    """Where the store is."""
    return tmp_path / "store"


@pytest.fixture
def backend(root):
    """A store whose bodies above 1,000 bytes are files."""
    with started(root, inline_max=1000, block_size=BLOCK, reserve=0) as backend:
        yield backend


def descriptors():
    return len(os.listdir("/proc/self/fd"))


def bytes_on_disk(root):
    return sum(path.stat().st_size for path in (root / "blobs").rglob("*") if path.is_file())


@pytest.mark.parametrize("datas", [PARTS, MIXED], ids=["files", "mixed"])
def test_a_reader_survives_100_overwrites_and_deletes(root, backend, datas):
    put_parts(backend, "key", datas)
    backend.store.reclaim(everything=True)
    one = bytes_on_disk(root)
    chunks = backend.get_object(KEY, None, NO_CONDITIONS).chunks
    pieces = iter(chunks)
    got = [next(pieces)]
    for number in range(100):
        put_parts(backend, "key", [data[::-1] for data in datas])
        if number % 3 == 0:
            backend.copy_object(Copy(KEY), KEY, NO_CONDITIONS)
        if number % 10 == 5:
            backend.delete_object(KEY, NO_CONDITIONS)
        backend.store.reclaim(everything=True)
    got += pieces
    assert b"".join(got) == b"".join(datas)
    assert audit(backend, root) > 100
    backend.store.reclaim(everything=True)
    assert bytes_on_disk(root) == one
    assert get(backend, "key") == b"".join(data[::-1] for data in datas)
    audit(backend, root)


@pytest.mark.parametrize("end", ["close", "exhaust", "damage"])
def test_a_reader_holds_two_descriptors_until_it_ends(root, backend, end):
    put_parts(backend, "key", PARTS)
    before = descriptors()
    chunks = backend.get_object(KEY, None, NO_CONDITIONS).chunks
    pieces = iter(chunks)
    for _ in range(4):
        next(pieces)
        assert descriptors() == before + 2
    assert readers.oldest_reader(root) is not None
    if end == "close":
        chunks.close()
        chunks.close()
    elif end == "exhaust":
        assert len(list(pieces)) == 11
    else:
        for path in (root / "blobs").rglob("*"):
            if path.is_file():
                path.unlink()
        with pytest.raises(S3Error) as raised:
            list(pieces)
        assert raised.value.code is Code.InternalError
    assert descriptors() == before
    assert readers.oldest_reader(root) is None


def test_a_reader_of_few_pieces_needs_no_lock(root, backend):
    put_parts(backend, "key", PARTS)
    size = len(PARTS[0])
    before = descriptors()
    stream = backend.get_object(KEY, ByteRange(size - 10, size + 9), NO_CONDITIONS)
    assert readers.oldest_reader(root) is None
    assert descriptors() == before + 2
    backend.delete_object(KEY, NO_CONDITIONS)
    assert backend.store.reclaim(everything=True) == 5
    assert b"".join(stream.chunks) == PARTS[0][-10:] + PARTS[1][:10]
    assert descriptors() == before


def test_an_object_that_is_replaced_before_the_lock_is_read_in_its_new_form(backend, monkeypatch):
    put_parts(backend, "key", PARTS)
    original = backend.store.lock_readers
    before = descriptors()

    def replaced(sequence):
        put(backend, "key", b"new")
        assert backend.store.reclaim(everything=True) == 5
        return original(sequence)

    monkeypatch.setattr(backend.store, "lock_readers", replaced)
    assert get(backend, "key") == b"new"
    assert descriptors() == before


def test_an_object_that_is_gone_before_the_lock_is_not_found(root, backend, monkeypatch):
    put_parts(backend, "key", PARTS)
    original = backend.store.lock_readers

    def removed(sequence):
        backend.delete_object(KEY, NO_CONDITIONS)
        return original(sequence)

    monkeypatch.setattr(backend.store, "lock_readers", removed)
    before = descriptors()
    assert code_of(get, backend, "key") is Code.NoSuchKey
    assert descriptors() == before
    assert readers.oldest_reader(root) is None


def test_a_missing_file_is_found_before_anything_is_answered(root, backend, caplog):
    put_parts(backend, "key", PARTS)
    for path in (root / "blobs").rglob("*"):
        if path.is_file():
            path.unlink()
    before = descriptors()
    assert code_of(backend.get_object, KEY, None, NO_CONDITIONS) is Code.InternalError
    assert descriptors() == before
    assert "missing" in caplog.text


def test_only_what_went_after_the_reader_came_waits_for_it(backend):
    put_parts(backend, "key", PARTS)
    put(backend, "before", PARTS[0])
    put(backend, "after", PARTS[0])
    backend.delete_object(ObjectRef("bucket", "before"), NO_CONDITIONS)
    chunks = backend.get_object(KEY, None, NO_CONDITIONS).chunks
    backend.delete_object(ObjectRef("bucket", "after"), NO_CONDITIONS)
    assert backend.store.reclaim(everything=True) == 1
    chunks.close()
    assert backend.store.reclaim(everything=True) == 1


def test_the_rows_that_wait_for_a_reader_do_not_hide_the_others(root, monkeypatch):
    monkeypatch.setattr("s3shim.backends.local.reclaim.BATCH", 2)
    backwards = iter(range(1 << 50, 0, -(1 << 30)))  # so what goes first is due last
    with started(root, inline_max=1000, reserve=0, clock=lambda: next(backwards)) as backend:
        put_parts(backend, "key", PARTS)
        for number in range(5):
            put(backend, f"{number}", PARTS[0])
        for number in range(3):
            backend.delete_object(ObjectRef("bucket", f"{number}"), NO_CONDITIONS)
        chunks = backend.get_object(KEY, None, NO_CONDITIONS).chunks
        for number in (3, 4):
            backend.delete_object(ObjectRef("bucket", f"{number}"), NO_CONDITIONS)
        assert backend.store.reclaim(everything=True) == 3
        chunks.close()
        assert backend.store.reclaim(everything=True) == 2


def test_the_oldest_of_many_locks(root, backend):
    assert readers.oldest_reader(root) is None
    locks = {sequence: readers.ReaderLock(root, sequence) for sequence in (50, 7, 900, 1 << 60, 8, 7_000)}
    twice = readers.ReaderLock(root, 7)
    for sequence in sorted(locks):
        assert readers.oldest_reader(root) == sequence
        if sequence == 7:
            twice.close()
            assert readers.oldest_reader(root) == 7
        locks[sequence].close()
    assert readers.oldest_reader(root) is None
    first = readers.ReaderLock(root, 0)
    assert readers.oldest_reader(root) == 0
    first.close()


READER = """
import sys
from pathlib import Path
from s3shim.backends.local import LocalBackend
from s3shim.conditions import NO_CONDITIONS
from s3shim.model import ObjectRef

backend = LocalBackend(Path(sys.argv[1]), inline_max=1000, block_size=4096)
backend.start()
pieces = iter(backend.get_object(ObjectRef("bucket", "key"), None, NO_CONDITIONS).chunks)
next(pieces)
print("reading", flush=True)
sys.stdin.readline()
print(sum(map(len, pieces)), flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("killed", [False, True])
def test_the_reader_may_be_another_process(root, backend, killed):
    put_parts(backend, "key", PARTS)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", READER, str(root)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "reading\n"
        backend.delete_object(KEY, NO_CONDITIONS)
        assert backend.store.reclaim(everything=True) == 0
        if killed:
            child.kill()
            child.wait(30)
        else:
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == f"{sum(map(len, PARTS)) - BLOCK}\n"
        assert backend.store.reclaim(everything=True) == 5
        if not killed:
            child.communicate("\n", timeout=30)
    assert entries(backend, "gc") == 0
