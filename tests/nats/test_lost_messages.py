"""Messages that are lost between the storage and NATS: an object is whole, or it is not there."""

import time

import pytest

from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code
from s3shim.model import ObjectRef
from tests.contract.bodies import code_of, get, pattern, put
from tests.nats.proxy import Proxy
from tests.nats.rig import BUCKET, check_sound, chunk_ids, ready, started, until

TIMEOUT = 1.0
OLD, NEW = pattern(400_000), pattern(700_000, 1)


@pytest.fixture
def proxy(run_server):
    """A proxy in front of a server."""
    proxy = Proxy(run_server().url)
    yield proxy
    proxy.close()


@pytest.fixture
def backend(proxy, tmp_path):
    """A storage whose connection goes through the proxy, with an object "old"."""
    with started(tmp_path, proxy.url, timeout=TIMEOUT, grace=0) as backend:
        backend.create_bucket(BUCKET)
        put(backend, "old", OLD)
        yield backend


class Loss:
    """Does ``what`` to ``times`` messages whose subject begins with ``subject``, or to their answers."""

    def __init__(self, proxy, subject, what, *, answers=False, times=1):
        self._subject, self._what, self._left = subject.encode(), what, times
        self._replies = set()
        self.seen = 0
        proxy.sent = self._sent
        if answers:
            proxy.answered = self._answered
        self._answers = answers

    def _sent(self, subject, message):
        if not subject.startswith(self._subject):
            return Proxy.PASS
        if self._answers:
            self._replies.add(message.split(b" ", 3)[2])
            return Proxy.PASS
        return self._do()

    def _answered(self, message):
        return self._do() if message.split(b" ", 2)[1] in self._replies else Proxy.PASS

    def _do(self):
        self.seen += 1
        if self.seen > self._left:
            return Proxy.PASS
        return self._what


META, CHUNK = "$O.bucket.M.", "$O.bucket.C."


@pytest.mark.parametrize("key", ["old", "new"])
@pytest.mark.parametrize(
    ("what", "answers"),
    [
        (Proxy.DROP, False),
        (Proxy.DROP, True),
        (Proxy.CUT, False),
        (Proxy.CUT, True),
        (Proxy.CUT_AFTER, False),
    ],
    ids=["lost", "answer lost", "cut before", "answer cut", "cut after"],
)
def test_the_metadata_or_its_answer_is_lost_once(proxy, backend, key, what, answers):
    loss = Loss(proxy, META, what, answers=answers)
    began = time.monotonic()
    put(backend, key, NEW)
    assert time.monotonic() - began < TIMEOUT + 3
    assert loss.seen >= 1
    assert get(backend, key) == NEW
    until(5, lambda: len(chunk_ids(backend)) == (1 if key == "old" else 2))
    assert check_sound(backend) == {"old": OLD, key: NEW}


@pytest.mark.parametrize("key", ["old", "new"])
@pytest.mark.parametrize("answers", [False, True], ids=["metadata", "answers"])
def test_the_metadata_or_its_answer_is_always_lost(proxy, backend, key, answers):
    loss = Loss(proxy, META, Proxy.DROP, answers=answers, times=100)
    began = time.monotonic()
    code = code_of(put, backend, key, NEW)
    assert time.monotonic() - began < 2 * TIMEOUT + 3
    assert code is (None if answers else Code.ServiceUnavailable)
    assert loss.seen >= 1
    proxy.sent = proxy.answered = lambda *_: Proxy.PASS
    there = {"old": OLD} | ({key: NEW} if code is None else {})
    assert check_sound(backend) == there


@pytest.mark.parametrize("key", ["old", "new"])
@pytest.mark.parametrize("stored", [False, True], ids=["before", "after"])
def test_the_connection_does_not_come_back_when_the_metadata_was_sent(proxy, backend, tmp_path, key, stored):
    def sent(subject, message):
        if not subject.startswith(META.encode()):
            return Proxy.PASS
        proxy.shut()
        return Proxy.CUT_AFTER if stored else Proxy.CUT

    proxy.sent = sent
    began = time.monotonic()
    assert code_of(put, backend, key, NEW) is Code.ServiceUnavailable
    assert time.monotonic() - began < TIMEOUT + 3
    with started(tmp_path / "other", proxy.server, timeout=TIMEOUT) as other:
        objects = check_sound(other)
    assert objects == ({"old": OLD, key: NEW} if stored else {"old": OLD})


def test_answers_to_chunks_are_lost(proxy, backend):
    Loss(proxy, CHUNK, Proxy.DROP, answers=True, times=1000)
    for size in (10, 700_000, 3_000_000):
        data = pattern(size)
        began = time.monotonic()
        assert code_of(put, backend, "new", data) is Code.ServiceUnavailable
        assert time.monotonic() - began < TIMEOUT + 3
    proxy.sent = proxy.answered = lambda *_: Proxy.PASS
    # Nobody sweeps: what failed is removed by who failed.
    until(8, lambda: len(chunk_ids(backend)) == 1)
    assert check_sound(backend) == {"old": OLD}


@pytest.mark.parametrize("answers", [False, True], ids=["tombstone", "answer"])
def test_a_tombstone_or_its_answer_is_lost(proxy, backend, answers):
    loss = Loss(proxy, META, Proxy.DROP, answers=answers)
    began = time.monotonic()
    backend.delete_object(ObjectRef("bucket", "old"), NO_CONDITIONS)
    assert time.monotonic() - began < TIMEOUT + 3
    assert loss.seen >= 1
    assert code_of(get, backend, "old") is Code.NoSuchKey
    until(5, lambda: not chunk_ids(backend))


@pytest.mark.parametrize("answers", [False, True], ids=["request", "answer"])
def test_a_bucket_or_the_answer_to_it_is_lost(proxy, backend, answers):
    loss = Loss(proxy, "$JS.API.STREAM.CREATE", Proxy.DROP, answers=answers)
    code = code_of(backend.create_bucket, type(BUCKET)("other", "main", 1))
    assert loss.seen == 1
    assert code is (None if answers else Code.ServiceUnavailable)
    assert code_of(backend.head_bucket, "other") is (None if answers else Code.NoSuchBucket)


def test_a_get_goes_on_over_a_lost_answer(proxy, backend):
    loss = Loss(proxy, "$JS.API.DIRECT.GET", Proxy.CUT, answers=True)
    assert get(backend, "old") == OLD
    assert loss.seen >= 1
    until(3, lambda: ready(backend))


def test_metadata_of_a_put_that_was_told_to_have_failed_does_not_come_later(proxy, backend):
    """What waits to be sent when the connection is lost is not sent on the next."""
    loss = Loss(proxy, META, Proxy.DROP, times=100)
    assert code_of(put, backend, "new", NEW) is Code.ServiceUnavailable
    assert loss.seen >= 1
    proxy.sent = lambda *_: Proxy.PASS
    proxy.cut()
    until(3, lambda: ready(backend))
    time.sleep(0.5)
    assert code_of(backend.head_object, ObjectRef("bucket", "new"), NO_CONDITIONS) is Code.NoSuchKey
