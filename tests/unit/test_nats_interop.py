"""What nats-py's Object Store reads of what went through S3, and S3 of what nats-py and others wrote."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from nats.js.api import ObjectMeta
from nats.js.errors import ObjectNotFoundError

from tests.unit.nats_clients import stranger
from tests.unit.nats_objects import CHUNK, bodies, digest, etag, ok, path, raw_meta, write_raw


def test_nats_py_reads_what_went_through_s3(nats_s3, nats_server):
    bucket = "written-here"
    ok(nats_s3.request("PUT", f"/{bucket}"))
    objects = bodies()
    for key, body in objects.items():
        assert ok(nats_s3.request("PUT", path(bucket, key), body=body)).headers["etag"] == etag(body)

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


def test_s3_reads_what_nats_py_wrote(nats_s3, bucket, theirs):
    objects = bodies()

    async def put(store, _):
        for key, body in objects.items():
            await store.put(key, body)

    theirs(put)
    for key, body in objects.items():
        answer = ok(nats_s3.request("GET", path(bucket, key)))
        assert answer.body == body, key
        assert answer.headers["etag"] == f'"{digest(body)}"'
        head = ok(nats_s3.request("HEAD", path(bucket, key)))
        assert head.headers["content-length"] == str(len(body))
    listing = ok(nats_s3.request("GET", f"/{bucket}?list-type=2&encoding-type=url")).xml()
    names = {element.text for element in listing.iter("{http://s3.amazonaws.com/doc/2006-03-01/}Key")}
    assert names == {quote(key, safe="/*-._") for key in objects}


def test_nats_py_sees_headers_metadata_and_tags_under_the_names_of_nats_s3(nats_s3, bucket, theirs):
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "no-store",
        "x-amz-meta-Colour": "blue",
        "x-amz-tagging": "project=alpha%20beta&empty=",
    }
    ok(nats_s3.request("PUT", path(bucket, "key"), headers=headers, body=b"data"))

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


def test_s3_sees_headers_metadata_and_tags_of_others(nats_s3, bucket, theirs):
    async def put(store, _):
        meta = ObjectMeta(headers={"Content-Type": ["image/png"], "X-Other": ["1"]}, description="a picture")
        await store.put("picture", b"pixels", meta)

    theirs(put)
    message = raw_meta(theirs, bucket, "picture")
    message["metadata"] = {"x-amz-meta-Colour": "blue", "x-amz-tag-Project": "alpha", "own": "kept"}
    message["unknown"] = {"of": ["a", "later", "version"]}
    write_raw(theirs, bucket, "picture", message)
    answer = ok(nats_s3.request("GET", path(bucket, "picture")))
    assert answer.body == b"pixels"
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-amz-meta-colour"] == "blue"
    assert answer.headers["x-amz-tagging-count"] == "1"
    tags = ok(nats_s3.request("GET", f"/{bucket}/picture?tagging")).body
    assert b"<Tag><Key>Project</Key><Value>alpha</Value></Tag>" in tags


def test_new_tags_leave_every_field_of_others_as_it_was(nats_s3, bucket, theirs):
    async def put(store, _):
        await store.put("picture", b"pixels", ObjectMeta(headers={"X-Other": ["1"]}, description="a picture"))

    theirs(put)
    before = raw_meta(theirs, bucket, "picture")
    before["metadata"] = {"own": "kept", "x-amz-tag-old": "gone"}
    before["unknown"] = {"of": ["a", "later", "version"]}
    write_raw(theirs, bucket, "picture", before)
    changed = ok(nats_s3.request("HEAD", path(bucket, "picture"))).headers["last-modified"]
    tags = b"<Tagging><TagSet><Tag><Key>new</Key><Value>1</Value></Tag></TagSet></Tagging>"
    ok(nats_s3.request("PUT", f"/{bucket}/picture?tagging", body=tags))
    after = raw_meta(theirs, bucket, "picture")
    assert after["metadata"].pop("s3shim")
    assert after["metadata"] == {"own": "kept", "x-amz-tag-new": "1"}
    for message in (before, after):
        del message["metadata"]
    assert after == before
    answer = ok(nats_s3.request("GET", path(bucket, "picture")))
    assert (answer.body, answer.headers["last-modified"]) == (b"pixels", changed)
    assert answer.headers["etag"] == f'"{digest(b"pixels")}"'

    async def get(store, _):
        return (await store.get("picture")).data

    assert theirs(get) == b"pixels"


def test_an_object_that_another_client_overwrites_is_theirs_in_every_respect(nats_s3, bucket, theirs):
    first = {"x-amz-meta-a": "1", "x-amz-checksum-crc32": "rfPzYw==", "Content-Type": "text/plain"}
    ok(nats_s3.request("PUT", path(bucket, "key"), headers=first, body=b"data"))

    async def put(store, _):
        await store.put("key", b"other data")

    theirs(put)
    answer = ok(nats_s3.request("GET", path(bucket, "key"), headers={"x-amz-checksum-mode": "ENABLED"}))
    assert answer.body == b"other data"
    assert answer.headers["etag"] == f'"{digest(b"other data")}"'
    assert "x-amz-meta-a" not in answer.headers
    assert "x-amz-checksum-crc32" not in answer.headers
    # Some clients copy the metadata of the object that they replace: our record is of another nuid then.
    ok(nats_s3.request("PUT", path(bucket, "key"), headers=first, body=b"data"))
    record = raw_meta(theirs, bucket, "key")["metadata"]
    theirs(put)
    message = raw_meta(theirs, bucket, "key")
    message["metadata"] = record
    write_raw(theirs, bucket, "key", message)
    answer = ok(nats_s3.request("HEAD", path(bucket, "key")))
    assert answer.headers["etag"] == f'"{digest(b"other data")}"'
    assert answer.headers["content-length"] == "10"
    assert answer.headers["x-amz-meta-a"] == "1"


def test_an_object_of_others_that_s3_overwrites_is_ours(nats_s3, bucket, theirs):
    async def put(store, _):
        await store.put("key", b"their data", ObjectMeta(description="theirs", headers={"X-Other": ["1"]}))

    theirs(put)
    ok(nats_s3.request("PUT", path(bucket, "key"), body=b"our data"))

    async def get(store, _):
        return await store.get("key")

    found = theirs(get)
    assert found.data == b"our data"
    assert (found.info.description, found.info.headers) == (None, None)


def test_deletes_of_either_side_are_seen_by_the_other(nats_s3, bucket, theirs):
    async def put(store, _):
        for name in ("one", "two", "three"):
            await store.put(name, name.encode())

    theirs(put)
    ok(nats_s3.request("DELETE", path(bucket, "one")), 204)

    async def look(store, _):
        with pytest.raises(ObjectNotFoundError):
            await store.get("one")
        await store.delete("two")
        await store.put("one", b"again")

    theirs(look)
    assert nats_s3.request("GET", path(bucket, "two")).code == "NoSuchKey"
    assert ok(nats_s3.request("GET", path(bucket, "one"))).body == b"again"
    keys = ok(nats_s3.request("GET", f"/{bucket}?list-type=2")).body
    assert b"<Key>one</Key>" in keys
    assert b"<Key>three</Key>" in keys
    assert b"<Key>two</Key>" not in keys
