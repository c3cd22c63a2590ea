"""Overwrites under readers, writers and clients that go away: whole bodies only, and no byte left behind."""

from __future__ import annotations

import hashlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from urllib.parse import urlsplit

from conformance import trees
from conformance.cases import Context
from conformance.load.base import SUITE, body_of, made, part, settle, start_upload
from conformance.server import wait_until
from conformance.trees import MIB

WRITERS = 20
READS = 1000
OVERWRITES = 100

# A file of the store is a little longer than its bytes.
_SLACK = 64 * 1024


def bodies_of(context: Context, count: int, size: int) -> list[bytes]:
    """Return ``count`` bodies, all different in bytes and in length."""
    return [trees.write(context.work / "body", size + seed, seed).read_bytes() for seed in range(count)]


@SUITE.case
def parallel_puts_of_one_key(context: Context) -> None:
    client, bucket = made(context)
    bodies = bodies_of(context, WRITERS, 300_000)
    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in range(10):
            list(pool.map(lambda body: client.put_object(Bucket=bucket, Key="key", Body=body), bodies))
            found = client.get_object(Bucket=bucket, Key="key")
            body = found["Body"].read()
            assert body in bodies
            assert found["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    context.say(f"10 times {WRITERS} puts of one key: the last one's bytes are whole each time")
    settle(context, 300_000 + _SLACK)
    client.delete_object(Bucket=bucket, Key="key")
    settle(context, 0)


@SUITE.case
def reads_during_overwrites(context: Context) -> None:
    client, bucket = made(context)
    bodies = bodies_of(context, 8, 2 * MIB)
    known = {hashlib.md5(body).hexdigest() for body in bodies}
    client.put_object(Bucket=bucket, Key="key", Body=bodies[0])
    done = Event()

    def write(body: bytes) -> int:
        count = 0
        while not done.is_set():
            client.put_object(Bucket=bucket, Key="key", Body=body)
            count += 1
        return count

    def read(_: int) -> str:
        found = client.get_object(Bucket=bucket, Key="key")
        digest = hashlib.md5(found["Body"].read()).hexdigest()
        assert digest in known
        assert found["ETag"] == f'"{digest}"'
        return digest

    with ThreadPoolExecutor(4 + 8) as pool:
        writers = [pool.submit(write, body) for body in bodies[:4]]
        try:
            seen = set(pool.map(read, range(READS)))
        finally:
            done.set()
        overwrites = sum(writer.result() for writer in writers)
    context.say(f"{READS} reads during {overwrites} overwrites, {len(seen)} bodies seen, each whole")
    client.delete_object(Bucket=bucket, Key="key")
    settle(context, 0)


@SUITE.case
def uploads_cut_in_the_middle(context: Context) -> None:
    client, bucket = made(context)
    old = b"old" * 100_000
    client.put_object(Bucket=bucket, Key="key", Body=old)
    signer = context.client(signature_version="s3v4")
    upload = start_upload(client, bucket, "parts")
    url = signer.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "key"})
    part_url = signer.generate_presigned_url("upload_part", Params={**upload, "PartNumber": 1})
    for target in [url, part_url] * 20:
        _send_half(context, target, 4 * MIB)
    # The server may still be reading what the last one left in its buffers.
    assert not wait_until(lambda: body_of(client, bucket, "key") != old, 3)
    assert "Parts" not in client.list_parts(**upload)
    context.say("20 puts and 20 parts cut at 50 %: the old body is there, no part is listed")
    settle(context, len(old) + _SLACK)
    client.abort_multipart_upload(**upload)
    client.delete_object(Bucket=bucket, Key="key")
    settle(context, 0)


def _send_half(context: Context, url: str, size: int) -> None:
    place = urlsplit(url)
    with socket.create_connection(("127.0.0.1", context.server.port), timeout=30) as connection:
        head = f"PUT {place.path}?{place.query} HTTP/1.1\r\nHost: {place.netloc}\r\n"
        head += f"Content-Length: {size}\r\n\r\n"
        connection.sendall(head.encode() + b"x" * (size // 2))


@SUITE.case
def a_slow_read_survives_overwrites(context: Context) -> None:
    client, bucket = made(context)
    bodies = bodies_of(context, 5, 8 * MIB)
    upload = start_upload(client, bucket, "key")
    parts = [
        part(number, client.upload_part(**upload, PartNumber=number, Body=body)["ETag"])
        for number, body in enumerate(bodies, 1)
    ]
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    whole = b"".join(bodies)
    signer = context.client(signature_version="s3v4")
    url = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "key"})
    with ThreadPoolExecutor(1) as pool:
        over = Event()
        reader = pool.submit(_read_slowly, context, url, len(whole), over)
        began = time.monotonic()
        for number in range(OVERWRITES):
            client.put_object(Bucket=bucket, Key="key", Body=bodies[number % 5][:MIB])
            client.delete_object(Bucket=bucket, Key="key")
            time.sleep(0.1)
        # The grace time of the first overwrite is long over, and the files were looked through since.
        taken = time.monotonic() - began
        assert not reader.done(), "the read was over before the overwrites were"
        over.set()
        assert reader.result() == hashlib.sha256(whole).hexdigest(), "the slow read got other bytes"
    context.say(
        f"a read of 5 parts, held over {OVERWRITES} overwrites and deletes in {taken:.1f} s, is whole"
    )
    client.put_object(Bucket=bucket, Key="key", Body=bodies[0])
    settle(context, len(bodies[0]) + _SLACK)
    client.delete_object(Bucket=bucket, Key="key")
    settle(context, 0)


def _read_slowly(context: Context, url: str, size: int, over: Any) -> str:
    """Read 64 KiB each 100 ms until ``over`` is set, then the rest; return the body's SHA-256."""
    place = urlsplit(url)
    digest = hashlib.sha256()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    connection.settimeout(60)
    with connection:
        connection.connect(("127.0.0.1", context.server.port))
        connection.sendall(
            f"GET {place.path}?{place.query} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode()
        )
        head, _, rest = connection.recv(64 * 1024).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        digest.update(rest)
        left = size - len(rest)
        while left:
            data = connection.recv(min(left, 64 * 1024))
            assert data, f"the answer ended {left} bytes early"
            digest.update(data)
            left -= len(data)
            if not over.is_set():
                time.sleep(0.1)
    return digest.hexdigest()
