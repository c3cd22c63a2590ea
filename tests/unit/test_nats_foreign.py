"""What other NATS clients have and S3 has no word for: links, chunks of any size, stores of their own."""

from __future__ import annotations

import random

import pytest
from nats.js.api import ObjectLink, ObjectMeta, ObjectMetaOptions, ObjectStoreConfig

from tests.unit.nats_clients import stranger
from tests.unit.nats_objects import CHUNK, digest, etag, ok, path, raw_meta, write_raw


def test_links(nats_s3, bucket, theirs, nats_server):
    """A link to an object is read as that object; a link to a store is no object, and listed all the same."""
    other = f"{bucket}-other"
    ok(nats_s3.request("PUT", f"/{other}"))
    ok(nats_s3.request("PUT", path(other, "target"), headers={"Content-Type": "text/x"}, body=b"linked data"))

    def link(name, store, target=None):
        options = {"link": {"bucket": store, **({"name": target} if target else {})}}
        message = {"name": name, "bucket": bucket, "nuid": "x" * 22, "size": 0, "chunks": 0}
        write_raw(theirs, bucket, name, message | {"mtime": "0001-01-01T00:00:00Z", "options": options})

    link("to-object", other, "target")
    link("to-link", bucket, "to-object")
    link("to-store", other)
    link("to-nothing", other, "missing")
    link("to-no-store", "no-such-store", "target")
    link("to-itself", bucket, "to-itself")
    for name in ("to-object", "to-link"):
        answer = ok(nats_s3.request("GET", path(bucket, name)))
        assert (answer.body, answer.headers["content-type"]) == (b"linked data", "text/x")
        assert answer.headers["etag"] == etag(b"linked data")
        assert ok(nats_s3.request("HEAD", path(bucket, name))).headers["content-length"] == "11"
    ranged = nats_s3.request("GET", path(bucket, "to-object"), headers={"Range": "bytes=2-4"})
    assert (ranged.status, ranged.body) == (206, b"nke")
    for name in ("to-store", "to-nothing", "to-itself"):
        assert nats_s3.request("GET", path(bucket, name)).code == "NoSuchKey", name
        assert nats_s3.request("HEAD", path(bucket, name)).status == 404
    assert nats_s3.request("GET", path(bucket, "to-no-store")).status == 404
    listing = ok(nats_s3.request("GET", f"/{bucket}?list-type=2")).body
    for name in ("to-object", "to-link", "to-store", "to-nothing", "to-no-store", "to-itself"):
        assert f"<Key>{name}</Key>".encode() in listing
    ok(nats_s3.request("DELETE", path(bucket, "to-object")), 204)
    assert ok(nats_s3.request("GET", path(other, "target"))).body == b"linked data"

    async def get(store, _):
        return (await store.get("to-other-again")).data

    async def add(store, _):
        options = ObjectMetaOptions(link=ObjectLink(other, "target"), max_chunk_size=CHUNK)
        await store.put("to-other-again", b"", ObjectMeta(options=options))

    theirs(add)
    assert theirs(get) == b"linked data"
    assert ok(nats_s3.request("GET", path(bucket, "to-other-again"))).body == b"linked data"


