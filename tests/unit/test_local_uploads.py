"""Multipart uploads in the local store: what they write, what they free, what their ids are."""

import re
from itertools import islice
from time import sleep

import pytest

from s3shim.backends.local import upload_rows
from s3shim.backends.local.reclaim import interval_of
from s3shim.backends.local.records import FILE, Extent, PartRecord
from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.errors import Code
from s3shim.model import ObjectRef, UploadQuery, UploadRef
from s3shim.multipart import Completion, ListedPart
from s3shim.paging import list_uploads_page, upload_position
from s3shim.ranges import ByteRange
from tests.contract.bodies import BytesBody, code_of, get, pattern, put
from tests.contract.uploads import begin, complete, copy_part, part_numbers, put_parts, upload
from tests.unit.audit import audit, entries
from tests.unit.stores import BLOCK, started

DAY = 86_400_000
PART = pattern(2 * BLOCK + 100)


class Clock:
    """A clock that is set by hand, ms."""

    def __init__(self):
        self.now = 1_700_000_000_000

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    """The clock of ``backend``."""
    return Clock()


@pytest.fixture
def root(tmp_path):
    """Where the store is."""
    return tmp_path / "store"


@pytest.fixture
def backend(root, clock):
    """A store whose bodies above 1,000 bytes are files."""
    with started(root, inline_max=1000, block_size=BLOCK, clock=clock, reserve=0) as backend:
        yield backend


def written():
    """Return how many bytes this process has handed to the system to write."""
    with open("/proc/self/io") as file:
        return int(re.search(r"wchar: (\d+)", file.read())[1])


def with_parts(backend, count, size=10 << 20):
    """Begin an upload with rows for ``count`` parts of files that are not there; return it and its parts."""
    ref = begin(backend, "key", algorithm="crc32")

    def change(edit):
        found = upload_rows.find(edit, ref)
        for part_number in range(1, count + 1):
            extent = Extent(FILE, part_number.to_bytes(2, "big") * 8, size, part_number, 0, size)
            part = PartRecord(size, f"{part_number:032x}", 1_700_000_000_000, [extent], {"crc32": "AAAAAA=="})
            edit.hold([extent])
            upload_rows.replace_part(edit, found.sequence, part_number, part, 0)

    backend.store.committer.run(change)
    return ref, Completion([ListedPart(n, f"{n:032x}") for n in range(1, count + 1)], 5 << 20)


def bytes_of_completion(path, count):
    with started(path, map_size=1 << 28) as backend:
        ref, completion = with_parts(backend, count)
        before = written()
        info = backend.complete_multipart_upload(ref, completion, NO_CONDITIONS)
        spent = written() - before
        assert (info.parts_count, info.size) == (count, count * (10 << 20))
        assert [entries(backend, table) for table in ("uploads", "parts", "layouts")] == [0, 0, 1]
        assert entries(backend, "refs") == count
        return spent


def test_a_completion_writes_little_and_in_proportion_to_its_parts(tmp_path):
    thousand = bytes_of_completion(tmp_path / "1", 1000)
    assert 50_000 < thousand < 1 << 20
    assert bytes_of_completion(tmp_path / "2", 10_000) < 10 * thousand


def test_a_completion_leaves_the_files_where_they_are(root, backend):
    ref = begin(backend)
    parts = [upload(backend, ref, n, PART) for n in (1, 2, 3)]
    names = sorted((path.name, path.stat().st_ino) for path in (root / "blobs").rglob("*") if path.is_file())
    complete(backend, ref, parts)
    after = sorted((path.name, path.stat().st_ino) for path in (root / "blobs").rglob("*") if path.is_file())
    assert names == after
    assert get(backend, "key") == PART * 3
    assert audit(backend, root) == 3


@pytest.mark.parametrize("sizes", [(5000, 10), (10, 20, 30), (10, 5000, 20, 5000, 0, 30), (7,), (0,)])
def test_parts_in_the_index_and_in_files(root, backend, sizes):
    datas = [pattern(size, seed) for seed, size in enumerate(sizes)]
    put_parts(backend, "key", datas)
    whole = b"".join(datas)
    assert get(backend, "key") == whole
    for first in range(0, len(whole), 997):
        assert get(backend, "key", ByteRange(first, None)) == whole[first:]
        assert get(backend, "key", ByteRange(first, first + 4)) == whole[first : first + 5]
    audit(backend, root)
    backend.delete_object(ObjectRef("bucket", "key"), NO_CONDITIONS)
    backend.store.reclaim(everything=True)
    assert audit(backend, root) == 0
    assert entries(backend, "inline") == 0


