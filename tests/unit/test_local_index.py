"""The index of the local store: growth, a full disk, damaged records, the order of keys."""

import errno
import resource
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Event, Thread

import lmdb
import pytest

from s3shim.backends.local import LocalBackend
from s3shim.backends.local.records import OBJECT, BucketRecord, key_stem, seal, seek_key, unseal, version_key
from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo, ListQuery, ObjectRef
from tests.contract.bodies import code_of, get, put

KEY = ObjectRef("bucket", "key")


@contextmanager
def opened(path, **settings):
    """A started store with an empty bucket."""
    backend = LocalBackend(path / "store", **settings)
    backend.start()
    if code_of(backend.head_bucket, "bucket"):
        backend.create_bucket(BucketInfo("bucket", "main", 1))
    try:
        yield backend
    finally:
        backend.close()


@pytest.fixture
def backend(tmp_path):
    """A started store with an empty bucket."""
    with opened(tmp_path) as backend:
        yield backend


# -- growth and a full disk


def test_the_map_grows_when_it_is_full(tmp_path):
    with opened(tmp_path, map_size=1 << 20) as backend:
        for number in range(80):
            put(backend, f"{number:03}", bytes([number]) * 30_000)
        assert backend.store.index.map_size >= 4 << 20
        for number in range(80):
            assert get(backend, f"{number:03}") == bytes([number]) * 30_000


def test_the_map_grows_under_readers_and_writers(tmp_path):
    with opened(tmp_path, map_size=1 << 20) as backend:
        put(backend, "first", b"first")
        done = Event()

        def read():
            while not done.is_set():
                assert get(backend, "first") == b"first"
                assert backend.list_objects("bucket", ListQuery()).items

        def write(thread):
            for number in range(15):
                put(backend, f"{thread}/{number}", bytes([thread]) * 30_000)

        with ThreadPoolExecutor(12) as pool:
            readers = [pool.submit(read) for _ in range(4)]
            try:
                list(pool.map(write, range(8)))
            finally:
                done.set()
            for reader in readers:
                reader.result()
        assert len(backend.list_objects("bucket", ListQuery()).items) == 121
        assert backend.store.index.map_size >= 4 << 20


@pytest.mark.parametrize("threads", [1, 8])
def test_a_map_that_may_not_grow_is_insufficient_storage(tmp_path, threads):
    with opened(tmp_path, map_size=1 << 20, max_map=1 << 20) as backend:

        def write(number):
            return code_of(put, backend, f"{number:03}", bytes(30_000))

        with ThreadPoolExecutor(threads) as pool:
            codes = list(pool.map(write, range(60)))
        assert set(codes) == {None, Code.InsufficientStorage}
        stored = [info.key for info in backend.list_objects("bucket", ListQuery()).items]
        assert stored == [f"{number:03}" for number, code in enumerate(codes) if code is None]
        for key in stored:
            backend.delete_object(ObjectRef("bucket", key), NO_CONDITIONS)
        assert backend.store.index.map_size <= 3 << 20
        put(backend, "later", bytes(30_000))
        assert get(backend, "later") == bytes(30_000)


def test_a_map_that_the_system_refuses_is_insufficient_storage(tmp_path, monkeypatch):
    monkeypatch.setattr("s3shim.backends.local.index._can_map", lambda size: False)
    with opened(tmp_path, map_size=1 << 20) as backend:
        codes = {code_of(put, backend, f"{number:03}", bytes(30_000)) for number in range(60)}
        assert codes == {None, Code.InsufficientStorage}


def test_an_index_that_may_not_grow_on_disk(tmp_path):
    with opened(tmp_path) as backend:
        put(backend, "key", b"old")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
        try:
            codes = {code_of(put, backend, f"{number:03}", bytes(30_000)) for number in range(60)}
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert codes == {None, Code.InsufficientStorage}
        put(backend, "key", b"new")
        assert get(backend, "key") == b"new"


def test_what_lmdb_errors_mean(tmp_path):
    def failed(code):
        return type("Failed", (lmdb.Error,), {"code": code})("mdb_txn_commit")

    for full, number, expected in (
        (False, errno.ENOSPC, Code.InsufficientStorage),
        (False, -30772, Code.InsufficientStorage),
        (True, errno.EIO, Code.InsufficientStorage),
        (False, errno.EIO, Code.InternalError),
        (False, errno.EROFS, Code.ServiceUnavailable),
        (False, errno.EINTR, Code.ServiceUnavailable),
        (False, errno.EINVAL, None),
        (False, -30796, None),
    ):
        with opened(tmp_path) as backend:
            backend.store.index.space.is_full = lambda full=full: full
            found = backend.store.index.translate(failed(number))
            assert isinstance(found, lmdb.Error) if expected is None else found.code is expected


def test_too_many_readers_is_service_unavailable(tmp_path):
    with opened(tmp_path) as backend, ExitStack() as stack:
        index = backend.store.index
        for _ in range(index.env.max_readers()):
            stack.enter_context(index.read())
        result = []
        reader = Thread(target=lambda: result.append(code_of(backend.head_bucket, "bucket")))
        reader.start()
        reader.join()
        assert result == [Code.ServiceUnavailable]
        stack.close()
        backend.head_bucket("bucket")


# -- damaged records

ANY = ETagList(any=True)


def change_value(backend, table, find, change):
    """Replace the value of the one record in ``table`` whose key satisfies ``find``."""
    index = backend.store.index
    with index.write() as txn:
        handle = getattr(index.tables, table)
        with txn.cursor(handle) as cursor:
            ((key, value),) = [(key, value) for key, value in cursor if find(key)]
        txn.put(key, change(value), db=handle)


