"""The rounds that the NATS storage makes by itself: they take what nobody needs, and leave the rest."""

import secrets
import time

import pytest

from s3shim.backends.nats.backend import NatsBackend
from s3shim.backends.nats.reclaim import lease_key
from s3shim.backends.nats.settings import NatsSettings
from s3shim.conditions import NO_CONDITIONS
from s3shim.model import BucketInfo, ListQuery, ObjectRef, UploadQuery
from tests.contract.bodies import get, put
from tests.contract.uploads import begin, complete, upload
from tests.unit.nats_clients import remove_stream

DATA = bytes(range(256)) * 1000


@pytest.fixture
def backend(nats_server, tmp_path):
    """A started storage; nothing stays for a grace time."""
    backend = NatsBackend(NatsSettings(tmp_path / "index", servers=(nats_server.url,), upload_expiry=1000))
    backend.start()
    backend.store.cached.housekeeper.grace = 0
    yield backend
    backend.close()
    remove_stream(nats_server.url, "KV_s3shim")


@pytest.fixture
def name(backend, nats_server):
    """An empty bucket."""
    name = f"rounds-{secrets.token_hex(6)}"
    backend.create_bucket(BucketInfo(name, "main", 1))
    yield name
    remove_stream(nats_server.url, f"OBJ_{name}")


def chunk(backend, bucket, nuid):
    store = backend.store
    store.call(store.js.publish(f"$O.{bucket}.C.{nuid}", b"data"))


def nuids(backend, bucket):
    """Return the ids of which there are chunks."""
    store, subject = backend.store, f"$O.{bucket}.C.>"
    info = store.call(store.js.stream_info(f"OBJ_{bucket}", subjects_filter=subject))
    return {name.split(".")[3] for name in info["state"].get("subjects") or ()}


def test_a_round_takes_what_nobody_needs(backend, name):
    for key in ("kept", "deleted"):
        put(backend, key, DATA, bucket=name)
    backend.delete_object(ObjectRef(name, "deleted"), NO_CONDITIONS)
    ref = begin(backend, "uploaded", bucket=name)
    parts = [upload(backend, ref, number, DATA) for number in (1, 2)]
    before = nuids(backend, name)
    chunk(backend, name, "orphan")
    assert backend._rounds.round()
    # Those of the deleted object too, which are removed sooner otherwise.
    assert len(nuids(backend, name)) == 3
    assert nuids(backend, name) < before
    assert get(backend, "kept", bucket=name) == DATA
    complete(backend, ref, parts)
    backend._rounds._cleaned -= 3600
    assert backend._rounds.round()
    assert get(backend, "uploaded", bucket=name) == DATA * 2
    assert [info.key for info in backend.list_objects(name, ListQuery()).items] == ["kept", "uploaded"]
    state = backend.store.cached.index.mirror(name).count()
    assert (state.live, state.dead) == (2, 0)


def test_what_a_reader_of_another_host_needs_stays(backend, name):
    chunk(backend, name, "read")
    chunk(backend, name, "orphan")
    store = backend.store
    store.call(store.kv.put(lease_key(name, "read"), b"", seconds=60))
    backend._rounds.round()
    assert nuids(backend, name) == {"read"}


def test_expired_uploads_are_aborted(backend, name):
    upload(backend, begin(backend, "old", bucket=name), 1, DATA)
    backend._rounds._upload_expiry = -1
    assert len(backend.list_multipart_uploads(name, UploadQuery()).items) == 1
    backend._rounds.round()
    assert backend.list_multipart_uploads(name, UploadQuery()).items == []
    backend._rounds._cleaned -= 3600
    backend._rounds.round()
    assert nuids(backend, name) == set()


def test_cleaning_is_not_done_in_each_round(backend, name):
    backend._rounds.round()
    chunk(backend, name, "orphan")
    assert backend._rounds.round()
    assert nuids(backend, name) == {"orphan"}


def test_one_process_makes_the_rounds(backend, nats_server):
    assert backend._rounds.round()
    second = NatsBackend(backend.settings)
    second.start()
    try:
        assert not second._rounds.round()
        backend.store.cached.housekeeper.leave()
        assert second._rounds.round()
    finally:
        second.close()


def test_the_thread_ends_with_the_storage(nats_server, tmp_path):
    backend = NatsBackend(NatsSettings(tmp_path / "index", servers=(nats_server.url,)))
    backend.start()
    thread = backend._rounds._thread
    assert thread.is_alive()
    began = time.monotonic()
    backend.close()
    assert not thread.is_alive()
    assert time.monotonic() - began < 3
