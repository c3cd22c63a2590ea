"""The key index of the NATS storage, against a nats-server and against clients that know nothing of it."""

import json
import threading
from base64 import urlsafe_b64encode

import pytest

from s3shim.backends.nats import mirror as mirrors
from s3shim.backends.nats.cache import Cache
from s3shim.backends.nats.format import meta_subject
from s3shim.backends.nats.index import Index
from s3shim.backends.nats.mirror import Source
from s3shim.errors import Code, S3Error
from s3shim.model import ListQuery
from tests.contract.bodies import code_of
from tests.nats_server import NatsServer
from tests.unit.nats_clients import Client, delete, make_bucket, put, remove_bucket, stranger

KEYS = ["b", "a/2", "a/1", "a", "ä", "\U0001f600", "zz", "a.b", "a b", "￿", "\U00010000", "%2F", "a//", "é"]


def keys(index, bucket, **query):
    return [info.key for info in index.list_objects(bucket, ListQuery(**query)).items]


def raw(client, subject, data):
    """Store one message."""
    return client.call(client.jetstream.publish(subject, data, {"Nats-Rollup": "sub"}))


def requests(monkeypatch, index):
    """Return a list that grows by the name of each request."""
    seen = []
    jetstream = index._source.jetstream

    def watched(name, real):
        def spy(*given, **options):
            seen.append(name)
            return real(*given, **options)

        return spy

    for name in ("stream_info", "batch", "following", "present"):
        monkeypatch.setattr(jetstream, name, watched(name, getattr(jetstream, name)))
    return seen


def test_keys_are_in_byte_order(nats_server, bucket, index):
    put(nats_server.url, bucket, *KEYS)
    page = index.list_objects(bucket, ListQuery())
    assert [info.key for info in page.items] == sorted(KEYS, key=str.encode)
    assert page.next_marker is None
    assert {info.key: info.size for info in page.items} == {key: len(key.encode()) for key in KEYS}
    assert all(info.etag.startswith("SHA-256=") for info in page.items)
    assert index.count(bucket) == len(KEYS)
    assert index.keys_alive(bucket)
    assert len(index.nuids(bucket)) == len(KEYS)


def test_pages_prefixes_and_markers(nats_server, bucket, index):
    put(nats_server.url, bucket, *KEYS)
    found, marker = [], ""
    while marker is not None:
        page = index.list_objects(bucket, ListQuery(marker=marker, max_keys=3))
        found += [info.key for info in page.items]
        marker = page.next_marker
    assert found == sorted(KEYS, key=str.encode)
    page = index.list_objects(bucket, ListQuery(delimiter="/"))
    assert page.common_prefixes == ["a/"]
    assert [info.key for info in page.items] == sorted(
        (key for key in KEYS if "/" not in key), key=str.encode
    )
    assert keys(index, bucket, prefix="a/") == ["a//", "a/1", "a/2"]
    assert keys(index, bucket, prefix="x" * 1024) == []
    assert keys(index, bucket, prefix="a" * 5000) == []


def test_an_empty_bucket_and_one_that_is_not_there(bucket, index):
    assert keys(index, bucket) == []
    assert not index.keys_alive(bucket)
    assert code_of(index.list_objects, "no-such-bucket", ListQuery()) is Code.NoSuchBucket


def test_changes_by_others_are_seen_at_once(nats_server, bucket, index):
    assert keys(index, bucket) == []
    put(nats_server.url, bucket, "one", "two", "three")
    assert keys(index, bucket) == ["one", "three", "two"]
    delete(nats_server.url, bucket, "two")
    assert keys(index, bucket) == ["one", "three"]
    put(nats_server.url, bucket, "two", "one")
    assert keys(index, bucket) == ["one", "three", "two"]
    delete(nats_server.url, bucket, "one", "two", "three")
    assert keys(index, bucket) == []
    assert not index.keys_alive(bucket)


def test_nothing_new_is_one_request_and_one_change_two(nats_server, bucket, client, index, monkeypatch):
    put(nats_server.url, bucket, *KEYS)
    keys(index, bucket)
    seen = requests(monkeypatch, index)
    keys(index, bucket)
    assert seen == ["stream_info"]
    del seen[:]
    put(nats_server.url, bucket, "new")
    assert "new" in keys(index, bucket)
    assert seen == ["stream_info", "batch"]
    del seen[:]
    raw(client, f"$O.{bucket}.C.chunk", b"data")
    keys(index, bucket)
    assert seen == ["stream_info", "batch", "following"]


