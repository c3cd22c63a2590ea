"""The values of the key-value bucket, as they are found in order."""

import asyncio
import time

import pytest

from s3shim.backends.nats.kv import PREFIX, STREAM, KeyValue
from s3shim.backends.nats.values import Values
from tests.unit.nats_clients import remove_stream, stranger


@pytest.fixture
def kv(nats_server, client):
    """The bucket, which is made when something is put."""

    async def make():
        return KeyValue(client.jetstream, 1)

    yield client.call(make())
    remove_stream(nats_server.url, STREAM)


@pytest.fixture
def values(index):
    """The values as found."""
    return Values(index._source)


def test_there_are_none_before_the_bucket_is_made(values):
    assert values.scan("") == []


def test_values_are_found_by_prefix_in_order(client, kv, values):
    for key in ("up.b.2", "up.a.1", "up.b.1", "down.b.1", "up.b.10", "uq"):
        client.call(kv.put(key, key.encode()))
    found = values.scan("up.b.")
    assert [value.key for value in found] == ["up.b.1", "up.b.10", "up.b.2"]
    assert [value.data for value in found] == [b"up.b.1", b"up.b.10", b"up.b.2"]
    assert [value.seq for value in found] == [3, 5, 1]
    assert all(abs(value.time - time.time() * 1000) < 60_000 for value in found)
    assert [value.key for value in values.scan("up.", "up.b.10")] == ["up.b.10", "up.b.2"]
    assert [value.key for value in values.scan("", "up.b.2")] == ["up.b.2", "uq"]
    assert values.scan("nothing") == []
    assert values.look(lambda find: (len(list(find("up.a", ""))), len(list(find("up.b", ""))))) == (1, 3)


def test_changed_and_deleted_values(client, kv, values):
    client.call(kv.put("a", b"1"))
    client.call(kv.put("b", b"1"))
    assert [value.data for value in values.scan("")] == [b"1", b"1"]
    client.call(kv.put("a", b"2"))
    client.call(kv.delete("b"))
    assert [(value.key, value.data) for value in values.scan("")] == [("a", b"2")]
    client.call(kv.put("b", b"3"))
    assert [value.data for value in values.scan("")] == [b"2", b"3"]


def test_a_value_of_another_client_that_was_purged(nats_server, client, kv, values):
    client.call(kv.put("a", b"1"))
    client.call(kv.put("b", b"1"))

    async def purge(js):
        store = await js.key_value("s3shim")
        await store.put("c", b"1")
        await store.purge("a")

    stranger(nats_server.url, purge)
    assert [value.key for value in values.scan("")] == ["b", "c"]


def test_a_value_whose_time_is_over(client, kv, values):
    client.call(kv.put("short", b"1", seconds=1))
    client.call(kv.put("long", b"1"))
    assert [value.key for value in values.scan("")] == ["long", "short"]
    deadline = time.monotonic() + 10
    while client.call(kv.get("short")) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [value.key for value in values.scan("")] == ["long"]
    state = values.mirror.count()
    assert (state.live, state.dead) == (1, 1)


def test_a_marker_that_is_gone_is_no_reason_to_read_anew(client, kv, values):
    client.call(kv.put("a", b"1"))
    client.call(kv.put("b", b"1"))
    client.call(kv.delete("a"))
    before = values.mirror.catch_up()
    client.call(client.jetstream.purge(STREAM, PREFIX + "a"))
    after = values.mirror.count()
    assert (after.id, after.live, after.dead) == (before.id, 1, 0)


def test_large_values(client, kv, values):
    large = bytes(range(256)) * 3900
    for number in range(8):
        client.call(kv.put(f"large.{number}", large))
    found = values.scan("large.")
    assert len(found) == 8
    assert all(value.data == large for value in found)


def test_many_at_once(client, kv, values):
    async def fill():
        await asyncio.gather(*(kv.put(f"many.{number:04d}", b"x") for number in range(2500)))

    client.call(fill())
    assert [value.key for value in values.scan("many.")] == [f"many.{number:04d}" for number in range(2500)]
