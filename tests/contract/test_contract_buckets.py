"""Buckets, documents and the life of a storage."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from s3shim.backends import BACKENDS, open_backend
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo, ListQuery, ObjectMeta, ObjectRef
from tests.contract.bodies import BytesBody, InterruptedBody, code_of, get, put


def test_head_bucket_returns_what_was_created(backend):
    info = BucketInfo("another", "main", 1_234_567)
    backend.create_bucket(info)
    assert backend.head_bucket("another") == info


def test_list_buckets_is_in_byte_order_with_all_owners(backend):
    for name, owner in (("zebra", "main"), ("a.b", "other"), ("a-b", "main"), ("a0b", "main")):
        backend.create_bucket(BucketInfo(name, owner, 5))
    found = backend.list_buckets()
    assert [info.name for info in found] == ["a-b", "a.b", "a0b", "bucket", "zebra"]
    assert [info.owner for info in found] == ["main", "other", "main", "main", "main"]


def test_create_bucket_again(backend):
    assert code_of(backend.create_bucket, BucketInfo("bucket", "main", 9)) is Code.BucketAlreadyOwnedByYou
    assert code_of(backend.create_bucket, BucketInfo("bucket", "other", 9)) is Code.BucketAlreadyExists
    assert backend.head_bucket("bucket") == BucketInfo("bucket", "main", 1_700_000_000_000)


def test_of_20_racing_creators_one_succeeds(backend):
    barrier = Barrier(20)

    def create(number):
        barrier.wait()
        return code_of(backend.create_bucket, BucketInfo("raced", f"owner{number % 2}", number))

    with ThreadPoolExecutor(20) as pool:
        codes = list(pool.map(create, range(20)))
    winner = codes.index(None)
    assert codes.count(None) == 1
    assert backend.head_bucket("raced") == BucketInfo("raced", f"owner{winner % 2}", winner)
    for number, code in enumerate(codes):
        same = number % 2 == winner % 2
        assert number == winner or code is (
            Code.BucketAlreadyOwnedByYou if same else Code.BucketAlreadyExists
        )


def test_delete_bucket_takes_it_away(backend):
    backend.delete_bucket("bucket")
    assert code_of(backend.head_bucket, "bucket") is Code.NoSuchBucket
    assert code_of(backend.delete_bucket, "bucket") is Code.NoSuchBucket
    assert backend.list_buckets() == []


def test_delete_bucket_refuses_one_with_objects(backend):
    put(backend, "key", b"data")
    assert code_of(backend.delete_bucket, "bucket") is Code.BucketNotEmpty
    assert get(backend, "key") == b"data"
    backend.delete_object(ObjectRef("bucket", "key"), NO_CONDITIONS)
    backend.delete_bucket("bucket")


def test_a_bucket_made_anew_is_empty(backend):
    backend.put_document("bucket", "policy", b"{}")
    backend.delete_bucket("bucket")
    backend.create_bucket(BucketInfo("bucket", "other", 2))
    assert backend.get_document("bucket", "policy") is None
    assert backend.list_objects("bucket", ListQuery()).items == []
    assert backend.head_bucket("bucket").owner == "other"


@pytest.mark.parametrize("size", [10, 5000])
def test_a_put_into_a_bucket_that_was_replaced_meanwhile_finds_no_bucket(backend, size):
    def replace():
        backend.delete_bucket("bucket")
        backend.create_bucket(BucketInfo("bucket", "main", 3))

    assert code_of(put, backend, "key", InterruptedBody(bytes(size), replace)) is Code.NoSuchBucket
    assert backend.list_objects("bucket", ListQuery()).items == []


def test_a_put_racing_with_delete_bucket_is_never_lost(backend):
    for number in range(30):
        name = f"raced{number}"
        backend.create_bucket(BucketInfo(name, "main", 1))
        barrier = Barrier(2)

        def write(name=name, barrier=barrier):
            barrier.wait()
            return code_of(put, backend, "key", b"data", bucket=name)

        def delete(name=name, barrier=barrier):
            barrier.wait()
            return code_of(backend.delete_bucket, name)

        with ThreadPoolExecutor(2) as pool:
            written, deleted = pool.submit(write), pool.submit(delete)
        if written.result() is None:
            assert deleted.result() is Code.BucketNotEmpty
            assert get(backend, "key", bucket=name) == b"data"
        else:
            assert (written.result(), deleted.result()) == (Code.NoSuchBucket, None)


def test_a_missing_bucket_is_no_such_bucket_everywhere(backend):
    ref = ObjectRef("missing", "key")
    body = BytesBody(b"data")
    calls = [
        (backend.head_bucket, "missing"),
        (backend.delete_bucket, "missing"),
        (backend.list_objects, "missing", ListQuery()),
        (backend.head_object, ref, NO_CONDITIONS),
        (backend.get_object, ref, None, NO_CONDITIONS),
        (backend.put_object, ref, body, ObjectMeta(), NO_CONDITIONS),
        (backend.delete_object, ref, NO_CONDITIONS),
        (backend.delete_object, ObjectRef("missing", "key", "other"), NO_CONDITIONS),
        (backend.get_document, "missing", "policy"),
        (backend.put_document, "missing", "policy", b"{}"),
    ]
    assert [code_of(*call) for call in calls] == [Code.NoSuchBucket] * len(calls)
    assert code_of(backend.head_bucket, "") is Code.NoSuchBucket
    assert code_of(backend.head_bucket, "x" * 5000) is Code.NoSuchBucket


def test_documents_are_kept_byte_for_byte(backend):
    backend.create_bucket(BucketInfo("second", "main", 1))
    text = bytes(range(256)) * 20
    backend.put_document("bucket", "policy", text)
    backend.put_document("bucket", "cors", b"")
    assert backend.get_document("bucket", "policy") == text
    assert backend.get_document("bucket", "cors") == b""
    assert backend.get_document("bucket", "other") is None
    assert backend.get_document("second", "policy") is None
    backend.put_document("bucket", "policy", b"new")
    assert backend.get_document("bucket", "policy") == b"new"
    backend.put_document("bucket", "policy", None)
    backend.put_document("bucket", "policy", None)
    assert backend.get_document("bucket", "policy") is None
    assert backend.get_document("bucket", "cors") == b""


def test_after_close_every_call_is_refused_until_the_next_start(backend):
    put(backend, "key", b"data")
    backend.check()
    backend.close()
    ref = ObjectRef("bucket", "key")
    calls = [
        (backend.check,),
        (backend.list_buckets,),
        (backend.head_bucket, "bucket"),
        (backend.create_bucket, BucketInfo("second", "main", 1)),
        (backend.delete_bucket, "bucket"),
        (backend.list_objects, "bucket", ListQuery()),
        (backend.head_object, ref, NO_CONDITIONS),
        (backend.get_object, ref, None, NO_CONDITIONS),
        (backend.put_object, ref, BytesBody(b"new"), ObjectMeta(), NO_CONDITIONS),
        (backend.delete_object, ref, NO_CONDITIONS),
        (backend.get_document, "bucket", "policy"),
        (backend.put_document, "bucket", "policy", b"{}"),
    ]
    assert [code_of(*call) for call in calls] == [Code.ServiceUnavailable] * len(calls)
    backend.close()
    backend.start()
    backend.check()
    assert get(backend, "key") == b"data"


def test_close_lets_readers_finish(backend):
    put(backend, "key", bytes(50_000))
    stream = backend.get_object(ObjectRef("bucket", "key"), None, NO_CONDITIONS)
    backend.close()
    assert b"".join(stream.chunks) == bytes(50_000)


def test_the_registry_knows_the_storages(tmp_path):
    assert sorted(BACKENDS) == ["local", "memory", "nats", "s3"]
    assert code_of(open_backend("memory").check) is Code.ServiceUnavailable
    assert code_of(open_backend("local", root=tmp_path).check) is Code.ServiceUnavailable
    with pytest.raises(ValueError, match="unknown backend 'floppy'"):
        open_backend("floppy")


def test_errors_are_s3_errors(backend):
    with pytest.raises(S3Error) as caught:
        backend.head_bucket("missing")
    assert (caught.value.status, caught.value.details) == (404, {"BucketName": "missing"})
