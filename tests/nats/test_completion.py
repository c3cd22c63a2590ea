"""A completion that another gateway has begun and not ended: taken over, finished, or left alone."""

from __future__ import annotations

import time

import pytest

from s3shim.backends.nats.claim import Claim
from s3shim.backends.nats.completing import Completions
from s3shim.backends.nats.format import chunk_subject, stream_of
from s3shim.backends.nats.upload_records import COMMITTING
from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.errors import Code
from s3shim.model import BucketInfo, ObjectPart, ObjectRef
from tests.contract.bodies import code_of, get, pattern, put
from tests.contract.uploads import begin, complete, part_numbers, upload
from tests.nats_server import nats_backend

DATAS = [pattern(300_000, seed) for seed in range(3)]
KEY = ObjectRef("bucket", "key")


@pytest.fixture
def backend(tmp_path):
    """A storage with the empty bucket."""
    backend = nats_backend(tmp_path)
    backend.start()
    backend.create_bucket(BucketInfo("bucket", "main", 1))
    yield backend
    backend.close()


@pytest.fixture
def ref(backend):
    """An upload of three parts."""
    ref = begin(backend)
    for number, data in enumerate(DATAS, 1):
        upload(backend, ref, number, data)
    return ref


def parts_of(backend, ref):
    """Return the parts as a client lists them."""
    return backend.list_parts(ref, 0, 100)[1]


def chunks(backend, nuid):
    """Return how many chunks there are under an id."""
    found = backend.store.call(
        backend.store.js.batch(stream_of("bucket"), chunk_subject("bucket", nuid), 1, 99)
    )
    return len(found[0])


def begun_by_another(backend, ref, age):
    """Leave the upload as a gateway does that died ``age`` ms ago in the midst of a completion."""
    claim = Claim(backend.store, ref)
    claim.look()
    target = "abandoned" * 2
    claim.take(target)
    backend.store.call(
        backend.store.js.publish(chunk_subject("bucket", target), b"the first chunks of the object")
    )
    claim.record.beat -= age
    claim.store.call(claim.store.kv.put(claim.key, claim.record.dump(), claim.record.seq))
    return target


def test_a_completion_whose_gateway_is_gone_is_begun_anew(backend, ref):
    target = begun_by_another(backend, ref, 60_000)
    assert chunks(backend, target) == 1
    info = complete(backend, ref, parts_of(backend, ref))
    assert get(backend, "key") == b"".join(DATAS)
    assert backend.get_object_parts(KEY, NO_CONDITIONS)[1] == [
        ObjectPart(number, len(data), backend.get_object_parts(KEY, NO_CONDITIONS)[1][number - 1].checksums)
        for number, data in enumerate(DATAS, 1)
    ]
    assert info.parts_count == 3
    assert chunks(backend, target) == 0
    assert code_of(part_numbers, backend, ref) is Code.NoSuchUpload


def test_a_completion_that_is_under_way_is_waited_for(backend, ref, monkeypatch):
    begun_by_another(backend, ref, 28_000)
    parts = parts_of(backend, ref)
    began = time.monotonic()
    complete(backend, ref, parts)
    assert 1.5 < time.monotonic() - began < 10
    assert get(backend, "key") == b"".join(DATAS)


def committing(backend, ref, monkeypatch, *, published):
    """Let a completion end just before its answer is known: its metadata is ``published``, or it is not."""
    from_catalog = backend.store.catalog.rewrite

    async def lost(*arguments):
        if published:
            await from_catalog(*arguments)
        raise ServiceLost

    with monkeypatch.context() as patched:
        patched.setattr(backend.store.catalog, "rewrite", lost)
        with pytest.raises(ServiceLost):
            complete(backend, ref, parts_of(backend, ref))
    claim = Claim(backend.store, ref)
    claim.look()
    assert claim.record.state == COMMITTING
    return claim.record.nuid


class ServiceLost(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("published", [False, True])
def test_another_gateway_ends_what_was_to_be_committed(backend, ref, monkeypatch, tmp_path, published):
    parts = parts_of(backend, ref)
    nuid = committing(backend, ref, monkeypatch, published=published)
    assert code_of(get, backend, "key") is (None if published else Code.NoSuchKey)
    other = type(backend)(backend.settings)
    other.start()
    try:
        info = complete(other, ref, parts)
        assert complete(other, ref, parts) == info
    finally:
        other.close()
    assert get(backend, "key") == b"".join(DATAS)
    assert chunks(backend, nuid) > 0
    assert backend.head_object(KEY, NO_CONDITIONS) == info


def test_what_was_committed_and_then_replaced_is_not_brought_back(backend, ref, monkeypatch):
    parts = parts_of(backend, ref)
    committing(backend, ref, monkeypatch, published=True)
    put(backend, "key", b"newer")
    complete(backend, ref, parts)
    assert get(backend, "key") == b"newer"


def test_what_may_have_been_replaced_is_a_conflict_for_a_conditional_completion(backend, ref, monkeypatch):
    parts = parts_of(backend, ref)
    committing(backend, ref, monkeypatch, published=False)
    put(backend, "key", b"newer")
    absent = Conditions(if_none_match=ETagList(any=True))
    assert code_of(complete, backend, ref, parts, conditions=absent) is Code.ConditionalRequestConflict
    assert get(backend, "key") == b"newer"


def test_an_upload_of_one_part_becomes_the_object_without_another_copy(backend):
    ref = begin(backend)
    part = upload(backend, ref, 7, DATAS[0])
    before = backend.store.call(backend.store.buckets.find("bucket")).state["bytes"]
    complete(backend, ref, [part])
    after = backend.store.call(backend.store.buckets.find("bucket")).state["bytes"]
    assert get(backend, "key") == DATAS[0]
    assert after - before < len(DATAS[0]) / 2
    assert isinstance(backend, Completions)


def test_1000_parts(backend):
    """The table of many parts is not in the metadata of the object, and goes with it."""
    ref = begin(backend)
    parts = [upload(backend, ref, number, b"%d" % number) for number in range(1, 1001)]
    complete(backend, ref, parts)
    assert get(backend, "key") == b"".join(b"%d" % number for number in range(1, 1001))
    info, found = backend.get_object_parts(KEY, NO_CONDITIONS)
    assert (info.parts_count, [part.part_number for part in found]) == (1000, list(range(1, 1001)))
    nuid = backend.store.call(backend.store.catalog.live("bucket", "key")).nuid
    assert chunks(backend, f"{nuid}.parts") == 1
    backend.delete_object(KEY, NO_CONDITIONS)
    for _ in range(200):
        if not chunks(backend, f"{nuid}.parts") + chunks(backend, nuid):
            break
        time.sleep(0.05)
    else:
        pytest.fail("the chunks of a deleted object stay")
