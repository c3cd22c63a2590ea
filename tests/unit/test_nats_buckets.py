"""Buckets that are made anew where the server has not finished removing those before."""

import pytest

from s3shim.backends.nats.buckets import BucketStreams
from s3shim.model import BucketInfo, ListQuery
from tests.unit.nats_server import put


@pytest.fixture
def buckets(client):
    """The buckets of the server."""

    async def make():
        return BucketStreams(client.jetstream, 1, "main")

    return client.call(make())


def test_a_bucket_that_is_made_again_is_empty(nats_server, client, buckets, index):
    """nats-server 2.15.1 leaves the old messages to the new stream where the removal before goes on."""
    name = "made-again"
    client.call(buckets.create(BucketInfo(name, "main", 1)))
    put(nats_server.url, name, "one", "two")
    (streams,) = nats_server.directory.rglob("streams")
    leftover = streams / f".OBJ_{name}"
    leftover.mkdir()
    (leftover / "1.blk").write_bytes(b"")
    client.call(buckets.remove(name))
    client.call(buckets.create(BucketInfo(name, "main", 2)))
    assert index.list_objects(name, ListQuery()).items == []
    assert client.call(buckets.find(name)).state["messages"] == 0
    put(nats_server.url, name, "three")
    assert [info.key for info in index.list_objects(name, ListQuery()).items] == ["three"]
    client.call(buckets.remove(name))
