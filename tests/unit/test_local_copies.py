"""Copies in the local store: files are shared, counted and verified; inline bytes are copied."""

import pytest

from s3shim.conditions import NO_CONDITIONS
from s3shim.copying import Copy
from s3shim.errors import Code
from s3shim.model import ObjectRef
from s3shim.ranges import ByteRange
from tests.contract.bodies import code_of, get, pattern, put
from tests.contract.uploads import begin, complete, copy_part, put_parts, upload
from tests.unit.audit import audit, entries
from tests.unit.stores import BLOCK, started

DATA = pattern(5 * BLOCK + 77)


@pytest.fixture
def root(tmp_path):
    """Where the store is."""
    return tmp_path / "store"


@pytest.fixture
def backend(root):
    """A store whose bodies above 1,000 bytes are files."""
    with started(root, inline_max=1000, block_size=BLOCK, reserve=0) as backend:
        yield backend


def copy(backend, source, target):
    return backend.copy_object(Copy(ObjectRef("bucket", source)), ObjectRef("bucket", target), NO_CONDITIONS)


def delete(backend, *keys):
    return backend.delete_objects("bucket", [ObjectRef("bucket", key) for key in keys])


def join(backend, key, *pieces):
    """Make an object of (source, first, last) as parts."""
    ref = begin(backend, key)
    parts = [
        copy_part(backend, ref, number, source, ByteRange(first, last))
        for number, (source, first, last) in enumerate(pieces, 1)
    ]
    return complete(backend, ref, parts)


def damage(path, position):
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 1]))


def test_copies_share_files_and_the_last_one_frees_them(root, backend):
    put(backend, "a", DATA)
    put_parts(backend, "b", [DATA, DATA[:10], DATA[::-1]])
    whole = get(backend, "b")
    for round_number in range(3):
        copy(backend, "a", f"a{round_number}")
        copy(backend, "b", f"b{round_number}")
    assert audit(backend, root) == 3
    delete(backend, "a", "b", "a0", "b0", "a1", "b1")
    backend.store.reclaim(everything=True)
    assert audit(backend, root) == 3
    assert get(backend, "a2") == DATA
    assert get(backend, "b2") == whole
    delete(backend, "a2", "b2")
    backend.store.reclaim(everything=True)
    assert audit(backend, root) == 0
    assert entries(backend, "inline") == 0


@pytest.mark.parametrize("data", [b"", b"small", DATA])
def test_a_copy_onto_itself_never_lets_go_of_the_file(root, backend, data):
    put(backend, "key", data)
    for _ in range(3):
        copy(backend, "key", "key")
        assert entries(backend, "gc") == 0
        assert get(backend, "key") == data
    assert audit(backend, root) == (data == DATA)


def test_parts_that_are_ranges_of_files(root, backend):
    put(backend, "file", DATA)
    put(backend, "small", DATA[:500])
    put_parts(backend, "parts", [DATA, DATA[:10], DATA[::-1]])
    parts = get(backend, "parts")
    pieces = [
        ("file", 0, len(DATA) - 1),
        ("file", BLOCK - 1, BLOCK),
        ("small", 3, 7),
        ("parts", len(DATA) - 5, len(DATA) + 14),
        ("file", 3 * BLOCK + 1, len(DATA) - 1),
        ("parts", 0, len(parts) - 1),
    ]
    sources = {"file": DATA, "small": DATA[:500], "parts": parts}
    expected = b"".join(sources[source][first : last + 1] for source, first, last in pieces)
    join(backend, "joined", *pieces)
    copy(backend, "joined", "again")
    join(backend, "of it", ("again", len(DATA) + 1, len(expected) - 2))
    assert audit(backend, root) == 3
    delete(backend, "file", "small", "parts", "joined")
    backend.store.reclaim(everything=True)
    assert get(backend, "again") == expected
    assert get(backend, "of it") == expected[len(DATA) + 1 : -1]
    for first in range(0, len(expected), 1009):
        assert get(backend, "again", ByteRange(first, first + 50)) == expected[first : first + 51]
    assert audit(backend, root) == 3
    delete(backend, "again", "of it")
    backend.store.reclaim(everything=True)
    assert audit(backend, root) == 0


