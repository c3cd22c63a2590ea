"""NATS that is full, or has too much to do, and requests that end before they are done."""

import asyncio
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from s3shim.backends.nats.format import stream_of
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code, S3Error
from s3shim.model import BucketInfo, ObjectRef
from tests.contract.bodies import BytesBody, code_of, get, pattern, put
from tests.contract.uploads import put_parts
from tests.nats.rig import BUCKET, check_sound, chunk_ids, keys, started, until

BLOCK = pattern(300_000)


def fill(backend):
    """Put objects until there is no room; return their keys."""
    stored = []
    while True:
        key = f"{len(stored):03}"
        code = code_of(put, backend, key, BLOCK)
        if code is not None:
            assert code is Code.InsufficientStorage
            return stored
        stored.append(key)
        assert len(stored) < 100


def check_full(backend):
    """A storage that gets full refuses, reads, deletes, and has room again at once."""
    stored = fill(backend)
    assert len(stored) > 3
    assert code_of(put, backend, "more", pattern(400_000)) is Code.InsufficientStorage
    assert code_of(put, backend, "large", pattern(3_000_000)) is Code.InsufficientStorage
    assert keys(backend) == stored
    assert get(backend, stored[0]) == BLOCK
    until(8, lambda: chunk_ids(backend) <= backend.store.cached.index.nuids("bucket"))
    for key in stored:
        backend.delete_object(ObjectRef("bucket", key), NO_CONDITIONS)
    assert keys(backend) == []
    began = time.monotonic()
    until(3, lambda: code_of(put, backend, "again", BLOCK) is None)
    assert time.monotonic() - began < 3
    assert get(backend, "again") == BLOCK
    for key in stored[1:]:
        until(3, lambda key=key: code_of(put, backend, key, BLOCK) is None)
    check_sound(backend)


def test_a_server_without_room(run_server, tmp_path):
    server = run_server(limits="max_file_store: 4194304")
    with started(tmp_path, server.url, timeout=1.0) as backend:
        backend.create_bucket(BUCKET)
        check_full(backend)


def test_an_account_without_room(run_server, tmp_path):
    server = run_server(
        more="""accounts { A {
            jetstream { max_file: 4194304, max_mem: 0, max_streams: 3 }
            users: [ { user: "u", password: "x" } ]
        } }"""
    )
    with started(tmp_path, server.url, user="u", password="x", timeout=1.0) as backend:
        backend.create_bucket(BUCKET)
        check_full(backend)


def test_a_bucket_without_room(run_server, tmp_path):
    with started(tmp_path, run_server().url, timeout=1.0) as backend:
        backend.create_bucket(BUCKET)
        store = backend.store
        config = store.call(store.js.stream_info(stream_of("bucket")))["config"]
        store.call(store.js.do(f"STREAM.UPDATE.{stream_of('bucket')}", config | {"max_bytes": 4 << 20}))
        check_full(backend)


def test_too_many_buckets(run_server, tmp_path):
    server = run_server(
        more="""accounts { A {
            jetstream { max_file: 4194304, max_mem: 0, max_streams: 2 }
            users: [ { user: "u", password: "x" } ]
        } }"""
    )
    with started(tmp_path, server.url, user="u", password="x", timeout=1.0) as backend:
        codes = [code_of(backend.create_bucket, BucketInfo(f"b-{n}", "main", 1)) for n in range(4)]
        assert codes == [None, None, Code.TooManyBuckets, Code.TooManyBuckets]


def test_a_server_that_takes_only_small_messages(run_server, tmp_path, caplog):
    with started(tmp_path, run_server(more="max_payload: 65536").url, timeout=1.0) as backend:
        backend.create_bucket(BUCKET)
        put(backend, "small", pattern(10_000))
        for size in (300_000, 3_000_000):
            began = time.monotonic()
            assert code_of(put, backend, "large", pattern(size)) is Code.ServiceUnavailable
            assert time.monotonic() - began < 3
        assert keys(backend) == ["small"]
    assert "max_payload is 65536" in caplog.text


@pytest.mark.parametrize("size", [10, 400_000, 3_000_000])
def test_the_stream_is_deleted_behind_our_back(run_server, tmp_path, size):
    with started(tmp_path, run_server().url, timeout=1.0) as backend:
        for _ in range(2):
            backend.create_bucket(BUCKET)
            put(backend, "key", pattern(size))
            assert keys(backend) == ["key"]
            store = backend.store
            store.call(store.js.do(f"STREAM.DELETE.{stream_of('bucket')}", {}))
            began = time.monotonic()
            assert code_of(put, backend, "key", pattern(size)) is Code.NoSuchBucket
            assert code_of(get, backend, "key") is Code.NoSuchBucket
            assert code_of(keys, backend) is Code.NoSuchBucket
            assert code_of(backend.delete_object, ObjectRef("bucket", "key"), NO_CONDITIONS) is (
                Code.NoSuchBucket
            )
            assert code_of(backend.head_bucket, "bucket") is Code.NoSuchBucket
            assert time.monotonic() - began < 3


