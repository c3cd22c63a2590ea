"""Small bodies by the connection of the request's own thread, and what becomes of them where that fails."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import pytest

from s3shim.backends.nats import at_once
from s3shim.backends.nats.backend import NatsBackend
from s3shim.backends.nats.settings import NatsSettings
from s3shim.backends.nats.wires import Wire
from s3shim.backends.nats.written import Written
from tests.contract.bodies import BytesBody
from tests.unit.nats_objects import meta_subject, ok, path, raw_meta

BODY = b"small body"


@pytest.fixture
def store(nats_server, tmp_path):
    """The storage, open."""
    backend = NatsBackend(NatsSettings(tmp_path / "index", servers=(nats_server.url,), timeout=2.0))
    backend.start()
    yield backend.store
    backend.close()


@pytest.fixture
def written(store, bucket):
    """A small body that has been read, of which nothing is stored."""
    made = Written(store, bucket)
    made.take(BytesBody(BODY))
    return made


def chunks(theirs, bucket):
    """Return how many messages of chunks there are by nuid."""

    async def work(_, js):
        info = await js.stream_info(f"OBJ_{bucket}", subjects_filter=f"$O.{bucket}.C.>")
        return {subject.rpartition(".")[2]: count for subject, count in (info.state.subjects or {}).items()}

    return theirs(work)


def test_the_chunk_is_stored_and_the_key_looked_at(written, bucket, theirs):
    assert at_once.begin(written, "key") == at_once.Found(None)
    assert written.rest == []
    assert chunks(theirs, bucket) == {written.nuid: 1}
    content = written.content
    assert (content.chunks, content.size, content.first, content.last) == (1, len(BODY), 1, 1)


def test_what_is_replaced_is_found(nats_s3, written, bucket):
    ok(nats_s3.request("PUT", path(bucket, "key"), body=b"before"))
    found = at_once.begin(written, "key")
    assert found.entry.size == 6
    assert found.entry.info("key").etag == hashlib.md5(b"before", usedforsecurity=False).hexdigest()


def test_nothing_is_done_where_there_is_nothing_to_store_or_it_has_begun(store, bucket):
    empty = Written(store, bucket)
    empty.take(BytesBody(b""))
    assert at_once.begin(empty, "key") is None
    long = Written(store, bucket)
    long.take(BytesBody(bytes(3 << 20)))
    nuid, count = long.nuid, long.writer.count
    assert at_once.begin(long, "key") is None
    assert (long.nuid, long.writer.count) == (nuid, count)


def test_without_a_connection_nothing_is_sent(written, monkeypatch):
    monkeypatch.setattr(
        type(written.store.remote.connection),
        "link",
        lambda _: SimpleNamespace(client=SimpleNamespace(is_connected=False)),
    )
    nuid = written.nuid
    assert at_once.begin(written, "key") is None
    assert (written.nuid, written.rest) == (nuid, [BODY])


@pytest.mark.parametrize("answers", [0, 1, 2])
def test_a_connection_that_ends_gives_the_chunks_up(written, bucket, theirs, monkeypatch, answers):
    """They may have been stored: the loop begins anew under another nuid, and they are removed."""
    given, true_next = [], Wire.next

    def next_or_end(self):
        if len(given) == answers:
            raise OSError("cut")
        given.append(1)
        return true_next(self)

    monkeypatch.setattr(Wire, "next", next_or_end)
    nuid = written.nuid
    assert at_once.begin(written, "key") is None
    assert written.nuid != nuid
    assert written.rest == [BODY]
    assert written.writer is None


def test_a_put_whose_connection_ends_is_done_all_the_same(nats_s3, bucket, theirs, monkeypatch):
    def end(_):
        raise OSError("cut")

    with monkeypatch.context() as cut:
        cut.setattr(Wire, "next", end)
        ok(nats_s3.request("PUT", path(bucket, "key"), body=BODY))
    assert ok(nats_s3.request("GET", path(bucket, "key"))).body == BODY
    assert raw_meta(theirs, bucket, "key")["nuid"] in chunks(theirs, bucket)


def test_a_bucket_that_was_made_anew_takes_no_chunk_of_the_old_one(nats_s3, written, bucket, theirs):
    async def remake(_, js):
        config = (await js.stream_info(f"OBJ_{bucket}")).config
        await js.delete_stream(f"OBJ_{bucket}")
        await js.add_stream(config)

    theirs(remake)
    assert at_once.begin(written, "key") is None
    assert nats_s3.request("GET", path(bucket, "key")).status == 404


def test_metadata_that_is_none_is_an_error_and_no_answer(nats_s3, bucket, theirs):
    async def spoil(_, js):
        await js.publish(meta_subject(bucket, "key"), b"no metadata", headers={"Nats-Rollup": "sub"})

    theirs(spoil)
    answer = nats_s3.request("PUT", path(bucket, "key"), body=BODY)
    assert (answer.status, answer.code) == (500, "InternalError")