def test_damage_in_a_shared_file_is_found_by_all_that_share_the_block(root, backend):
    put(backend, "source", DATA)
    (path,) = [path for path in (root / "blobs").rglob("*") if path.is_file()]
    copy(backend, "source", "copy")
    join(backend, "before", ("source", 10, 2 * BLOCK - 1))
    join(backend, "across", ("source", 2 * BLOCK + 1, 2 * BLOCK + 20))
    join(backend, "behind", ("source", 3 * BLOCK, 4 * BLOCK + 3))
    damage(path, 2 * BLOCK + 3000)
    for key in ("source", "copy", "across"):
        assert code_of(get, backend, key) is Code.InternalError
    assert get(backend, "before") == DATA[10 : 2 * BLOCK]
    assert get(backend, "behind") == DATA[3 * BLOCK : 4 * BLOCK + 4]
    damage(path, path.stat().st_size - 1)
    for key in ("before", "behind"):
        assert code_of(get, backend, key) is Code.InternalError


def test_the_etag_of_a_copied_part_says_which_bytes_it_is(backend):
    source = put(backend, "source", DATA)
    put_parts(backend, "parts", [DATA])
    ref = begin(backend)
    whole = copy_part(backend, ref, 1, "source")
    assert whole.etag == copy_part(backend, ref, 1, "source", ByteRange(0, len(DATA) - 1)).etag == source.etag
    first = copy_part(backend, ref, 1, "source", ByteRange(0, 9))
    assert first.etag == copy_part(backend, ref, 2, "source", ByteRange(0, 9)).etag
    others = [
        copy_part(backend, ref, 3, "source", ByteRange(0, 10)),
        copy_part(backend, ref, 4, "source", ByteRange(1, 9)),
        copy_part(backend, ref, 5, "parts"),
        copy_part(backend, ref, 6, "parts", ByteRange(0, 9)),
        whole,
    ]
    assert len({part.etag for part in [first, *others]}) == 6
    assert all(len(bytes.fromhex(part.etag)) == 16 and part.checksums == {} for part in others)


def test_a_file_that_is_copied_while_its_key_is_overwritten_stays(root, backend):
    put(backend, "key", DATA)
    copy(backend, "key", "copy")
    put(backend, "key", DATA[::-1])
    assert backend.store.reclaim(everything=True) == 0
    assert get(backend, "copy") == DATA
    put(backend, "copy", b"")
    assert backend.store.reclaim(everything=True) == 1
    assert audit(backend, root) == 1


def test_delete_objects_is_one_commit_that_takes_damaged_records_too(root, backend, caplog):
    keys = [f"{number:03}" for number in range(100)]
    for key in keys[:5]:
        put(backend, key, DATA)
    for key in keys[5:]:
        put(backend, key, b"small")
    put_parts(backend, "parts", [DATA, DATA])
    index = backend.store.index
    with index.write() as txn, txn.cursor(index.tables.objects) as cursor:
        assert cursor.next()
        cursor.put(cursor.key(), cursor.value()[:-1] + bytes([cursor.value()[-1] ^ 1]))
    with index.write() as txn:
        txn.drop(index.tables.layouts, delete=False)
    commits = backend.store.committer.commits
    outcomes = delete(backend, *keys, "parts", "missing", "001")
    assert backend.store.committer.commits == commits + 1
    codes = [getattr(outcome, "code", None) for outcome in outcomes]
    assert codes == [None] * 103
    assert entries(backend, "objects") == 0
    assert "layout of object" in caplog.text
    # What the two damaged ones held stays counted.
    assert backend.store.reclaim(everything=True) == 4
    assert entries(backend, "refs") == 3


def test_a_part_and_the_object_it_was_copied_from_end_apart(root, backend):
    put(backend, "source", DATA)
    ref = begin(backend)
    copied = copy_part(backend, ref, 1, "source", ByteRange(5, 3 * BLOCK))
    other = upload(backend, ref, 2, DATA)
    delete(backend, "source")
    assert backend.store.reclaim(everything=True) == 0
    complete(backend, ref, [copied, other])
    assert get(backend, "key") == DATA[5 : 3 * BLOCK + 1] + DATA
    assert audit(backend, root) == 2
