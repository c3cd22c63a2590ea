"""What nats-py's Object Store reads of what went through S3, and S3 of what nats-py and others wrote."""

from __future__ import annotations

import hashlib
import json
import random
from base64 import urlsafe_b64encode
from urllib.parse import quote

import pytest
from nats.js.api import ObjectLink, ObjectMeta, ObjectMetaOptions, ObjectStoreConfig
from nats.js.errors import ObjectNotFoundError

from s3shim.backends.nats.backend import NatsBackend
from s3shim.backends.nats.settings import NatsSettings
from s3shim.config import load
from s3shim.wsgi import create_app
from tests.unit.nats_server import stranger
from tests.wire.client import Client

KEYS = ("INTEROPACCESSKEY", "interop-secret-interop-secret")
CHUNK = 256 * 1024
ODD_NAMES = (
    "plain.txt",
    "blank in name",
    " leading and trailing ",
    "emoji-😀-日本-ü",
    "plus+and%20percent&amp;=",
    "new\nline and\ttab",
    "..",
    "a/../b/./c",
    "dots.in.a.name.",
    "//two//slashes//",
    "*",
    ">",
    "$O.bucket.M.name",
    "\x01\x7f",
    "quote\"and'back\\slash`",
    "x" * 1024,
    "ü" * 512,
)
SIZES = (
    0,
    1,
    1000,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    3 * CHUNK + 17,
    128 * 1024,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    (5 << 20) + 12_345,
)


def bodies():
    """Return 50 bodies by key, of 0 bytes to 5 MiB."""
    source = random.Random(8)
    return {
        ODD_NAMES[number] if number < len(ODD_NAMES) else f"object/{number:03d}": source.randbytes(
            SIZES[number % len(SIZES)]
        )
        for number in range(50)
    }


def path(bucket, key):
    return f"/{bucket}/{quote(key, safe='/')}"


def etag(body):
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


def digest(body):
    return f"SHA-256={urlsafe_b64encode(hashlib.sha256(body).digest()).decode()}"


def meta_subject(store, name):
    return f"$O.{store}.M.{urlsafe_b64encode(name.encode()).decode()}"


@pytest.fixture(scope="module")
def s3(nats_server, tmp_path_factory):
    """A client of the service on the server."""
    directory = tmp_path_factory.mktemp("interop")
    keys = {"S3SHIM_ACCESS_KEY": KEYS[0], "S3SHIM_SECRET_KEY": KEYS[1]}
    config = load(["--data", str(directory), "--backend", "nats"], keys)
    backend = NatsBackend(NatsSettings(directory / "index", servers=(nats_server.url,)))
    yield Client(create_app(config, backend), *KEYS)
    backend.close()


@pytest.fixture
def theirs(nats_server, bucket):
    """Do with the bucket as an Object Store of nats-py: ``theirs(work)``, ``work(store, jetstream)``."""

    def do(work, store=None):
        async def with_store(js):
            return await work(await js.object_store(store or bucket), js)

        return stranger(nats_server.url, with_store)

    return do


def ok(answer, status=200):
    assert answer.status == status, answer.body
    return answer


def raw_meta(theirs, bucket, key):
    """Return the metadata message of an object, as JSON."""

    async def work(_, js):
        return json.loads((await js.get_last_msg(f"OBJ_{bucket}", meta_subject(bucket, key))).data)

    return theirs(work)


def write_raw(theirs, bucket, key, message):
    """Write a metadata message as another client may."""

    async def work(_, js):
        data = json.dumps(message).encode()
        await js.publish(meta_subject(bucket, key), data, headers={"Nats-Rollup": "sub"})

    theirs(work)