@pytest.mark.parametrize("size", [1, 7, 1000, 40_000, 131_072, 700_000])
def test_ranges_of_objects_with_chunks_of_any_size(nats_s3, bucket, theirs, size):
    body = random.Random(size).randbytes(min(size * 7 + size // 2 + 3, 2_000_000))

    async def put(store, _):
        await store.put("key", body, ObjectMeta(options=ObjectMetaOptions(max_chunk_size=size)))

    theirs(put)
    last = len(body) - 1
    for first, end in (
        (0, 0),
        (0, last),
        (size - 1, size),
        (size, size),
        (last, last),
        (last // 3, last // 2),
    ):
        end = min(end, last)
        answer = nats_s3.request("GET", path(bucket, "key"), headers={"Range": f"bytes={first}-{end}"})
        assert (answer.status, answer.body) == (206, body[first : end + 1]), (first, end)
        assert answer.headers["content-range"] == f"bytes {first}-{end}/{len(body)}"
    assert nats_s3.request("GET", path(bucket, "key"), headers={"Range": "bytes=-5"}).body == body[-5:]


def test_an_object_without_a_digest(nats_s3, bucket, theirs):
    async def put(store, _):
        await store.put("key", b"no digest")

    theirs(put)
    message = raw_meta(theirs, bucket, "key")
    del message["digest"]
    write_raw(theirs, bucket, "key", message)
    answer = ok(nats_s3.request("GET", path(bucket, "key")))
    assert answer.body == b"no digest"
    assert answer.headers["etag"] == f'"{message["nuid"]}"'


def test_a_damaged_object_of_others_is_refused(nats_s3, bucket, theirs):
    async def put(store, _):
        await store.put("key", b"some data")

    theirs(put)
    message = raw_meta(theirs, bucket, "key")
    message["digest"] = digest(b"other data")
    write_raw(theirs, bucket, "key", message)
    answer = nats_s3.request("GET", path(bucket, "key"))
    assert (answer.status, answer.code) == (500, "InternalError")


def test_a_store_with_settings_of_its_own(nats_s3, nats_server):
    """As ``nats object add`` makes it: a description, a limit, no owner of ours."""
    name = "their-own-store"
    config = ObjectStoreConfig(description="theirs", max_bytes=1 << 20)
    stranger(nats_server.url, lambda js: js.create_object_store(name, config))
    ok(nats_s3.request("HEAD", f"/{name}"))
    assert f"<Name>{name}</Name>".encode() in ok(nats_s3.request("GET", "/")).body
    ok(nats_s3.request("PUT", path(name, "key"), body=b"x" * 1000))
    assert ok(nats_s3.request("GET", path(name, "key"))).body == b"x" * 1000
    full = nats_s3.request("PUT", path(name, "big"), body=b"x" * (2 << 20))
    assert (full.status, full.code) == (507, "InsufficientStorage")
    assert ok(nats_s3.request("GET", path(name, "key"))).body == b"x" * 1000
    assert nats_s3.request("GET", path(name, "big")).code == "NoSuchKey"

    async def state(js):
        info = await js.stream_info(f"OBJ_{name}")
        return info.config.description, info.config.max_bytes, info.state.messages

    assert stranger(nats_server.url, state) == ("theirs", 1 << 20, 2)
    ok(nats_s3.request("DELETE", path(name, "key")), 204)
    ok(nats_s3.request("DELETE", f"/{name}"), 204)


def test_stores_that_are_no_buckets_are_not_shown(nats_s3, nats_server):
    for name in ("Upper", "under_score", "ab"):
        stranger(nats_server.url, lambda js, name=name: js.create_object_store(name, ObjectStoreConfig()))
    names = ok(nats_s3.request("GET", "/")).body
    for name in ("Upper", "under_score", "ab"):
        assert f"<Name>{name}</Name>".encode() not in names
    assert nats_s3.request("GET", "/Upper").status == 400


def test_a_bucket_with_dots_is_a_store_that_others_can_name(nats_s3, nats_server):
    ok(nats_s3.request("PUT", "/dots.in.name"))
    ok(nats_s3.request("PUT", "/dots.in.name/key", body=b"data"))

    async def get(js):
        return (await (await js.object_store("dots_2ein_2ename")).get("key")).data

    assert stranger(nats_server.url, get) == b"data"
    assert b"<Name>dots.in.name</Name>" in ok(nats_s3.request("GET", "/")).body


def test_objects_of_ours_in_a_store_that_allows_no_direct_reads(nats_s3, bucket, theirs):
    """Then nobody tells how many chunks follow."""
    body = random.Random(5).randbytes(9 * CHUNK + 77)
    other = random.Random(6).randbytes(2 * CHUNK)
    ok(nats_s3.request("PUT", path(bucket, "key"), body=body))
    ok(nats_s3.request("PUT", path(bucket, "small"), body=b"data"))

    async def forbid(_, js):
        config = (await js.stream_info(f"OBJ_{bucket}")).config
        config.allow_direct = False
        await js.update_stream(config)

    theirs(forbid)
    ok(nats_s3.request("PUT", path(bucket, "other"), body=other))
    for _ in range(2):
        assert ok(nats_s3.request("GET", path(bucket, "small"))).body == b"data"
    assert ok(nats_s3.request("GET", path(bucket, "key"))).body == body
    for first, last in ((0, 9), (CHUNK - 1, CHUNK), (4 * CHUNK + 5, 7 * CHUNK), (9 * CHUNK, 9 * CHUNK + 76)):
        answer = nats_s3.request("GET", path(bucket, "key"), headers={"Range": f"bytes={first}-{last}"})
        assert (answer.status, answer.body) == (206, body[first : last + 1])
    assert ok(nats_s3.request("GET", path(bucket, "other"))).body == other
    listing = ok(nats_s3.request("GET", f"/{bucket}?list-type=2")).body
    for name in ("key", "other", "small"):
        assert f"<Key>{name}</Key>".encode() in listing