# -- requests that end early --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "error"),
    [(0, S3Error(Code.BadDigest)), (1, ConnectionResetError()), (40, KeyboardInterrupt())],
    ids=["at the start", "in the first window", "in a later one"],
)
def test_a_body_that_fails_leaves_no_chunks(run_server, tmp_path, at, error):
    with started(tmp_path, run_server().url, timeout=1.0) as backend:
        backend.create_bucket(BUCKET)
        body = BytesBody(pattern(6_000_000), piece=131_072, fail_at=at, error=error)
        with pytest.raises(type(error)):
            put(backend, "key", body)
        until(8, lambda: not chunk_ids(backend))
        assert keys(backend) == []
        assert backend.store.remote.connection.link().waiting == 0


def test_a_reader_that_goes_away_leaves_nothing(run_server, tmp_path):
    with started(tmp_path, run_server().url, timeout=1.0) as backend:
        backend.create_bucket(BUCKET)
        put(backend, "key", pattern(6_000_000))
        for _ in range(5):
            stream = backend.get_object(ObjectRef("bucket", "key"), None, NO_CONDITIONS)
            assert next(iter(stream.chunks))
            stream.chunks.close()
        until(2, lambda: backend.store.remote.connection.link().waiting == 0)
        assert not backend.store.reclaim._readers


def test_many_large_reads_that_are_not_taken_away(run_server, tmp_path):
    """What is read ahead is bounded, others are served, and the server does not take us for too slow."""
    with started(tmp_path, run_server().url, timeout=2.0) as backend:
        backend.create_bucket(BUCKET)
        data = pattern(500_000) * 24
        put(backend, "large", data)
        put(backend, "small", b"body")
        client = backend.store.remote.connection.server["client_id"]
        streams = [backend.get_object(ObjectRef("bucket", "large"), None, NO_CONDITIONS) for _ in range(48)]
        iterators = [iter(stream.chunks) for stream in streams]
        firsts = [next(iterator) for iterator in iterators]
        time.sleep(1)
        began = time.monotonic()
        assert get(backend, "small") == b"body"
        assert time.monotonic() - began < 1
        with ThreadPoolExecutor(16) as pool:
            rests = list(pool.map(lambda iterator: sum(map(len, iterator)), iterators))
        assert [len(first) + rest for first, rest in zip(firsts, rests, strict=True)] == [len(data)] * 48
        assert backend.store.remote.connection.server["client_id"] == client


def test_many_large_reads_at_the_same_time(run_server, tmp_path):
    with started(tmp_path, run_server().url, timeout=5.0) as backend:
        backend.create_bucket(BUCKET)
        data = pattern(500_000) * 8
        put(backend, "large", data)
        client = backend.store.remote.connection.server["client_id"]
        with ThreadPoolExecutor(64) as pool:
            found = list(pool.map(lambda _: get(backend, "large") == data, range(96)))
        assert found == [True] * 96
        assert backend.store.remote.connection.server["client_id"] == client


# -- the loop -----------------------------------------------------------------------------------

DYING = """
    import logging, sys, threading
    from pathlib import Path
    from tests.nats.rig import BUCKET, started
    from tests.contract.bodies import put
    logging.basicConfig()
    how, url, path = sys.argv[1:]
    with started(Path(path), url) as backend:
        backend.create_bucket(BUCKET)
        bridge = backend.store.bridge
        def die():
            raise SystemExit(0)
        end = die if how == "raise" else bridge.loop.stop
        threading.Timer(0.3, bridge.loop.call_soon_threadsafe, [end]).start()
        while True:
            put(backend, "key", b"body" * 100_000)
"""


@pytest.mark.parametrize("how", ["raise", "stop"])
def test_the_death_of_the_loop_ends_the_process(run_server, tmp_path, how):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DYING), how, run_server().url, str(tmp_path)],
        timeout=20,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 70
    assert b"died" in done.stderr or how == "stop"


def test_a_stop_amid_requests_ends(run_server, tmp_path):
    with started(tmp_path, run_server().url, timeout=2.0) as backend:
        backend.create_bucket(BUCKET)
        outcomes = []

        def work(number):
            try:
                while True:
                    put(backend, f"{number}", pattern(700_000))
            except S3Error as error:
                outcomes.append(error.code)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        began = time.monotonic()
        backend.close()
        for thread in threads:
            thread.join(5)
        assert time.monotonic() - began < 4
        assert outcomes == [Code.ServiceUnavailable] * 4
    with started(tmp_path, backend.settings.servers[0]) as again:
        assert set(check_sound(again).values()) == {pattern(700_000)}


@pytest.mark.parametrize("multipart", [False, True], ids=["put", "completion"])
def test_a_bucket_that_is_made_anew_just_before_the_metadata_gets_no_object(
    run_server, tmp_path, monkeypatch, multipart
):
    server = run_server()
    with started(tmp_path, server.url) as backend, started(tmp_path / "other", server.url) as other:
        backend.create_bucket(BUCKET)
        catalog = backend.store.catalog
        publish = catalog._publish

        def remake():
            other.delete_bucket("bucket")
            other.create_bucket(BUCKET)

        async def late(*args):
            monkeypatch.setattr(catalog, "_publish", publish)
            await asyncio.to_thread(remake)
            await publish(*args)

        monkeypatch.setattr(catalog, "_publish", late)
        write = put_parts if multipart else put
        code = code_of(write, backend, "key", [pattern(400_000)] if multipart else pattern(400_000))
        assert code is Code.NoSuchBucket
        assert keys(backend) == []
        assert code_of(get, backend, "key") is Code.NoSuchKey
        assert chunk_ids(backend) == set()