def test_nats_py_reads_what_went_through_s3(s3, nats_server):
    bucket = "written-here"
    ok(s3.request("PUT", f"/{bucket}"))
    objects = bodies()
    for key, body in objects.items():
        assert ok(s3.request("PUT", path(bucket, key), body=body)).headers["etag"] == etag(body)

    async def work(js):
        store = await js.object_store(bucket)
        return {info.name: (info, (await store.get(info.name)).data) for info in await store.list()}

    found = stranger(nats_server.url, work)
    assert found.keys() == objects.keys()
    for key, body in objects.items():
        info, data = found[key]
        assert data == body, key
        assert (info.size, info.digest, info.bucket) == (len(body), digest(body), bucket)
        assert info.chunks == -(-len(body) // CHUNK)


def test_s3_reads_what_nats_py_wrote(s3, bucket, theirs):
    objects = bodies()

    async def put(store, _):
        for key, body in objects.items():
            await store.put(key, body)

    theirs(put)
    for key, body in objects.items():
        answer = ok(s3.request("GET", path(bucket, key)))
        assert answer.body == body, key
        assert answer.headers["etag"] == f'"{digest(body)}"'
        head = ok(s3.request("HEAD", path(bucket, key)))
        assert head.headers["content-length"] == str(len(body))
    listing = ok(s3.request("GET", f"/{bucket}?list-type=2&encoding-type=url")).xml()
    names = {element.text for element in listing.iter("{http://s3.amazonaws.com/doc/2006-03-01/}Key")}
    assert names == {quote(key, safe="/*-._") for key in objects}


def test_nats_py_sees_headers_metadata_and_tags_under_the_names_of_nats_s3(s3, bucket, theirs):
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "no-store",
        "x-amz-meta-Colour": "blue",
        "x-amz-tagging": "project=alpha%20beta&empty=",
    }
    ok(s3.request("PUT", path(bucket, "key"), headers=headers, body=b"data"))

    async def info(store, _):
        return await store.get_info("key")

    found = theirs(info)
    assert found.headers == {"Content-Type": ["text/plain; charset=utf-8"], "Cache-Control": ["no-store"]}
    metadata = raw_meta(theirs, bucket, "key")["metadata"]
    assert metadata.pop("s3shim")
    assert metadata == {
        "x-amz-meta-colour": "blue",
        "x-amz-tag-project": "alpha beta",
        "x-amz-tag-empty": "",
    }


def test_s3_sees_headers_metadata_and_tags_of_others(s3, bucket, theirs):
    async def put(store, _):
        meta = ObjectMeta(headers={"Content-Type": ["image/png"], "X-Other": ["1"]}, description="a picture")
        await store.put("picture", b"pixels", meta)

    theirs(put)
    message = raw_meta(theirs, bucket, "picture")
    message["metadata"] = {"x-amz-meta-Colour": "blue", "x-amz-tag-Project": "alpha", "own": "kept"}
    message["unknown"] = {"of": ["a", "later", "version"]}
    write_raw(theirs, bucket, "picture", message)
    answer = ok(s3.request("GET", path(bucket, "picture")))
    assert answer.body == b"pixels"
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-amz-meta-colour"] == "blue"
    assert answer.headers["x-amz-tagging-count"] == "1"
    tags = ok(s3.request("GET", f"/{bucket}/picture?tagging")).body
    assert b"<Tag><Key>Project</Key><Value>alpha</Value></Tag>" in tags


def test_new_tags_leave_every_field_of_others_as_it_was(s3, bucket, theirs):
    async def put(store, _):
        await store.put("picture", b"pixels", ObjectMeta(headers={"X-Other": ["1"]}, description="a picture"))

    theirs(put)
    before = raw_meta(theirs, bucket, "picture")
    before["metadata"] = {"own": "kept", "x-amz-tag-old": "gone"}
    before["unknown"] = {"of": ["a", "later", "version"]}
    write_raw(theirs, bucket, "picture", before)
    changed = ok(s3.request("HEAD", path(bucket, "picture"))).headers["last-modified"]
    tags = b"<Tagging><TagSet><Tag><Key>new</Key><Value>1</Value></Tag></TagSet></Tagging>"
    ok(s3.request("PUT", f"/{bucket}/picture?tagging", body=tags))
    after = raw_meta(theirs, bucket, "picture")
    assert after["metadata"].pop("s3shim")
    assert after["metadata"] == {"own": "kept", "x-amz-tag-new": "1"}
    for message in (before, after):
        del message["metadata"]
    assert after == before
    answer = ok(s3.request("GET", path(bucket, "picture")))
    assert (answer.body, answer.headers["last-modified"]) == (b"pixels", changed)
    assert answer.headers["etag"] == f'"{digest(b"pixels")}"'

    async def get(store, _):
        return (await store.get("picture")).data

    assert theirs(get) == b"pixels"