def test_a_recreated_bucket_has_none_of_the_old_keys(nats_server, bucket, index):
    put(nats_server.url, bucket, "old", "both")
    assert keys(index, bucket) == ["both", "old"]
    remove_bucket(nats_server.url, bucket)
    assert code_of(index.list_objects, bucket, ListQuery()) is Code.NoSuchBucket
    make_bucket(nats_server.url, bucket)
    assert keys(index, bucket) == []
    put(nats_server.url, bucket, "both", "new", "newer", "newest")
    assert keys(index, bucket) == ["both", "new", "newer", "newest"]


def test_a_recreated_bucket_that_is_longer_than_the_old_one(nats_server, bucket, index):
    put(nats_server.url, bucket, "old")
    assert keys(index, bucket) == ["old"]
    remove_bucket(nats_server.url, bucket)
    make_bucket(nats_server.url, bucket)
    put(nats_server.url, bucket, *KEYS)
    assert keys(index, bucket) == sorted(KEYS, key=str.encode)


def test_a_purged_bucket(nats_server, bucket, index):
    put(nats_server.url, bucket, *KEYS)
    assert len(keys(index, bucket)) == len(KEYS)
    stranger(nats_server.url, lambda js: js.purge_stream(f"OBJ_{bucket}"))
    assert keys(index, bucket) == []
    put(nats_server.url, bucket, "after")
    assert keys(index, bucket) == ["after"]


def test_what_was_purged_behind_its_back_is_found_by_counting(nats_server, bucket, index):
    put(nats_server.url, bucket, *KEYS)
    assert len(keys(index, bucket)) == len(KEYS)
    stranger(nats_server.url, lambda js: js.purge_stream(f"OBJ_{bucket}", subject=meta_subject(bucket, "zz")))
    index.mirror(bucket).count()
    assert keys(index, bucket) == sorted(set(KEYS) - {"zz"}, key=str.encode)


def test_an_idle_index_is_counted_before_it_answers(nats_server, bucket, index, monkeypatch):
    put(nats_server.url, bucket, *KEYS)
    keys(index, bucket)
    delete(nats_server.url, bucket, "zz")
    stranger(nats_server.url, lambda js: js.purge_stream(f"OBJ_{bucket}", subject=meta_subject(bucket, "zz")))
    put(nats_server.url, bucket, "later")
    now = mirrors._now()
    monkeypatch.setattr(mirrors, "_now", lambda: now + mirrors.IDLE + 1)
    assert keys(index, bucket) == sorted({*KEYS, "later"} - {"zz"}, key=str.encode)
    seen = requests(monkeypatch, index)
    assert "zz" not in keys(index, bucket)
    assert seen == ["stream_info"]


def test_tombstones_that_another_host_purged_are_no_reason_to_read_anew(
    nats_server, bucket, index, monkeypatch
):
    put(nats_server.url, bucket, *KEYS)
    delete(nats_server.url, bucket, "zz", "a")
    keys(index, bucket)
    for key in ("zz", "a"):
        stranger(
            nats_server.url,
            lambda js, key=key: js.purge_stream(f"OBJ_{bucket}", subject=meta_subject(bucket, key)),
        )
    seen = requests(monkeypatch, index)
    before = index.mirror(bucket)._state()
    state = index.mirror(bucket).count()
    assert (state.id, state.live, state.dead) == (before.id, len(KEYS) - 2, 0)
    assert "batch" not in seen


ODD = [
    ("M.!!!", b"{}"),
    ("M." + urlsafe_b64encode(b"\xff\xfe").decode(), b"{}"),
    ("M." + urlsafe_b64encode(b"a\0b").decode(), b"{}"),
    ("M." + urlsafe_b64encode(b"k" * 1025).decode(), b"{}"),
    ("M." + urlsafe_b64encode(b"unpadded").decode().rstrip("="), b'{"size": 1, "nuid": "x"}'),
    ("M.x." + urlsafe_b64encode(b"odd").decode(), b'{"size": 1, "nuid": "x"}'),
    ("M." + urlsafe_b64encode(b"json").decode(), b"no json"),
    ("M." + urlsafe_b64encode(b"list").decode(), b"[]"),
    ("M." + urlsafe_b64encode(b"size").decode(), b'{"size": -1, "nuid": "x"}'),
    ("M." + urlsafe_b64encode(b"text").decode(), b'{"size": "many", "nuid": "x"}'),
    ("M." + urlsafe_b64encode(b"huge").decode(), b'{"size": 1e999, "nuid": "x"}'),
    ("M." + urlsafe_b64encode(b"half").decode(), b'{"size": 1, "nuid": "\\ud800"}'),
    ("M." + urlsafe_b64encode(b"meta").decode(), b'{"size": 1, "nuid": "x", "metadata": 7, "headers": [1]}'),
]