def flip(value):
    return value[:-3] + bytes([value[-3] ^ 1]) + value[-2:]


def test_a_damaged_object_record_is_an_internal_error_and_nothing_else_is(backend, caplog):
    for key in ("a", "key", "z"):
        put(backend, key, key.encode())
    change_value(backend, "objects", lambda key: b"key\0" in key, flip)
    for call in (
        lambda: get(backend, "key"),
        lambda: backend.head_object(KEY, NO_CONDITIONS),
        lambda: put(backend, "key", b"new", conditions=Conditions(if_none_match=ANY)),
        lambda: backend.delete_object(KEY, Conditions(if_match=ANY)),
        lambda: backend.put_object_tags(KEY, {"a": "b"}),
        lambda: backend.list_objects("bucket", ListQuery()),
    ):
        caplog.clear()
        assert code_of(call) is Code.InternalError
        assert "damaged record" in caplog.text
    assert (get(backend, "a"), get(backend, "z")) == (b"a", b"z")
    assert [info.key for info in backend.list_objects("bucket", ListQuery(marker="key")).items] == ["z"]


def test_a_record_under_another_key_is_damage(backend):
    put(backend, "one", b"1")
    put(backend, "two", b"2")
    values = []
    change_value(backend, "objects", lambda key: b"one\0" in key, lambda value: values.append(value) or value)
    change_value(backend, "objects", lambda key: b"two\0" in key, lambda value: values[0])
    assert code_of(get, backend, "two") is Code.InternalError


@pytest.mark.parametrize("change", [flip, lambda value: value[:-1], lambda value: b""])
def test_damaged_inline_bytes_are_never_given_out(backend, change):
    put(backend, "key", b"some small object")
    change_value(backend, "inline", lambda key: True, change)
    assert code_of(backend.get_object, KEY, None, NO_CONDITIONS) is Code.InternalError
    put(backend, "key", b"new")
    assert get(backend, "key") == b"new"


def test_missing_inline_bytes_are_an_internal_error(backend):
    put(backend, "key", b"some small object")
    index = backend.store.index
    with index.write() as txn:
        txn.drop(index.tables.inline, delete=False)
    assert code_of(get, backend, "key") is Code.InternalError


@pytest.mark.parametrize("table", ["buckets", "documents", "state"])
def test_other_damaged_records(backend, table):
    backend.put_document("bucket", "policy", b"{   }")
    find = {"state": lambda key: key == b"uuid"}.get(table, lambda key: True)
    change_value(backend, table, find, flip)
    call = {
        "buckets": lambda: backend.head_bucket("bucket"),
        "documents": lambda: backend.get_document("bucket", "policy"),
        "state": backend.check,
    }[table]
    assert code_of(call) is (Code.ServiceUnavailable if table == "state" else Code.InternalError)


def test_records_with_more_fields_or_fewer_are_read():
    key = b"key"
    longer = seal(key, BucketRecord(1, "main", 2))
    assert unseal(key, longer, OBJECT.__class__(BucketRecord)) == BucketRecord(1, "main", 2)
    short = OBJECT.decode(b"\x95\x01\x02\xa1e\x03\x90")
    assert (short.sequence, short.size, short.etag, short.last_modified, short.extents) == (1, 2, "e", 3, [])
    assert (short.version_id, short.delete_marker, short.user) == ("null", False, {})


def test_keys_sort_by_bucket_key_and_newest_version():
    ordered = [
        version_key(key_stem(bucket, key), sequence)
        for bucket in (1, 2, 300)
        for key in ("a", "a\x01", "a/", "b", "\U0010ffff")
        for sequence in (900, 2, 1)
    ]
    assert ordered == sorted(ordered)
    assert seek_key(1, "a\0") > key_stem(1, "a") + b"\xff" * 8
    assert seek_key(1, "a\0") <= key_stem(1, "a\x01")


def test_delete_bucket_leaves_nothing_in_the_index(backend):
    backend.put_document("bucket", "policy", b"{}")
    backend.put_document("bucket", "cors", b"<>")
    put(backend, "key", b"data")
    backend.delete_object(KEY, NO_CONDITIONS)
    backend.delete_bucket("bucket")
    index = backend.store.index
    with index.read() as view:
        tables = ("buckets", "objects", "inline", "documents")
        assert [view.txn.stat(getattr(index.tables, name))["entries"] for name in tables] == [0] * 4


def test_a_reader_that_cannot_be_used_is_given_back_for_another(backend, monkeypatch):
    index = backend.store.index
    env, given_back = index.env, []

    class Spoiled:
        def get(self, *_, **__):
            raise lmdb.BadTxnError("what LMDB says")

        def abort(self):
            given_back.append(self)

    class Env:
        def __init__(self):
            self.waiting = [Spoiled(), Spoiled()]

        def begin(self, *, write):
            return self.waiting.pop() if self.waiting else env.begin(write=write)

    monkeypatch.setattr(index, "env", Env())
    with index.read() as view:
        assert view.uuid()
    assert len(given_back) == 2


@pytest.mark.parametrize("kind", [lmdb.ReadersFullError, lmdb.PanicError, lmdb.BadTxnError])
def test_an_index_that_cannot_be_used_now_is_no_fault_of_the_request(backend, kind):
    index = backend.store.index
    with pytest.raises(S3Error) as raised, index.read():
        raise kind("what LMDB says")
    assert raised.value.code is Code.ServiceUnavailable
    with index.read() as view:
        assert view.uuid()