def test_an_object_that_another_client_overwrites_is_theirs_in_every_respect(s3, bucket, theirs):
    first = {"x-amz-meta-a": "1", "x-amz-checksum-crc32": "rfPzYw==", "Content-Type": "text/plain"}
    ok(s3.request("PUT", path(bucket, "key"), headers=first, body=b"data"))

    async def put(store, _):
        await store.put("key", b"other data")

    theirs(put)
    answer = ok(s3.request("GET", path(bucket, "key"), headers={"x-amz-checksum-mode": "ENABLED"}))
    assert answer.body == b"other data"
    assert answer.headers["etag"] == f'"{digest(b"other data")}"'
    assert "x-amz-meta-a" not in answer.headers
    assert "x-amz-checksum-crc32" not in answer.headers
    # Some clients copy the metadata of the object that they replace: our record is of another nuid then.
    ok(s3.request("PUT", path(bucket, "key"), headers=first, body=b"data"))
    record = raw_meta(theirs, bucket, "key")["metadata"]
    theirs(put)
    message = raw_meta(theirs, bucket, "key")
    message["metadata"] = record
    write_raw(theirs, bucket, "key", message)
    answer = ok(s3.request("HEAD", path(bucket, "key")))
    assert answer.headers["etag"] == f'"{digest(b"other data")}"'
    assert answer.headers["content-length"] == "10"
    assert answer.headers["x-amz-meta-a"] == "1"


def test_an_object_of_others_that_s3_overwrites_is_ours(s3, bucket, theirs):
    async def put(store, _):
        await store.put("key", b"their data", ObjectMeta(description="theirs", headers={"X-Other": ["1"]}))

    theirs(put)
    ok(s3.request("PUT", path(bucket, "key"), body=b"our data"))

    async def get(store, _):
        return await store.get("key")

    found = theirs(get)
    assert found.data == b"our data"
    assert (found.info.description, found.info.headers) == (None, None)


def test_deletes_of_either_side_are_seen_by_the_other(s3, bucket, theirs):
    async def put(store, _):
        for name in ("one", "two", "three"):
            await store.put(name, name.encode())

    theirs(put)
    ok(s3.request("DELETE", path(bucket, "one")), 204)

    async def look(store, _):
        with pytest.raises(ObjectNotFoundError):
            await store.get("one")
        await store.delete("two")
        await store.put("one", b"again")

    theirs(look)
    assert s3.request("GET", path(bucket, "two")).code == "NoSuchKey"
    assert ok(s3.request("GET", path(bucket, "one"))).body == b"again"
    keys = ok(s3.request("GET", f"/{bucket}?list-type=2")).body
    assert b"<Key>one</Key>" in keys
    assert b"<Key>three</Key>" in keys
    assert b"<Key>two</Key>" not in keys


def test_links(s3, bucket, theirs, nats_server):
    """A link to an object is read as that object; a link to a store is no object, and listed all the same."""
    other = f"{bucket}-other"
    ok(s3.request("PUT", f"/{other}"))
    ok(s3.request("PUT", path(other, "target"), headers={"Content-Type": "text/x"}, body=b"linked data"))

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
        answer = ok(s3.request("GET", path(bucket, name)))
        assert (answer.body, answer.headers["content-type"]) == (b"linked data", "text/x")
        assert answer.headers["etag"] == etag(b"linked data")
        assert ok(s3.request("HEAD", path(bucket, name))).headers["content-length"] == "11"
    ranged = s3.request("GET", path(bucket, "to-object"), headers={"Range": "bytes=2-4"})
    assert (ranged.status, ranged.body) == (206, b"nke")
    for name in ("to-store", "to-nothing", "to-itself"):
        assert s3.request("GET", path(bucket, name)).code == "NoSuchKey", name
        assert s3.request("HEAD", path(bucket, name)).status == 404
    assert s3.request("GET", path(bucket, "to-no-store")).status == 404
    listing = ok(s3.request("GET", f"/{bucket}?list-type=2")).body
    for name in ("to-object", "to-link", "to-store", "to-nothing", "to-no-store", "to-itself"):
        assert f"<Key>{name}</Key>".encode() in listing
    ok(s3.request("DELETE", path(bucket, "to-object")), 204)
    assert ok(s3.request("GET", path(other, "target"))).body == b"linked data"

    async def get(store, _):
        return (await store.get("to-other-again")).data

    async def add(store, _):
        options = ObjectMetaOptions(link=ObjectLink(other, "target"), max_chunk_size=CHUNK)
        await store.put("to-other-again", b"", ObjectMeta(options=options))

    theirs(add)
    assert theirs(get) == b"linked data"
    assert ok(s3.request("GET", path(bucket, "to-other-again"))).body == b"linked data"


