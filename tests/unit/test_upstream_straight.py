"""Large bodies that go straight to their key: whole or not at all, verified, and counted where they count."""

import hashlib
import json
import time

import pytest

from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code, S3Error
from s3shim.model import ObjectRef
from tests.contract.bodies import BytesBody, checksum, code_of, get, pattern, put
from tests.unit.fake_upstream import Answer, FakeUpstream, backend_over, error

KEY = ObjectRef("bucket", "key")
DATA = pattern(300_000)
OURS = "/s3shim-records/.s3shim/checksums/"


class Memory:
    """An upstream that keeps what is put whole; ``meanwhile`` is done before it answers a PUT to the key."""

    def __init__(self):
        self.objects = {}
        self.short = []
        self.meanwhile = lambda: None

    def __call__(self, asked):
        if asked.method == "PUT":
            return self.put(asked)
        if asked.method == "DELETE":
            self.objects.pop(asked.path, None)
            return Answer(204)
        if asked.path not in self.objects:
            return error(404, "NoSuchKey")
        body, headers = self.objects[asked.path]
        return Answer(200, body, headers)

    def put(self, asked):
        hashed = asked.headers["x-amz-content-sha256"]
        if len(asked.body) < int(asked.headers["Content-Length"]):
            self.short.append(asked.body)
            return None
        if hashed not in ("UNSIGNED-PAYLOAD", hashlib.sha256(asked.body).hexdigest()):
            return error(400, "InvalidDigest")
        headers = {"ETag": f'"{hashlib.md5(asked.body).hexdigest()}"'}
        headers |= {name: value for name, value in asked.headers.items() if name.startswith("x-amz-meta-")}
        self.objects[asked.path] = asked.body, headers
        if asked.path == "/bucket/key":
            self.meanwhile()
        return Answer(200, headers={"ETag": headers["ETag"]})


@pytest.fixture
def over(tmp_path):
    """A backend over an upstream that behaves as Garage, and that upstream."""
    memory = Memory()
    with FakeUpstream(memory) as fake:
        backend = backend_over(fake.endpoint, tmp_path, dialect="garage")
        memory.asked = fake.asked
        yield backend, memory
        backend.close()


def requests(memory):
    return [(asked.method, asked.path.partition("checksums/")[0]) for asked in memory.asked]


@pytest.mark.parametrize("signed", [True, False])
def test_a_large_body_is_one_request_to_its_key(over, signed):
    backend, memory = over
    info = put(backend, "key", BytesBody(DATA, signed=signed))
    assert sorted(requests(memory)) == [
        ("HEAD", "/bucket/key"),
        ("HEAD", "/s3shim-records"),
        ("PUT", "/bucket/key"),
        ("PUT", "/s3shim-records"),
        ("PUT", "/s3shim-records/.s3shim/"),
    ]
    (sent,) = [asked for asked in memory.asked if asked.method == "PUT" and asked.path == "/bucket/key"]
    expected = hashlib.sha256(DATA).hexdigest() if signed else "UNSIGNED-PAYLOAD"
    assert sent.headers["x-amz-content-sha256"] == expected
    assert (info.size, info.etag) == (len(DATA), hashlib.md5(DATA).hexdigest())
    assert info.checksums == {"crc32": checksum("crc32", DATA)}
    assert backend.head_object(KEY, NO_CONDITIONS) == info
    assert get(backend, "key") == DATA


def test_a_body_that_was_signed_with_another_hash_is_the_clients_error(over):
    backend, memory = over
    body = BytesBody(DATA, signed=True)
    body.hand_on = lambda: hashlib.sha256(b"another").hexdigest()
    with pytest.raises(S3Error) as caught:
        put(backend, "key", body)
    assert caught.value.code is Code.XAmzContentSHA256Mismatch
    assert "/bucket/key" not in memory.objects


@pytest.mark.parametrize("signed", [True, False])
def test_of_a_body_that_fails_at_its_end_the_last_bytes_are_kept_back(over, signed):
    backend, memory = over
    body = BytesBody(DATA, piece=100_000, fail_at=3, error=S3Error(Code.BadDigest), signed=signed)
    assert code_of(put, backend, "key", body) is Code.BadDigest
    assert memory.objects == {}
    backend.close()
    assert all(len(data) <= 200_000 for data in memory.short)


def test_bytes_that_changed_on_their_way_up_are_removed(over):
    backend, memory = over
    put_whole = memory.put

    def damaged(asked):
        if asked.path == "/bucket/key":
            asked.body = b"x" + asked.body[1:]
        return put_whole(asked)

    memory.put = damaged
    assert code_of(put, backend, "key", BytesBody(DATA)) is Code.InternalError
    assert "/bucket/key" not in memory.objects
    assert code_of(put, backend, "key", BytesBody(DATA, signed=True)) is Code.XAmzContentSHA256Mismatch
    assert "/bucket/key" not in memory.objects


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ({"t": 1, "b": True}, None),
        (None, None),
        ({"t": 1}, Code.SlowDown),
        ({"t": 1, "i": "another"}, Code.SlowDown),
        ("gone", Code.SlowDown),
    ],
)
def test_a_write_that_was_overtaken_counts_only_as_one_before_a_blind_one(over, entry, code):
    """Garage dates a write by its beginning: one that began later and ended earlier stays."""
    backend, memory = over

    def overtake():
        headers = {"ETag": '"x"'}
        if entry is not None:
            headers["x-amz-meta-s3shim"] = json.dumps(entry)
        memory.objects["/bucket/key"] = b"later", headers
        if entry == "gone":
            del memory.objects["/bucket/key"]

    memory.meanwhile = overtake
    assert code_of(put, backend, "key", BytesBody(DATA)) is code


def test_checksums_that_are_lost_leave_the_etag(over):
    backend, memory = over
    info = put(backend, "key", BytesBody(DATA))
    (name,) = [path for path in memory.objects if path.startswith(OURS)]
    del memory.objects[name]
    assert backend.head_object(KEY, NO_CONDITIONS).checksums == {}
    assert get(backend, "key") == DATA
    body, headers = memory.objects["/bucket/key"]
    memory.objects["/bucket/key"] = b"x" + body[1:], headers
    assert code_of(get, backend, "key") is Code.InternalError
    assert info.etag == hashlib.md5(DATA).hexdigest()


def test_a_record_whose_request_fails_is_sent_again(over):
    backend, memory = over
    put_whole, lost = memory.put, [1]
    memory.put = lambda asked: (
        None if "checksums/" in asked.path and lost and lost.pop() else put_whole(asked)
    )
    info = put(backend, "key", BytesBody(DATA))
    assert lost == []
    assert backend.head_object(KEY, NO_CONDITIONS) == info


def test_nobody_waits_for_checksums_of_what_has_failed(tmp_path):
    def answer(asked):
        return None if asked.method == "PUT" else error(404, "NoSuchKey")

    with FakeUpstream(answer) as fake:
        backend = backend_over(fake.endpoint, tmp_path, dialect="garage")
        assert code_of(put, backend, "key", pattern(2 * 1024**2)) is Code.InternalError
        backend.close()
        # Nobody waited, so the upstream may have it only now.
        deadline = time.monotonic() + 30
        while not any(asked.path.startswith(OURS) for asked in fake.asked) and time.monotonic() < deadline:
            time.sleep(0.01)
    sent = [asked.path for asked in fake.asked if asked.method == "PUT"]
    assert sum(path.startswith(OURS) for path in sent) == 1
    assert sent.count("/bucket/key") == 1
