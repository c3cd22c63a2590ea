"""Damaged rows of the index: what they describe can be replaced and removed, and nothing else suffers."""

import pytest

from s3shim.backends.local import sweep
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code
from s3shim.model import BucketInfo, ListQuery, UploadQuery
from tests.contract.bodies import code_of, get, put
from tests.contract.uploads import begin, complete, part_numbers, put_parts, upload
from tests.unit.audit import entries
from tests.unit.stores import BLOCK, DATA, KEY, files_of, started
from tests.unit.test_local_copies import copy


@pytest.fixture
def root(tmp_path):
    """Where the store is."""
    return tmp_path / "store"


@pytest.fixture
def backend(root):
    """A store whose bodies above 1,000 bytes are files."""
    with started(root, inline_max=1000, block_size=BLOCK, map_size=1 << 26, reserve=0) as backend:
        yield backend


def damage(backend, table, *, key=lambda key: key, value=lambda value: value[:-1] + bytes([value[-1] ^ 1])):
    """Change the first row of a table."""
    index = backend.store.index
    handle = getattr(index.tables, table)
    with index.write() as txn, txn.cursor(handle) as cursor:
        assert cursor.first()
        old, content = cursor.item()
        txn.delete(old, db=handle)
        txn.put(key(old), value(content), db=handle)


def flipped(key):
    """Return a key with another last bit."""
    return key[:-1] + bytes([key[-1] ^ 1])


def make_object(backend, kind):
    if kind == "parts":
        put_parts(backend, "key", [DATA, DATA[:50]])
    else:
        put(backend, "key", DATA if kind == "file" else b"small")


@pytest.mark.parametrize("how", ["put", "delete", "copy", "complete"])
@pytest.mark.parametrize(
    ("kind", "table"),
    [("inline", "objects"), ("file", "objects"), ("parts", "objects"), ("parts", "layouts")],
)
def test_what_a_damaged_object_is_can_be_replaced_and_removed(backend, kind, table, how):
    make_object(backend, kind)
    put(backend, "other", DATA)
    damage(backend, table)
    if table == "objects":
        assert code_of(backend.list_objects, "bucket", ListQuery()) is Code.InternalError
    assert code_of(get, backend, "key") is Code.InternalError
    if how == "put":
        put(backend, "key", b"new")
        assert get(backend, "key") == b"new"
    elif how == "copy":
        copy(backend, "other", "key")
        assert get(backend, "key") == DATA
    elif how == "complete":
        put_parts(backend, "key", [b"new"])
        assert get(backend, "key") == b"new"
    else:
        backend.delete_object(KEY, NO_CONDITIONS)
        assert code_of(get, backend, "key") is Code.NoSuchKey
    keys = [info.key for info in backend.list_objects("bucket", ListQuery()).items]
    assert keys == ["other"] if how == "delete" else ["key", "other"]
    assert get(backend, "other") == DATA


@pytest.mark.parametrize("table", ["uploads", "parts"])
def test_a_damaged_upload_can_be_aborted(backend, root, table):
    ref = begin(backend)
    upload(backend, ref, 1, b"small")
    upload(backend, ref, 2, DATA)
    damage(backend, table)
    assert code_of(backend.list_parts, ref, 0, 10) is Code.InternalError
    if table == "uploads":
        assert code_of(backend.list_multipart_uploads, "bucket", UploadQuery()) is Code.InternalError
    backend.abort_multipart_upload(ref)
    assert code_of(backend.abort_multipart_upload, ref) is Code.NoSuchUpload
    assert backend.list_multipart_uploads("bucket", UploadQuery()).items == []
    assert (entries(backend, "parts"), entries(backend, "refs")) == (0, 0)
    backend.delete_bucket("bucket")


def test_a_damaged_part_can_be_uploaded_again(backend):
    ref = begin(backend)
    upload(backend, ref, 1, b"small")
    damage(backend, "parts")
    part = upload(backend, ref, 1, DATA)
    assert part_numbers(backend, ref) == [1]
    complete(backend, ref, [part])
    assert get(backend, "key") == DATA


