"""Pages of a growing bucket over NATS: what they cost, and how many requests the server gets for one."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections import deque
from urllib.request import urlopen

import nats

from bench.client import Load, Work
from bench.growth.points import Point
from bench.growth.subjects import Study
from bench.rounds import make_bucket
from bench.servers.clusters import NatsServer, nats_server
from bench.servers.place import Place, Running
from bench.servers.singles import over_nats, s3shim
from s3shim.backends.nats.format import Content, meta_subject, new_nuid, write_entry
from s3shim.model import ObjectInfo, ObjectMeta

OBJECTS = (1_000, 10_000, 100_000)
PREFIX = "o/"

_STRIDE = 7919
_PAGES = 200
_EMPTY_MD5 = "d41d8cd98f00b204e9800998ecf8427e"
_EMPTY_SHA256 = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
_UNDER_WAY = 500


def pages(study: Study) -> None:
    """A bucket that grows; its pages are of 1,000 keys with a delimiter, spread over all of it."""
    home = study.directory / "nats"
    with Place(home / "server") as place:
        # How durable the filling is does not matter.
        server = nats_server(place, '"2m"')
        before = 0
        for count in (count for count in OBJECTS if count <= study.largest):
            for number in range(study.rounds):
                with Place(home / f"{count}-{number}") as gateway:
                    running = s3shim(gateway, storage=over_nats(server.port))
                    both = Running(
                        running.endpoint,
                        running.access_key,
                        running.secret_key,
                        (*running.roots, *place.roots),
                        running.data,
                    )
                    load = study.load(both)
                    if not before:
                        make_bucket(load)
                    if before < count:
                        asyncio.run(_fill(server, before, count))
                        before = count
                    _measure(study, count, load, server)
    shutil.rmtree(home)


def _measure(study: Study, count: int, load: Load, server: NatsServer) -> None:
    def work(number: int) -> Work:
        return Work("list", 0, number, 2, count, _STRIDE, PREFIX, delimiter="/")

    # The gateway is new and has no index of keys yet.
    began = time.monotonic()
    load.must(work(1))
    seconds = time.monotonic() - began
    study.growth.points.append(Point("nats", count, "first page", "seconds", seconds))
    study.say(f"nats {count:>17,}  the first page, after a start without an index: {seconds:.2f} s")
    before = _requests(server)
    study.row(load, "nats", count, "list", work(_PAGES))
    # The question itself is among what the monitor counts only where it comes by NATS.
    per_page = (_requests(server) - before) / _PAGES
    study.growth.points.append(Point("nats", count, "list", "requests", per_page))
    study.say(f"nats {count:>17,}  {per_page:.2f} requests to nats-server for a page")


def _requests(server: NatsServer) -> int:
    with urlopen(f"http://127.0.0.1:{server.monitor}/varz", timeout=10) as answer:
        return int(json.load(answer)["in_msgs"])


async def _fill(server: NatsServer, first: int, end: int) -> None:
    """Store the metadata of empty objects, as a put does, of the numbers from ``first`` to below ``end``."""
    client = await nats.connect(f"nats://127.0.0.1:{server.port}")
    jetstream = client.jetstream(publish_async_max_pending=_UNDER_WAY)
    waiting: deque[asyncio.Future[object]] = deque()
    for number in range(first, end):
        key = f"{PREFIX}{number:07d}"
        info = ObjectInfo(key, 0, _EMPTY_MD5, 1_700_000_000_000, ObjectMeta(), {})
        data = write_entry("bench", info, Content("", new_nuid(), 0, 0, _EMPTY_SHA256), [])
        waiting.append(await jetstream.publish_async(meta_subject("bench", key), data))
        if len(waiting) >= _UNDER_WAY:
            await waiting.popleft()
    for left in waiting:
        await left
    await client.close()
