"""What is sent under a lease leaves while the lease is ours, or not at all; a late answer is no success."""

import ssl
import time
from threading import Event

import pytest
import trustme

from s3shim.backends.upstream.wire import Connection
from s3shim.conditions import NO_CONDITIONS, Conditions, ETagList
from s3shim.errors import Code
from s3shim.model import ObjectRef
from tests.contract.bodies import code_of, pattern, put
from tests.unit.fake_ledger import FakeLedger
from tests.unit.fake_upstream import Answer, FakeUpstream, backend_over, error

TIME = 1.2
NEW_ONLY = Conditions(if_none_match=ETagList(any=True))
PATIENT = {"first_byte_timeout": 20.0, "idle_timeout": 20.0, "connect_timeout": 20.0, "attempts": 1}


@pytest.fixture
def ledger():
    return FakeLedger()


@pytest.fixture
def over(tmp_path, ledger):
    """Return a function that makes a gateway with leases over a fake."""
    made = []

    def make(fake, **settings):
        wanted = {"dialect": "garage", "leases": True, "lease_time": TIME / 2, **settings}
        made.append(backend_over(fake.endpoint, tmp_path, ledger, **wanted))
        return made[-1]

    yield make
    for backend in made:
        backend.close()


@pytest.mark.parametrize("secure", [False, True])
def test_a_change_is_not_sent_when_its_lease_is_running_out(tmp_path, ledger, over, secure):
    def answer(asked):
        if asked.method != "HEAD":
            return Answer()
        ledger.away = True
        time.sleep(0.6 * TIME)
        return Answer(404)

    tls, more = None, dict(PATIENT)
    if secure:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        more["ca"] = tmp_path / "ca.pem"
    with FakeUpstream(answer, tls) as fake:
        backend = over(fake, **more)
        assert code_of(put, backend, "first") is None
        assert code_of(put, backend, "key", b"data", conditions=NEW_ONLY) is Code.SlowDown
        ledger.away = False
        assert code_of(put, backend, "last") is None
    sent = [(asked.method, asked.path) for asked in fake.asked]
    assert sent == [("PUT", "/bucket/first"), ("HEAD", "/bucket/key"), ("PUT", "/bucket/last")]


def test_no_try_is_made_again_when_the_lease_is_running_out(ledger, over):
    def answer(asked):
        ledger.away = True
        time.sleep(0.6 * TIME)
        return error(503, "SlowDown")

    with FakeUpstream(answer) as fake:
        assert code_of(put, over(fake, **PATIENT | {"attempts": 5}), "key") is Code.SlowDown
    assert len(fake.asked) == 1


def test_an_answer_that_comes_after_the_lease_is_no_success(ledger, over):
    def answer(asked):
        ledger.away = True
        time.sleep(1.1 * TIME)
        return Answer()

    with FakeUpstream(answer) as fake:
        backend = over(fake, **PATIENT)
        assert code_of(put, backend, "key") is Code.ServiceUnavailable
        ledger.away = False
        code = code_of(backend.delete_object, ObjectRef("bucket", "key"), NO_CONDITIONS)
        assert code is Code.ServiceUnavailable
    assert [asked.method for asked in fake.asked] == ["PUT", "DELETE"]


@pytest.mark.parametrize(("pause", "code"), [(0.9 * TIME / 2, None), (1.1 * TIME, Code.ServiceUnavailable)])
def test_what_was_about_to_be_sent_when_its_process_was_stopped(ledger, over, monkeypatch, pause, code):
    """It is sent, which is all that there is to be exposed to, and not acknowledged where it is too late."""
    send = Connection.send

    def stopped(connection, head, *rest, **named):
        if head.startswith(b"PUT "):
            ledger.away = True
            time.sleep(pause)
        send(connection, head, *rest, **named)

    monkeypatch.setattr(Connection, "send", stopped)
    with FakeUpstream(lambda asked: Answer()) as fake:
        assert code_of(put, over(fake, **PATIENT), "key") is code
    assert [asked.method for asked in fake.asked] == ["PUT"]


def test_a_slow_answer_to_a_renewed_lease_is_a_success(ledger, over):
    def answer(asked):
        time.sleep(1.5 * TIME)
        return Answer()

    with FakeUpstream(answer) as fake:
        assert code_of(put, over(fake, **PATIENT), "key") is None
    assert ledger.lines == {}


@pytest.mark.parametrize(
    ("answer", "code", "left"),
    [
        (Answer(stall=True), Code.ServiceUnavailable, True),
        (None, Code.InternalError, True),
        (error(500, "InternalError"), Code.InternalError, False),
        (error(412, "PreconditionFailed"), Code.PreconditionFailed, False),
    ],
)
def test_a_change_without_an_answer_leaves_its_lease(ledger, over, answer, code, left):
    """It may still happen: others wait until the lease is over."""
    with FakeUpstream(lambda asked: answer) as fake:
        assert code_of(put, over(fake, attempts=1), "key") is code
    assert bool(ledger.lines) is left


@pytest.mark.parametrize("taken", [0, 64 * 1024])
def test_sending_that_stalls_or_drips_ends_while_the_lease_is_ours(ledger, over, taken):
    stalled = Event()
    with FakeUpstream(lambda asked: Answer(404)) as fake:
        serve = fake.serve

        def deaf(handler):
            if handler.command != "PUT":
                serve(handler)
                return
            stalled.set()
            while not fake.released.wait(0.02) and (not taken or handler.rfile.read(taken)):
                continue
            handler.close_connection = True

        fake.serve = deaf
        backend = over(fake, block_size=64 * 1024**2, **PATIENT)
        data = pattern(32 * 1024**2)
        began = time.monotonic()
        assert code_of(put, backend, "key", data, conditions=NEW_ONLY) is Code.ServiceUnavailable
        assert time.monotonic() - began < TIME
        assert stalled.is_set()
    assert ledger.lines != {}
