"""Long bodies by a connection of the request's own thread: stored in order, and what becomes of failures."""

from __future__ import annotations

import random
import socket
import threading
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest

from s3shim.backends.nats.chunk_stream import ChunkStream
from s3shim.backends.nats.failures import JetStreamError, NoAnswer, NotSent
from s3shim.backends.nats.settings import NatsSettings
from s3shim.backends.nats.wires import Unanswered, Wires
from tests.unit.nats_clients import stranger
from tests.unit.nats_objects import CHUNK, ok, path, raw_meta


def message(data):
    return b"MSG REPLY 1 %d\r\n%b\r\n" % (len(data), data)


def ack(number):
    return message(b'{"stream":"OBJ_b","seq":%d}' % number)


@pytest.fixture
def wires(tmp_path):
    made = Wires(NatsSettings(tmp_path))
    yield made
    made.close()


@pytest.fixture
def wire_to(wires):
    """A wire to a server that answers the chunks with these bytes, then ends: ``wire_to(answers)``."""
    listeners = []

    def start(answers):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve():
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb") as stream:
                stream.write(b'INFO {"client_id": 7}\r\n')
                stream.flush()
                todo = iter(answers)
                for line in stream:
                    if line == b"PING\r\n":
                        stream.write(b"PONG\r\n")
                    elif line.startswith(b"HPUB "):
                        words = line.split()
                        stream.read(int(words[-1]) + 2)
                        answer = next(todo, None)
                        if answer is None:
                            return
                        stream.write(answer.replace(b"REPLY", words[2]))
                    stream.flush()

        threading.Thread(target=serve, daemon=True).start()
        url = urlsplit(f"nats://127.0.0.1:{listener.getsockname()[1]}")
        return wires.borrow(SimpleNamespace(is_connected=True, connected_url=url), 1.0)

    yield start
    for listener in listeners:
        listener.close()


def test_acknowledgements_are_counted(wire_to):
    stream = ChunkStream(wire_to([ack(number) for number in range(5, 17)]), "b", "nuid")
    for size in (4 * CHUNK, 4 * CHUNK, 3 * CHUNK + 1):
        stream.send(bytearray(size))
    stream.settle()
    assert (stream.count, stream.first, stream.last) == (12, 5, 16)
    stream.wire.close()


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (
            message(b'{"error":{"code":503,"err_code":10077,"description":"full"}}'),
            JetStreamError,
        ),
        (b"HMSG REPLY 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n", NotSent),
        (message(b"??"), NoAnswer),
        (b"-ERR 'Permissions Violation'\r\n", NoAnswer),
        (b"", NoAnswer),
        (None, NoAnswer),
    ],
)
def test_failures(wire_to, answer, failure):
    stream = ChunkStream(wire_to([ack(1), answer]), "b", "nuid")
    stream.send(bytearray(2 * CHUNK))
    try:
        with pytest.raises(failure):
            stream.settle()
    finally:
        stream.wire.close()


def test_a_kept_connection_that_has_ended_is_not_used_for_a_body(nats_server, wires):
    client = SimpleNamespace(is_connected=True, connected_url=urlsplit(nats_server.url))
    first = wires.borrow(client, 1.0)
    wires.give_back(first)
    first._socket.shutdown(socket.SHUT_RDWR)
    second = wires.borrow(client, 1.0)
    assert second is not first
    wires.give_back(second)
    assert wires.borrow(client, 1.0) is second
    second.close()
    client.is_connected = False
    with pytest.raises(Unanswered):
        wires.borrow(client, 1.0)


def test_a_long_body_goes_by_a_connection_of_its_own(nats_s3, bucket, nats_server):
    """The chunks are in order and carry their checksums, and the connection is kept afterwards."""
    body = random.Random(3).randbytes(21 * CHUNK + 5)
    ok(nats_s3.request("PUT", path(bucket, "key"), body=body))
    assert ok(nats_s3.request("GET", path(bucket, "key"))).body == body

    async def chunks(js):
        consumer = await js.pull_subscribe(f"$O.{bucket}.C.>", stream=f"OBJ_{bucket}")
        return await consumer.fetch(22)

    found = stranger(nats_server.url, chunks)
    assert b"".join(message.data for message in found) == body
    assert all("S3shim-Crc64nvme" in message.headers for message in found)


def test_a_store_that_is_full_in_the_middle(nats_s3, bucket, theirs):
    async def limit(_, js):
        config = (await js.stream_info(f"OBJ_{bucket}")).config
        config.max_bytes = 8 * CHUNK
        await js.update_stream(config)

    ok(nats_s3.request("PUT", path(bucket, "key"), body=b"data"))
    theirs(limit)
    answer = nats_s3.request("PUT", path(bucket, "key"), body=bytes(20 * CHUNK))
    assert (answer.status, answer.code) == (507, "InsufficientStorage")
    assert ok(nats_s3.request("GET", path(bucket, "key"))).body == b"data"
    assert raw_meta(theirs, bucket, "key")["size"] == 4
    ok(nats_s3.request("PUT", path(bucket, "small"), body=b"there is room again"))


def test_a_bucket_that_is_gone_in_the_middle(nats_s3, bucket, theirs):
    """The body is longer than what is under way at once, and the stream is removed while it is read."""

    class Reader:
        left = 30

        def read(self, size=-1):
            self.left -= 1
            if self.left == 10:

                async def remove(_, js):
                    await js.delete_stream(f"OBJ_{bucket}")

                theirs(remove)
            return bytes(CHUNK) if self.left >= 0 else b""

    headers = {"Content-Length": str(30 * CHUNK)}
    answer = nats_s3.request("PUT", path(bucket, "key"), headers, Reader(), payload="unsigned")
    assert (answer.status, answer.code) == (404, "NoSuchBucket")
