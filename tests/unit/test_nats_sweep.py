"""What is cleaned up behind the clients: it must take what nobody needs, and nothing else."""

import secrets

import pytest

from s3shim.backends.nats import sweep
from s3shim.backends.nats.cache import Cache
from s3shim.backends.nats.format import stream_of
from s3shim.backends.nats.index import Index
from s3shim.backends.nats.mirror import Source
from s3shim.backends.nats.sweep import Housekeeper, compact, drop_old_rows
from s3shim.backends.nats.values import Values
from s3shim.model import ListQuery
from tests.unit.nats_clients import delete, make_bucket, put, remove_bucket, stranger


@pytest.fixture
def source(index):
    """What the index is made from."""
    return index._source


@pytest.fixture
def other(client, tmp_path):
    """The index of another host."""
    cache = Cache(tmp_path / "other")
    yield Index(Source(cache, client.bridge, client.jetstream))
    cache.close()


def none_held():
    return set()


def chunk(client, bucket, nuid, data=b"data"):
    """Store a chunk."""
    client.call(client.jetstream.publish(f"$O.{bucket}.C.{nuid}", data))


def subjects(client, bucket, what):
    """Return the subjects of "C" or "M" that have messages, without what all of them begin with."""
    prefix = f"$O.{bucket}.{what}."
    info = client.call(client.jetstream.stream_info(stream_of(bucket), subjects_filter=prefix + ">"))
    return {subject.removeprefix(prefix) for subject in info["state"].get("subjects") or ()}


def bodies(url, bucket, *names):
    """Read objects as another client does."""

    async def work(js):
        store = await js.object_store(bucket)
        return [(await store.get(name)).data for name in names]

    return stranger(url, work)


def keys(index, bucket):
    return [info.key for info in index.list_objects(bucket, ListQuery()).items]


# -- chunks ---------------------------------------------------------------------------------------


def test_only_chunks_that_nobody_needs_are_removed(nats_server, bucket, client, index, source):
    put(nats_server.url, bucket, "one", "two")
    used = subjects(client, bucket, "C")
    for nuid in ("orphan", "orphan2.part", "part.1", "part.2"):
        chunk(client, bucket, nuid)
    keeper = Housekeeper(source, index, grace=0)
    assert keeper.remove_orphans(bucket, lambda: {"part"}) == 2
    assert subjects(client, bucket, "C") == used | {"part.1", "part.2"}
    assert keeper.remove_orphans(bucket, none_held) == 2
    assert subjects(client, bucket, "C") == used
    assert bodies(nats_server.url, bucket, "one", "two") == [b"one", b"two"]


def test_chunks_of_removed_objects_are_removed(nats_server, bucket, client, index, source):
    put(nats_server.url, bucket, "one", "two")
    left = subjects(client, bucket, "C")
    delete(nats_server.url, bucket, "one")
    used = subjects(client, bucket, "C")
    for nuid in left - used:
        chunk(client, bucket, nuid)
    assert Housekeeper(source, index, grace=0).remove_orphans(bucket, none_held) == 1
    assert subjects(client, bucket, "C") == used


def test_young_chunks_stay(bucket, client, index, source, monkeypatch):
    chunk(client, bucket, "young")
    keeper = Housekeeper(source, index, grace=100)
    assert keeper.remove_orphans(bucket, none_held) == 0
    monkeypatch.setattr(sweep.time, "monotonic", lambda now=sweep.time.monotonic: now() + 101)
    # Seen long ago here, but its last message is not old.
    assert keeper.remove_orphans(bucket, none_held) == 0
    assert subjects(client, bucket, "C") == {"young"}


def test_what_goes_out_of_use_stays_for_the_grace_time(bucket, client, index, source, monkeypatch):
    chunk(client, bucket, "old")
    monkeypatch.setattr(sweep, "milliseconds", lambda text: 1 << 60)
    keeper = Housekeeper(source, index, grace=100)
    held = {"old"}
    assert keeper.remove_orphans(bucket, lambda: set(held)) == 0
    held.clear()
    assert keeper.remove_orphans(bucket, lambda: set(held)) == 0
    now = sweep.time.monotonic()
    monkeypatch.setattr(sweep.time, "monotonic", lambda: now + 99)
    assert keeper.remove_orphans(bucket, lambda: set(held)) == 0
    monkeypatch.setattr(sweep.time, "monotonic", lambda: now + 101)
    assert keeper.remove_orphans(bucket, lambda: set(held)) == 1
    assert subjects(client, bucket, "C") == set()


def test_what_came_into_use_meanwhile_begins_anew(bucket, client, index, source, monkeypatch):
    chunk(client, bucket, "old")
    monkeypatch.setattr(sweep, "milliseconds", lambda text: 1 << 60)
    keeper = Housekeeper(source, index, grace=100)
    now = sweep.time.monotonic()
    for passed, held, removed in ((0, set(), 0), (60, {"old"}, 0), (120, set(), 0), (230, set(), 1)):
        monkeypatch.setattr(sweep.time, "monotonic", lambda passed=passed: now + passed)
        assert keeper.remove_orphans(bucket, lambda held=held: set(held)) == removed


def test_an_index_that_lost_a_key_does_not_cost_its_bytes(nats_server, bucket, client, index, source):
    put(nats_server.url, bucket, "one", "two")
    keys(index, bucket)
    mirror = index.mirror(bucket)
    index.forget(bucket, "one", 2)
    assert keys(index, bucket) == ["two"]
    assert Housekeeper(source, index, grace=0).remove_orphans(bucket, none_held) == 0
    assert bodies(nats_server.url, bucket, "one", "two") == [b"one", b"two"]
    assert keys(index, bucket) == ["one", "two"]
    assert mirror.count().live == 2


