"""Leases: taken, renewed, lost, left behind by the dead, and taken over no sooner than they may be."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event, Thread

import pytest

from s3shim.backends.ledger import Line
from s3shim.backends.upstream.leases import Leases
from s3shim.errors import Code, S3Error
from tests.contract.bodies import code_of
from tests.unit.fake_ledger import FakeLedger

TIME = 0.4
"""Seconds for which a lease is in the way of others."""


@pytest.fixture
def ledger():
    return FakeLedger()


@pytest.fixture
def gateways(ledger):
    """Return a function that makes gateways which share the ledger."""
    made = []

    def make(seconds=TIME):
        leases = Leases(ledger, seconds / 2)
        leases.start()
        made.append(leases)
        return leases

    yield make
    for leases in made:
        leases.close()


def hold(leases, names, patience, work=lambda: None):
    """Do the work under the leases."""
    with leases.hold(names, patience):
        work()


def fail():
    raise S3Error(Code.InternalError)


def die(leases):
    """Let a gateway renew nothing any more, as one that was killed or stopped."""
    leases._ended.set()
    leases._thread.join()


def test_an_uncontended_lease_is_two_calls_and_leaves_nothing(ledger, gateways):
    leases = gateways()
    assert leases.sending() is None
    with leases.hold(["a"], 1):
        assert list(ledger.lines) == ["a"]
        assert leases.sending() == TIME / 8
    assert leases.sending() is None
    assert ledger.lines == {}
    assert ledger.calls == ["write", "remove"]


def test_a_held_lease_keeps_others_out_for_as_long_as_it_is_renewed(ledger, gateways):
    one, two = gateways(), gateways()
    with one.hold(["a"], 1):
        assert code_of(hold, two, ["a"], 4 * TIME) is Code.SlowDown
        assert code_of(hold, two, ["b"], 0) is None
        assert one.sending() == TIME / 8
        assert ledger.calls.count("write") > 10
    assert code_of(hold, two, ["a"], 0.1) is None


def test_a_lease_that_was_left_behind_is_taken_over_after_its_time_and_not_before(ledger, gateways):
    dead, heir = gateways(), gateways()

    def stopped():
        die(dead)
        assert code_of(hold, heir, ["a"], 0.8 * TIME) is Code.SlowDown
        before = time.monotonic()
        assert code_of(hold, heir, ["a"], 2 * TIME) is None
        assert time.monotonic() - before < TIME  # it counts from when the first of those who waited saw it
        assert code_of(dead.sending) is Code.SlowDown

    assert code_of(hold, dead, ["a"], 1, stopped) is Code.ServiceUnavailable


def test_the_time_of_a_lease_is_that_of_its_holder(ledger, gateways):
    patient, hasty = gateways(3 * TIME), gateways()

    def stopped():
        die(patient)
        assert code_of(hold, hasty, ["a"], 2.5 * TIME) is Code.SlowDown
        assert code_of(hold, hasty, ["a"], 2 * TIME) is None

    assert code_of(hold, patient, ["a"], 1, stopped) is Code.ServiceUnavailable


def test_giving_back_what_another_has_taken_over_is_nothing_to_him(ledger, gateways):
    dead, heir = gateways(), gateways()
    with ExitStack() as outer:

        def stopped():
            die(dead)
            outer.enter_context(heir.hold(["a"], 4 * TIME))

        assert code_of(hold, dead, ["a"], 1, stopped) is Code.ServiceUnavailable
        assert list(ledger.lines) == ["a"]
    assert ledger.lines == {}


@pytest.mark.parametrize("fault", ["away", "mute"])
def test_without_the_ledger_nothing_is_begun_and_what_was_begun_is_not_acknowledged(ledger, gateways, fault):
    leases = gateways()
    setattr(ledger, fault, True)
    assert code_of(hold, leases, ["a"], 1) is Code.ServiceUnavailable
    setattr(ledger, fault, False)
    ledger.lines.clear()

    def cut_off():
        ledger.away = True
        time.sleep(0.6 * TIME)
        assert code_of(leases.sending) is Code.SlowDown
        time.sleep(0.5 * TIME)

    assert code_of(hold, leases, ["a"], 1, cut_off) is Code.ServiceUnavailable


def test_a_renewal_whose_answer_was_lost_loses_nothing(ledger, gateways):
    leases = gateways(1.0)
    with leases.hold(["a"], 1):
        revision = ledger.lines["a"].revision
        ledger.mute = True
        while ledger.lines["a"].revision == revision:
            time.sleep(0.01)
        time.sleep(0.05)
        ledger.mute = False
        time.sleep(1.2)
        assert leases.sending() > 0
    assert ledger.lines == {}


def test_a_lease_that_was_taken_from_us_is_noticed_by_the_renewal(ledger, gateways):
    leases = gateways()

    def robbed():
        ledger.lines["a"] = Line(10**6, b'{"holder": "another", "seconds": 1}')
        time.sleep(TIME / 2)
        assert code_of(leases.sending) is Code.SlowDown

    assert code_of(hold, leases, ["a"], 1, robbed) is Code.ServiceUnavailable
    assert ledger.lines["a"].revision == 10**6


def test_what_may_still_happen_leaves_its_lease_to_run_out(ledger, gateways):
    leases = gateways()
    assert code_of(hold, leases, ["a"], 1, fail) is Code.InternalError
    assert ledger.lines == {}

    def unanswered():
        leases.doubt()
        fail()

    assert code_of(hold, leases, ["a"], 1, unanswered) is Code.InternalError
    assert list(ledger.lines) == ["a"]
    assert code_of(hold, leases, ["a"], 0.8 * TIME) is Code.SlowDown
    assert code_of(hold, leases, ["a"], TIME) is None
    assert ledger.lines == {}


@pytest.mark.parametrize("value", [b"x", b"{}", b'{"seconds": "long"}', b"[1]", b"1"])
def test_what_somebody_else_wrote_is_in_the_way_for_the_time_of_a_lease(ledger, gateways, value):
    ledger.lines["a"] = Line(7, value)
    leases = gateways(0.1)
    assert code_of(hold, leases, ["a"], 0.05) is Code.SlowDown
    assert code_of(hold, leases, ["a"], 0.5) is None


def test_many_leases_are_taken_at_once_and_given_back_where_one_is_missing(ledger, gateways):
    one, two = gateways(), gateways()
    names = [f"{n:03d}" for n in range(300)]
    with one.hold(names, 1):
        assert sorted(ledger.lines) == names
    assert ledger.calls == ["write", "remove"]
    with one.hold(["150"], 1):
        assert code_of(hold, two, names, 0.1) is Code.SlowDown
        assert list(ledger.lines) == ["150"]


def test_who_wants_the_same_in_another_order_does_not_wait_for_ever(ledger, gateways):
    names = [str(n) for n in range(5)]
    stop = Event()
    codes = []

    def take(leases, order):
        while not stop.is_set():
            codes.append(code_of(hold, leases, order, 5))

    threads = [Thread(target=take, args=(gateways(), order)) for order in (names, names[::-1], names[1:3])]
    for thread in threads:
        thread.start()
    stop.wait(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert set(codes) == {None}
    assert len(codes) > 10
    assert ledger.lines == {}


def test_all_who_wait_get_their_turn(ledger, gateways):
    """20 waiters, each a machine of its own."""
    inside = []
    turns = []

    def take(leases):
        with leases.hold(["a"], 20):
            inside.append(1)
            turns.append(len(inside))
            time.sleep(0.002)
            inside.pop()

    with ThreadPoolExecutor(20) as pool:
        list(pool.map(take, [gateways(5) for _ in range(20)] * 3))
    assert turns == [1] * 60


def test_those_who_hold_are_outlasted_and_those_who_come_later_are_not(ledger, gateways):
    one, two = gateways(), gateways()
    began, end = Event(), Event()

    def first():
        with one.hold(["stem.a"], 1):
            began.set()
            end.wait()
        with one.hold(["stem.a"], 1):
            time.sleep(4 * TIME)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(first)
        began.wait()
        assert two.is_held("stem.a")
        assert not two.is_held("stem")
        assert code_of(two.outlast, "stem", 0.2) is Code.SlowDown
        end.set()
        two.outlast("stem", 1)
        two.outlast("ste", 0)
        assert two.is_held("stem.a")
        done.result()
    assert not two.is_held("stem.a")


def test_the_dead_are_outlasted_too(ledger, gateways):
    dead, other = gateways(), gateways()

    def stopped():
        die(dead)
        assert code_of(other.outlast, "stem", TIME / 2) is Code.SlowDown
        other.outlast("stem", TIME)
        assert not other.is_held("stem.a")

    assert code_of(hold, dead, ["stem.a"], 1, stopped) is Code.ServiceUnavailable