def test_what_is_no_object_is_passed_over(nats_server, bucket, client, index, caplog):
    put(nats_server.url, bucket, "one")
    for rest, data in ODD:
        raw(client, f"$O.{bucket}.{rest}", data)
    put(nats_server.url, bucket, "two")
    assert keys(index, bucket) == ["one", "two"]
    state = index.mirror(bucket).count()
    assert state.rows == 2 + len(ODD)
    assert len([record for record in caplog.records if "none of ours" in record.message]) == 1


def test_a_key_whose_message_became_unreadable_is_not_listed(nats_server, bucket, client, index):
    put(nats_server.url, bucket, "one", "two")
    assert keys(index, bucket) == ["one", "two"]
    raw(client, meta_subject(bucket, "one"), b"garbage")
    assert keys(index, bucket) == ["two"]
    before = index.mirror(bucket)._state()
    assert index.mirror(bucket).count().id == before.id
    raw(client, meta_subject(bucket, "one"), json.dumps({"size": 7, "nuid": "n"}).encode())
    assert [info.size for info in index.list_objects(bucket, ListQuery()).items] == [7, 3]
    assert index.mirror(bucket)._state().odd == 0


def test_without_direct_get(nats_server, bucket, index):
    async def forbid(js):
        info = await js.stream_info(f"OBJ_{bucket}")
        info.config.allow_direct = False
        await js.update_stream(info.config)

    stranger(nats_server.url, forbid)
    index._source.jetstream.timeout = 0.3
    put(nats_server.url, bucket, *KEYS)
    assert keys(index, bucket) == sorted(KEYS, key=str.encode)
    delete(nats_server.url, bucket, "a")
    assert keys(index, bucket) == sorted(set(KEYS) - {"a"}, key=str.encode)


def test_many_batches(nats_server, bucket, client, index, monkeypatch):
    monkeypatch.setattr(mirrors, "_BATCH", 7)
    names = [f"{number:04d}" for number in range(100)]
    put(nats_server.url, bucket, *names)
    put(nats_server.url, bucket, *names[:20])
    assert keys(index, bucket) == names


def test_nats_is_gone(bucket, client, index, nats_server):
    index._source.jetstream.timeout = 0.2
    client.disconnect()
    with pytest.raises(S3Error) as refused:
        index.list_objects(bucket, ListQuery())
    assert refused.value.code is Code.ServiceUnavailable


def test_a_key_that_its_reader_did_not_find_is_forgotten(nats_server, bucket, index):
    put(nats_server.url, bucket, "one", "two")
    keys(index, bucket)
    index.forget(bucket, "one", 1)
    assert keys(index, bucket) == ["one", "two"]
    index.forget(bucket, "one", 2)
    assert keys(index, bucket) == ["two"]
    assert index.count(bucket) == 1


def test_many_threads(nats_server, bucket, index):
    errors = []

    def work(number):
        try:
            for turn in range(10):
                assert {f"{name}" for name in range(5)} <= set(keys(index, bucket)), (number, turn)
        except Exception as error:
            errors.append(error)

    put(nats_server.url, bucket, *map(str, range(5)))
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for turn in range(5):
        put(nats_server.url, bucket, *map(str, range(5)), f"more{turn}")
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_restarted_server_holds_the_same_streams(tmp_path):
    server = NatsServer(tmp_path).start()
    cache = Cache(tmp_path / "index")
    try:
        make_bucket(server.url, "bucket")
        put(server.url, "bucket", *KEYS)
        states = []
        for _ in range(2):
            client = Client(server.url, tmp_path)
            index = Index(Source(cache, client.bridge, client.jetstream))
            assert keys(index, "bucket") == sorted(KEYS, key=str.encode)
            states.append(index.mirror("bucket").count())
            client.close()
            server.stop()
            server.start()
        assert states[0].id == states[1].id
    finally:
        cache.close()
        server.stop()