def test_metadata_that_cannot_be_read_keeps_all_chunks(bucket, client, index, source):
    chunk(client, bucket, "orphan")
    client.call(client.jetstream.publish(f"$O.{bucket}.M.!", b"garbage"))
    assert Housekeeper(source, index, grace=0).remove_orphans(bucket, none_held) == 0
    assert subjects(client, bucket, "C") == {"orphan"}


def test_chunks_of_an_object_that_s3_does_not_list_stay(bucket, client, index, source):
    chunk(client, bucket, "foreign")
    chunk(client, bucket, "orphan")
    client.call(client.jetstream.publish(f"$O.{bucket}.M.!", b'{"nuid": "foreign", "size": 4}'))
    assert Housekeeper(source, index, grace=0).remove_orphans(bucket, none_held) == 1
    assert subjects(client, bucket, "C") == {"foreign"}


# -- removed names --------------------------------------------------------------------------------


def test_traces_of_removed_objects_are_removed(nats_server, bucket, client, index, other):
    put(nats_server.url, bucket, "one", "two", "three")
    delete(nats_server.url, bucket, "one", "two")
    assert keys(other, bucket) == keys(index, bucket) == ["three"]
    assert compact(index.mirror(bucket), 3600) == 0
    assert len(subjects(client, bucket, "M")) == 3
    assert compact(index.mirror(bucket), 0) == 2
    assert len(subjects(client, bucket, "M")) == 1
    for each in (index, other):
        state = each.mirror(bucket).count()
        assert (state.live, state.dead) == (1, 0)
        assert keys(each, bucket) == ["three"]
    assert compact(other.mirror(bucket), 0) == 0
    put(nats_server.url, bucket, "one")
    assert keys(other, bucket) == keys(index, bucket) == ["one", "three"]


def test_an_object_that_is_put_again_is_not_compacted(nats_server, bucket, client, index, monkeypatch):
    put(nats_server.url, bucket, "one")
    delete(nats_server.url, bucket, "one")
    mirror = index.mirror(bucket)
    real = mirror.vanished

    def vanished(page):
        put(nats_server.url, bucket, "one")
        return real(page)

    monkeypatch.setattr(mirror, "vanished", vanished)
    compact(mirror, 0)
    assert keys(index, bucket) == ["one"]
    assert bodies(nats_server.url, bucket, "one") == [b"one"]


def test_many_traces(nats_server, bucket, client, index):
    names = [f"{number:04d}" for number in range(1203)]
    put(nats_server.url, bucket, *names)
    delete(nats_server.url, bucket, *names[:-1])
    assert compact(index.mirror(bucket), 0) == 1202
    assert keys(index, bucket) == names[-1:]
    assert index.mirror(bucket).count().rows == 1


# -- rows -----------------------------------------------------------------------------------------


def rows_of(index):
    """Return how many rows there are in the tables of names."""

    def work(rows):
        return {table: len(list(rows.scan(table, b""))) for table in ("live", "dead", "odd", "gone", "state")}

    return index._source.cache.read(work)


def test_rows_of_a_bucket_that_is_gone_are_dropped(nats_server, bucket, index, source, monkeypatch):
    monkeypatch.setattr(sweep, "_ROWS", 3)
    second = f"second-{secrets.token_hex(4)}"
    make_bucket(nats_server.url, second)
    put(nats_server.url, bucket, *"abcdefgh")
    put(nats_server.url, second, "x", "y")
    delete(nats_server.url, bucket, "a")
    keys(index, bucket)
    keys(index, second)
    remove_bucket(nats_server.url, bucket)
    drop_old_rows(source)
    assert rows_of(index) == {"live": 2, "dead": 0, "odd": 0, "gone": 0, "state": 1}
    assert keys(index, second) == ["x", "y"]
    remove_bucket(nats_server.url, second)


def test_rows_of_a_bucket_that_was_made_again_are_dropped(nats_server, bucket, index, source):
    put(nats_server.url, bucket, *"abc")
    keys(index, bucket)
    remove_bucket(nats_server.url, bucket)
    make_bucket(nats_server.url, bucket)
    put(nats_server.url, bucket, "d")
    assert keys(index, bucket) == ["d"]
    drop_old_rows(source)
    assert rows_of(index) == {"live": 1, "dead": 0, "odd": 0, "gone": 0, "state": 1}
    assert keys(index, bucket) == ["d"]


# -- the housekeeper ------------------------------------------------------------------------------


def test_one_process_of_a_host_is_hired(index, source):
    first, second = Housekeeper(source, index), Housekeeper(source, index)
    assert first.hired()
    assert not second.hired()
    assert first.hired()
    first.leave()
    assert second.hired()
    second.leave()


def test_a_round(nats_server, bucket, client, index, source):
    put(nats_server.url, bucket, "one", "two")
    delete(nats_server.url, bucket, "two")
    keys(index, bucket)
    used = subjects(client, bucket, "C")
    chunk(client, bucket, "orphan")
    stranger(nats_server.url, lambda js: js.purge_stream(stream_of(bucket), subject=f"$O.{bucket}.M.>"))
    keeper = Housekeeper(source, index, grace=0)
    put(nats_server.url, bucket, "three")
    keeper.check(Values(source).mirror)
    assert keys(index, bucket) == ["three"]
    keeper.clean(bucket, none_held)
    assert len(subjects(client, bucket, "C")) == 1
    assert not used & subjects(client, bucket, "C")


def test_a_round_goes_on_while_nats_is_gone(bucket, client, index, source, caplog):
    index.count(bucket)
    source.jetstream.timeout = 0.2
    client.call(client.connection.close())
    keeper = Housekeeper(source, index, grace=0)
    keeper.check(Values(source).mirror)
    keeper.clean(bucket, none_held)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 4