def test_what_is_not_used_any_more_is_freed(root, backend):
    ref = begin(backend)
    first = upload(backend, ref, 1, PART)
    upload(backend, ref, 1, PART[::-1])
    upload(backend, ref, 2, PART)
    upload(backend, ref, 3, b"small")
    again = upload(backend, ref, 1, PART)
    assert again.etag == first.etag
    assert audit(backend, root) == 4
    assert backend.store.reclaim(everything=True) == 2
    complete(backend, ref, [again])
    assert backend.store.reclaim(everything=True) == 1
    assert audit(backend, root) == 1
    assert get(backend, "key") == PART
    assert entries(backend, "inline") == 0


def test_an_abort_frees_all_parts(root, backend):
    put(backend, "source", PART)
    ref = begin(backend)
    upload(backend, ref, 1, PART)
    upload(backend, ref, 2, b"small")
    copy_part(backend, ref, 3, "source")
    backend.abort_multipart_upload(ref)
    assert code_of(backend.abort_multipart_upload, ref) is Code.NoSuchUpload
    backend.store.reclaim(everything=True)
    assert audit(backend, root) == 1
    assert get(backend, "source") == PART


def test_delete_bucket_frees_the_parts_of_its_uploads(root, backend):
    for key in ("a", "b"):
        ref = begin(backend, key)
        upload(backend, ref, 1, PART)
        upload(backend, ref, 2, b"small")
    put(backend, "there", b"")
    assert code_of(backend.delete_bucket, "bucket") is Code.BucketNotEmpty
    assert audit(backend, root) == 2
    backend.delete_object(ObjectRef("bucket", "there"), NO_CONDITIONS)
    backend.delete_bucket("bucket")
    backend.store.reclaim(everything=True)
    assert audit(backend, root) == 0
    assert [entries(backend, table) for table in ("uploads", "parts", "inline")] == [0, 0, 0]


def test_a_part_of_an_upload_that_ended_meanwhile_leaves_no_file(root, backend):
    ref = begin(backend)

    class Aborting(BytesBody):
        def read(self, size):
            if self.reads == 1:
                backend.abort_multipart_upload(ref)
            return super().read(size)

    assert code_of(upload, backend, ref, 1, Aborting(PART, piece=BLOCK)) is Code.NoSuchUpload
    assert audit(backend, root) == 0


def test_a_refused_completion_changes_nothing(root, backend):
    put(backend, "key", PART)
    ref = begin(backend)
    part = upload(backend, ref, 1, PART)
    sequence = _sequence(backend)
    never = Conditions(if_none_match=ETagList(any=True))
    for completion, conditions, code in (
        (Completion([ListedPart(2, part.etag)]), NO_CONDITIONS, Code.InvalidPart),
        (Completion([ListedPart(1, part.etag)] * 2), NO_CONDITIONS, Code.InvalidPartOrder),
        (Completion([ListedPart(1, part.etag)], size=1), NO_CONDITIONS, Code.InvalidRequest),
        (Completion([ListedPart(1, part.etag)]), never, Code.PreconditionFailed),
    ):
        assert code_of(backend.complete_multipart_upload, ref, completion, conditions) is code
    assert _sequence(backend) == sequence
    assert part_numbers(backend, ref) == [1]
    complete(backend, ref, [part])
    assert audit(backend, root) == 2


def _sequence(backend):
    with backend.store.index.read() as view:
        return view.sequence()


def test_only_the_id_that_was_given_names_the_upload(backend):
    ref = begin(backend)
    other = begin(backend)
    real = ref.upload_id
    assert re.fullmatch("[0-9a-f]{48}", real)
    strange = [
        "",
        real[:-1],
        real + "0",
        " " + real,
        real + "\n",
        real.upper() if real.upper() != real else "G" * 48,
        real[:16],
        real[:16] + "0" * 32,
        real[:16] + other.upload_id[16:],
        other.upload_id[:16] + real[16:],
        "f" * 48,
        "\N{ARABIC-INDIC DIGIT ONE}" * 48,
        "\N{FULLWIDTH DIGIT ONE}" + real[1:],
    ]
    for upload_id in strange:
        named = UploadRef("bucket", "key", upload_id)
        assert code_of(backend.head_multipart_upload, named) is Code.NoSuchUpload
        nothing = Completion([ListedPart(1, "0" * 32)])
        refused = code_of(backend.complete_multipart_upload, named, nothing, NO_CONDITIONS)
        assert refused is Code.NoSuchUpload
    assert backend.head_multipart_upload(ref).upload_id == real


