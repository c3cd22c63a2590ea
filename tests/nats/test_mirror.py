"""A mirror of a bucket's stream answers direct gets too, later than the stream: it is never believed."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig, StreamSource

from s3shim.backends.nats.format import stream_of
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code
from s3shim.model import BucketInfo, ObjectRef
from tests.contract.bodies import code_of, get, put
from tests.nats_server import nats_backend, shared_server

KEY = ObjectRef("bucket", "key")


async def mirror():
    """Make a mirror that answers for the stream."""
    client = Client()
    await client.connect(shared_server().url)
    await client.jetstream().add_stream(
        StreamConfig(
            name="MIRROR",
            mirror=StreamSource(name=stream_of("bucket")),
            allow_direct=True,
            mirror_direct=True,
        )
    )
    await client.close()


@pytest.fixture
def backend(tmp_path):
    """A storage with the empty bucket, which has a mirror."""
    backend = nats_backend(tmp_path)
    backend.start()
    backend.create_bucket(BucketInfo("bucket", "main", 1))
    asyncio.run(mirror())
    yield backend
    backend.close()


def test_what_was_just_written_is_read(backend):
    for number in range(150):
        data = b"%d" % number
        info = put(backend, "key", data)
        assert backend.head_object(KEY, NO_CONDITIONS) == info
        assert get(backend, "key") == data
        if number % 3 == 0:
            backend.delete_object(KEY, NO_CONDITIONS)
            assert code_of(backend.head_object, KEY, NO_CONDITIONS) is Code.NoSuchKey
        backend.bucket_owner("bucket")