@pytest.mark.parametrize("size", [1, 7, 1000, 40_000, 131_072, 700_000])
def test_ranges_of_objects_with_chunks_of_any_size(s3, bucket, theirs, size):
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
        answer = s3.request("GET", path(bucket, "key"), headers={"Range": f"bytes={first}-{end}"})
        assert (answer.status, answer.body) == (206, body[first : end + 1]), (first, end)
        assert answer.headers["content-range"] == f"bytes {first}-{end}/{len(body)}"
    assert s3.request("GET", path(bucket, "key"), headers={"Range": "bytes=-5"}).body == body[-5:]


def test_an_object_without_a_digest(s3, bucket, theirs):
    async def put(store, _):
        await store.put("key", b"no digest")

    theirs(put)
    message = raw_meta(theirs, bucket, "key")
    del message["digest"]
    write_raw(theirs, bucket, "key", message)
    answer = ok(s3.request("GET", path(bucket, "key")))
    assert answer.body == b"no digest"
    assert answer.headers["etag"] == f'"{message["nuid"]}"'


def test_a_damaged_object_of_others_is_refused(s3, bucket, theirs):
    async def put(store, _):
        await store.put("key", b"some data")

    theirs(put)
    message = raw_meta(theirs, bucket, "key")
    message["digest"] = digest(b"other data")
    write_raw(theirs, bucket, "key", message)
    answer = s3.request("GET", path(bucket, "key"))
    assert (answer.status, answer.code) == (500, "InternalError")


def test_a_store_with_settings_of_its_own(s3, nats_server):
    """As ``nats object add`` makes it: a description, a limit, no owner of ours."""
    name = "their-own-store"
    config = ObjectStoreConfig(description="theirs", max_bytes=1 << 20)
    stranger(nats_server.url, lambda js: js.create_object_store(name, config))
    ok(s3.request("HEAD", f"/{name}"))
    assert f"<Name>{name}</Name>".encode() in ok(s3.request("GET", "/")).body
    ok(s3.request("PUT", path(name, "key"), body=b"x" * 1000))
    assert ok(s3.request("GET", path(name, "key"))).body == b"x" * 1000
    full = s3.request("PUT", path(name, "big"), body=b"x" * (2 << 20))
    assert (full.status, full.code) == (507, "InsufficientStorage")
    assert ok(s3.request("GET", path(name, "key"))).body == b"x" * 1000
    assert s3.request("GET", path(name, "big")).code == "NoSuchKey"

    async def state(js):
        info = await js.stream_info(f"OBJ_{name}")
        return info.config.description, info.config.max_bytes, info.state.messages

    assert stranger(nats_server.url, state) == ("theirs", 1 << 20, 2)
    ok(s3.request("DELETE", path(name, "key")), 204)
    ok(s3.request("DELETE", f"/{name}"), 204)


def test_stores_that_are_no_buckets_are_not_shown(s3, nats_server):
    for name in ("Upper", "under_score", "ab"):
        stranger(nats_server.url, lambda js, name=name: js.create_object_store(name, ObjectStoreConfig()))
    names = ok(s3.request("GET", "/")).body
    for name in ("Upper", "under_score", "ab"):
        assert f"<Name>{name}</Name>".encode() not in names
    assert s3.request("GET", "/Upper").status == 400


def test_a_bucket_with_dots_is_a_store_that_others_can_name(s3, nats_server):
    ok(s3.request("PUT", "/dots.in.name"))
    ok(s3.request("PUT", "/dots.in.name/key", body=b"data"))

    async def get(js):
        return (await (await js.object_store("dots_2ein_2ename")).get("key")).data

    assert stranger(nats_server.url, get) == b"data"
    assert b"<Name>dots.in.name</Name>" in ok(s3.request("GET", "/")).body