@pytest.mark.parametrize("delimiter", ["", "/", "a"])
def test_uploads_are_listed_from_any_marker(backend, delimiter):
    refs = [begin(backend, key) for key in ("a", "a", "a", "a!", "a/b", "b/c", "b/c", "c\U0010ffff", "é")]
    positions = sorted(upload_position(ref.key, ref.upload_id) for ref in refs)
    ids = [ref.upload_id for ref in refs]
    ids += ["", "0", "f" * 48, "F" * 48, "zz", "\U0010ffff", ids[0][:16], ids[1][:20], "0" * 16, "g"]

    def seek(start):
        return ((position, lambda p=position: p) for position in positions if position >= start)

    for key_marker in ("", "a", "a!", "b/", "b/c", "c", "é", "zzz"):
        for upload_id_marker in ids:
            for most in (1, 3, 1000):
                query = UploadQuery("", delimiter, key_marker, upload_id_marker, most)
                expected = list_uploads_page(seek, query)
                found = backend.list_multipart_uploads("bucket", query)
                assert [upload_position(info.key, info.upload_id) for info in found.items] == expected.items
                assert found.common_prefixes == expected.common_prefixes
                assert found.next_marker == expected.next_marker


def test_old_uploads_and_old_answers_go_by_themselves(root, backend, clock):
    done = begin(backend, "done")
    part = upload(backend, done, 1, PART)
    complete(backend, done, [part])
    old = begin(backend, "old")
    upload(backend, old, 1, PART)
    clock.now += 1
    young = begin(backend, "young")
    reclaimer = backend.store._parts.reclaimer
    clock.now += DAY - 1
    reclaimer.expire()
    complete(backend, done, [part])
    clock.now += 1
    reclaimer.expire()
    assert code_of(complete, backend, done, [part]) is Code.NoSuchUpload
    clock.now += 6 * DAY - 1
    reclaimer.expire()
    assert part_numbers(backend, old) == [1]
    clock.now += 1
    reclaimer.expire()
    assert code_of(backend.head_multipart_upload, old) is Code.NoSuchUpload
    assert backend.head_multipart_upload(young).key == "young"
    backend.store.reclaim(everything=True)
    assert audit(backend, root) == 1
    assert get(backend, "done") == PART


def test_many_answers_are_forgotten_in_several_commits(backend, clock, monkeypatch):
    monkeypatch.setattr("s3shim.backends.local.expiry.BATCH", 3)
    for _ in range(8):
        put_parts(backend, "key", [b"data"])
    clock.now += DAY + 1
    backend.store._parts.reclaimer.expire()
    assert [entries(backend, table) for table in ("completed", "answered")] == [0, 0]


def test_without_an_expiry_uploads_stay(root, clock):
    with started(root, clock=clock, upload_expiry=0) as backend:
        ref = begin(backend)
        clock.now += 1000 * DAY
        backend.store._parts.reclaimer.expire()
        assert backend.head_multipart_upload(ref).key == "key"


def test_parts_are_listed_without_walking_over_those_before(backend):
    ref, _ = with_parts(backend, 100)
    _, parts = backend.list_parts(ref, 97, 2)
    assert [part.part_number for part in parts] == [98, 99]
    assert backend.list_parts(ref, 1 << 40, 10)[1] == []
    with backend.store.index.read() as view:
        sequence = upload_rows.find(view, ref).sequence
        assert [number for number, _ in islice(upload_rows.parts(view, sequence, 99), 2)] == [100]


def test_the_thread_expires_uploads_though_unlinking_fails(root, clock, monkeypatch, caplog):
    monkeypatch.setattr("s3shim.backends.local.reclaim.LONGEST", 0.001)

    def run(self, *, everything=False):
        raise OSError("no unlinking today")

    with started(root, clock=clock, upload_expiry=10) as backend:
        monkeypatch.setattr("s3shim.backends.local.reclaim.Reclaimer.run", run)
        ref = begin(backend)
        clock.now += 10_001
        for _ in range(3000):
            if code_of(backend.head_multipart_upload, ref):
                break
            sleep(0.01)
        assert code_of(backend.head_multipart_upload, ref) is Code.NoSuchUpload
    assert "no unlinking today" in caplog.text


def test_a_damaged_upload_does_not_keep_the_others_from_expiring(backend):
    damaged, broken, whole = begin(backend, "a"), begin(backend, "b"), begin(backend, "c")
    upload(backend, broken, 1, PART)
    index = backend.store.index
    for table in (index.tables.uploads, index.tables.parts):
        with index.write() as txn, txn.cursor(table) as cursor:
            assert cursor.first()
            cursor.put(cursor.key(), cursor.value() + b"?")
    assert backend.expire_multipart_uploads(1 << 50) == 2
    codes = [code_of(backend.head_multipart_upload, ref) for ref in (damaged, broken, whole)]
    assert codes == [Code.InternalError, Code.NoSuchUpload, Code.NoSuchUpload]


@pytest.mark.parametrize(("grace", "seconds"), [(0, 1), (1, 1), (40, 10), (3600, 60)])
def test_files_are_looked_for_as_often_as_their_grace_demands(grace, seconds):
    assert interval_of(grace) == seconds