@pytest.mark.parametrize("change", [{"key": flipped}, {}], ids=["key", "value"])
def test_a_file_whose_count_is_damaged_is_never_unlinked(backend, root, change):
    put(backend, "key", DATA)
    copy(backend, "key", "copy")
    damage(backend, "refs", **change)
    assert code_of(copy, backend, "key", "third") is Code.InternalError
    backend.delete_object(KEY, NO_CONDITIONS)
    assert backend.store.reclaim(everything=True) == 0
    assert get(backend, "copy") == DATA
    backend.close()
    assert sweep(root) == 0
    backend.start()
    assert get(backend, "copy") == DATA


def test_the_sweep_removes_nothing_where_references_are_lost(backend, root, tmp_path):
    put(backend, "key", DATA)
    index = backend.store.index
    with index.write() as txn:
        ((_, value),) = list(txn.cursor(index.tables.refs))
        txn.put(b"\0" * 16, value, db=index.tables.refs)
    backend.close()
    orphan = root / "blobs" / "00" / f"{1:032x}"
    orphan.write_bytes(b"")
    assert sweep(root) == 0
    assert len(files_of(tmp_path)) == 2
    backend.start()


def test_damaged_garbage_names_nothing_that_goes(backend, root):
    put(backend, "a", b"gone")
    put(backend, "gone", DATA)
    backend.delete_objects("bucket", [])
    put_parts(backend, "parts", [b"1", b"2", b"3"])
    put_parts(backend, "parts", [b"4", b"5", b"6"])
    assert entries(backend, "gc") == 3
    damage(backend, "gc", key=lambda key: key[:16] + next_inline(backend), value=lambda value: value)
    assert backend.store.reclaim(everything=True) == 2
    assert get(backend, "parts") == b"456"
    assert get(backend, "a") == b"gone"


def next_inline(backend):
    """Return the id of the last inline bytes."""
    index = backend.store.index
    with index.read() as view:
        return [key for key, _ in view.rows(index.tables.inline, b"")][-1]


def test_a_lost_sequence_number_is_never_begun_anew(backend):
    put(backend, "key", DATA)
    damage(backend, "state", key=flipped, value=lambda value: value)
    assert code_of(put, backend, "other", DATA) is Code.InternalError
    assert get(backend, "key") == DATA


class Astray:
    """A cursor of a damaged tree."""

    def __init__(self, keys):
        self.keys = keys

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def set_range(self, key):
        return True

    def __iter__(self):
        return ((key, b"") for key in self.keys)


@pytest.mark.parametrize("keys", [[b"b", b"b"], [b"b", b"c", b"b"], [b"a"]])
def test_rows_out_of_order_are_damage(backend, keys, monkeypatch):
    with backend.store.index.read() as view:
        transaction, view.txn = view.txn, None
        rows = view.rows
        view.txn = type(
            "Transaction", (), {"cursor": lambda self, table: Astray(keys), "abort": transaction.abort}
        )()
        assert code_of(lambda: list(rows(None, b"", b"b"))) is Code.InternalError


@pytest.mark.parametrize(
    "value", [lambda value: value[:-1] + b"?", lambda value: value[:3], lambda value: b""]
)
def test_a_bucket_that_was_read_and_is_damaged_then_is_not_remembered(backend, value):
    put(backend, "key", b"small")
    assert backend.head_bucket("bucket").owner == "main"
    damage(backend, "buckets", value=value)
    assert code_of(backend.head_bucket, "bucket") is Code.InternalError
    assert code_of(get, backend, "key") is Code.InternalError


def test_a_bucket_made_anew_is_another(backend):
    put(backend, "key", b"small")
    backend.delete_object(KEY, NO_CONDITIONS)
    backend.delete_bucket("bucket")
    assert code_of(backend.head_bucket, "bucket") is Code.NoSuchBucket
    backend.create_bucket(BucketInfo("bucket", "other", 2))
    assert backend.head_bucket("bucket") == BucketInfo("bucket", "other", 2)
    assert code_of(get, backend, "key") is Code.NoSuchKey
