"""What the NATS storage measures: each number moves when it must, and comes back."""

import os
import signal
import threading
import time

from s3shim.backends.nats.chunks import WINDOW
from s3shim.backends.nats.format import CHUNK_SIZE
from s3shim.measures import Durability, Kind
from s3shim.model import BucketInfo
from tests.contract.bodies import pattern, put
from tests.nats.rig import BUCKET, ready, started, storage, until
from tests.nats_server import free_port

NAMES = {
    "nats_objectstore_buckets_total": Kind.GAUGE,
    "nats_client_state": Kind.GAUGE,
    "nats_client_reconnects_total": Kind.COUNTER,
    "s3shim_nats_sync_always": Kind.GAUGE,
    "s3shim_nats_calls": Kind.GAUGE,
    "s3shim_nats_pending_answers": Kind.GAUGE,
    "s3shim_nats_bytes_in_flight": Kind.GAUGE,
    "s3shim_nats_loop_lag_seconds": Kind.HISTOGRAM,
    "s3shim_nats_chunks_reclaimed_total": Kind.COUNTER,
}
UNDER_WAY = ("s3shim_nats_calls", "s3shim_nats_pending_answers", "s3shim_nats_bytes_in_flight")


def value(backend, name):
    """Return the number of a measure; None where it is not known."""
    (found,) = (measure for measure in backend.measures() if measure.name == name)
    return found.samples[()][0] if found.samples else None


def test_before_the_start_and_after_the_end(run_server, tmp_path):
    server = run_server()
    backend = storage(tmp_path, server.url)
    for _ in range(2):
        assert {measure.name: measure.kind for measure in backend.measures()} == NAMES
        unknown = [measure.name for measure in backend.measures() if not measure.samples]
        assert unknown == ["nats_objectstore_buckets_total", "s3shim_nats_sync_always"]
        assert {sum(measure.samples.get((), [])) for measure in backend.measures()} == {0.0}
        assert backend.durability() is Durability.UNKNOWN
        backend.start()
        assert {measure.name: measure.kind for measure in backend.measures()} == NAMES
        backend.close()


def test_buckets_are_counted_now_and_then(run_server, tmp_path, monkeypatch):
    monkeypatch.setattr("s3shim.backends.nats.census._COUNT_EVERY", 0.2)
    server = run_server()
    with started(tmp_path, server.url) as backend:
        until(5, lambda: value(backend, "nats_objectstore_buckets_total") == 0)
        for name in ("one", "two.with.dots", "three"):
            backend.create_bucket(BucketInfo(name, "main", 1_700_000_000_000))
        until(5, lambda: value(backend, "nats_objectstore_buckets_total") == 3)
        backend.delete_bucket("one")
        until(5, lambda: value(backend, "nats_objectstore_buckets_total") == 2)


def test_how_the_server_syncs(run_server, tmp_path, monkeypatch):
    monkeypatch.setattr("s3shim.backends.nats.census._ASK_EVERY", 0.2)
    server = run_server(sync='"always"')
    with started(tmp_path, server.url, monitor=server.monitor) as backend:
        until(5, lambda: value(backend, "s3shim_nats_sync_always") == 1)
        assert backend.durability() is Durability.FULL
        server.stop()
        server.settings["sync"] = '"1m"'
        server.start()
        until(10, lambda: value(backend, "s3shim_nats_sync_always") == 0)
        assert backend.durability() is Durability.DELAYED
    with started(tmp_path / "other", server.url, monitor=f"http://127.0.0.1:{free_port()}") as backend:
        time.sleep(0.5)
        assert value(backend, "s3shim_nats_sync_always") is None
        assert backend.durability() is Durability.UNKNOWN


def test_state_and_reconnects(run_server, tmp_path):
    server = run_server()
    with started(tmp_path, server.url) as backend:
        for number in range(3):
            until(5, lambda: ready(backend))
            assert value(backend, "nats_client_state") == 1
            assert value(backend, "nats_client_reconnects_total") == number
            server.kill()
            until(5, lambda: value(backend, "nats_client_state") == 0)
            assert value(backend, "nats_client_reconnects_total") == number
            server.start()


def test_what_is_under_way(run_server, tmp_path):
    server = run_server()
    with started(tmp_path, server.url, timeout=20) as backend:
        backend.create_bucket(BUCKET)
        put(backend, "key", b"")
        assert [value(backend, name) for name in UNDER_WAY] == [0, 0, 0]
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            writer = threading.Thread(target=put, args=(backend, "key", pattern(3 * WINDOW, 1)))
            writer.start()
            until(5, lambda: value(backend, "s3shim_nats_bytes_in_flight") == 3 * WINDOW)
            until(5, lambda: value(backend, "s3shim_nats_pending_answers") > 0)
            reader = threading.Thread(target=backend.head_bucket, args=("bucket",))
            reader.start()
            until(5, lambda: value(backend, "s3shim_nats_calls") == 1)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        writer.join()
        reader.join()
        until(5, lambda: [value(backend, name) for name in UNDER_WAY] == [0, 0, 0])


def test_the_lag_of_the_loop(run_server, tmp_path):
    server = run_server()
    with started(tmp_path, server.url) as backend:
        bridge = backend.store.bridge
        until(5, lambda: sum(bridge.lag.counts) >= 2)
        slow = sum(bridge.lag.counts[-4:])
        bridge.loop.call_soon_threadsafe(time.sleep, 1.2)
        until(5, lambda: sum(bridge.lag.counts[-4:]) == slow + 1)
        (measure,) = (measure for measure in backend.measures() if measure.name.endswith("lag_seconds"))
        assert len(measure.samples[()]) == len(measure.bounds) + 2
        assert measure.samples[()][-1] >= 0.25


def test_chunks_that_are_reclaimed(run_server, tmp_path):
    server = run_server()
    with started(tmp_path, server.url, grace=0) as backend:
        backend.create_bucket(BUCKET)
        put(backend, "key", pattern(3 * CHUNK_SIZE, 1))
        put(backend, "key", pattern(CHUNK_SIZE + 1, 2))
        until(5, lambda: value(backend, "s3shim_nats_chunks_reclaimed_total") == 3)
        put(backend, "key", b"")
        until(5, lambda: value(backend, "s3shim_nats_chunks_reclaimed_total") == 5)
