"""The memory in which workers show their numbers: who is killed, who comes after, what is left."""

from __future__ import annotations

import copy
import os
import signal
import time

import pytest

from s3shim.measures import Across, Kind, Measure
from s3shim.metrics import Board, Numbers
from s3shim.metrics.board import Sheet


@pytest.fixture
def master():
    """A board with room for two workers and three generations after them."""
    board = Board()
    board.open(2)
    return board


def forked(master, worker):
    """Return what a worker has that is forked now: the same memory, and what the master knew then."""
    master.hire(worker)
    return copy.copy(master)


def counted(value):
    return Sheet({"a_total": {(): [value]}}, {"b": {(): [value]}})


def totals(board):
    """Return the sums of what a process sees of the others: of counters, of gauges."""
    sheets = board.sheets()
    return tuple(
        sum(getattr(sheet, part).get(name, {}).get((), [0.0])[0] for sheet in sheets)
        for part, name in (("lasting", "a_total"), ("passing", "b"))
    )


def test_each_sees_the_others_and_not_itself(master):
    one, two = forked(master, 1), forked(master, 2)
    one.write(counted(3.0))
    two.write(counted(5.0))
    assert (totals(one), totals(two)) == ((5.0, 5.0), (3.0, 3.0))
    one.write(counted(4.0))
    assert totals(two) == (4.0, 4.0)


def test_counters_outlive_their_worker_and_gauges_do_not(master):
    one, two = forked(master, 1), forked(master, 2)
    one.write(counted(3.0))
    master.bury(1)
    assert totals(two) == (3.0, 0.0)
    three = forked(master, 3)
    assert totals(two) == (3.0, 0.0)
    three.write(counted(1.0))
    assert totals(two) == (4.0, 1.0)
    master.bury(3)
    master.bury(2)
    assert totals(forked(master, 4)) == (4.0, 0.0)


def test_nobody_is_counted_twice_while_he_is_buried(master, monkeypatch):
    """The sum has it already, and its place still shows it."""
    one, two = forked(master, 1), forked(master, 2)
    one.write(counted(3.0))
    place = master._places[1]
    master.bury(1)
    assert master._shown(place)[0] == 1
    assert totals(two) == (3.0, 0.0)


def test_who_is_killed_while_he_writes_leaves_what_he_showed_before(master):
    one, two = forked(master, 1), forked(master, 2)
    one.write(counted(3.0))
    one.write(counted(4.0))
    begin = one._places[1] * (128 << 10) + one._copy % 2 * (64 << 10)
    for at in range(begin, begin + 40):
        kept = one._memory[at]
        one._memory[at] = kept ^ 0x11
        assert totals(two) in ((3.0, 3.0), (0.0, 0.0))
        assert totals(two) == (3.0, 3.0)
        one._memory[at] = kept
    assert totals(two) == (4.0, 4.0)


def test_places_are_used_again(master):
    for worker in range(1, 100):
        forked(master, worker).write(counted(1.0))
        master.bury(worker)
    assert totals(forked(master, 100)) == (99.0, 0.0)


def test_without_a_place_nothing_is_shown_and_all_goes_on(master, caplog):
    workers = [forked(master, worker) for worker in range(1, 10)]
    for worker in workers:
        worker.write(counted(1.0))
    assert [worker.is_shared for worker in workers] == [True] * 8 + [False]
    assert caplog.messages == ["worker 9 has no place for its metrics: too many are still ending"]
    assert totals(workers[0]) == (7.0, 7.0)
    assert totals(workers[8]) == (8.0, 8.0)
    master.bury(9)
    assert totals(workers[0]) == (7.0, 7.0)


def test_what_is_too_long_is_not_shown(master, caplog):
    one, two = forked(master, 1), forked(master, 2)
    one.write(counted(3.0))
    one.write(Sheet({"a_total": {(str(number),): [1.0] for number in range(5000)}}))
    assert totals(two) == (3.0, 3.0)
    assert caplog.messages[0].startswith("the metrics of this process are too long: ")


def test_a_process_that_is_killed(master):
    """Through a real fork and a real SIGKILL."""
    master.hire(1)
    pid = os.fork()
    if not pid:
        for value in range(1, 10**9):
            master.write(counted(float(value)))
    other = forked(master, 2)
    deadline = time.monotonic() + 20
    while totals(other)[0] < 100 and time.monotonic() < deadline:
        time.sleep(0.001)
    seen = totals(other)[0]
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    master.bury(1)
    lasting, passing = totals(other)
    assert lasting >= seen >= 100
    assert passing == 0


def process(board, value):
    """Return the numbers of a process that has measured ``value``, None for nothing."""
    histogram = [0.0, 1.0, 2.0, 3.5] if value else [0.0] * 4
    return Numbers(
        "1.0",
        "x",
        lambda: [
            Measure.of("sum", "", Kind.GAUGE, value),
            Measure.of("least", "", Kind.GAUGE, value, Across.LEAST),
            Measure.of("any", "", Kind.GAUGE, value, Across.ANY),
            Measure.of("counter_total", "", Kind.COUNTER, value),
            Measure("lag", "", Kind.HISTOGRAM, {(): histogram}, bounds=(1.0, 2.0)),
        ],
        board,
    )


def told(numbers):
    return {measure.name: measure.samples for measure in numbers.all()}


def test_what_the_numbers_of_several_come_to(master):
    one, two, three = (
        process(forked(master, number), value) for number, value in ((1, 3), (2, 5), (3, None))
    )
    for numbers in (one, two):
        numbers.count("GetObject", 200)
    two.count("GetObject", 404)
    told(one)
    told(two)
    seen = told(three)
    assert [seen[name] for name in ("sum", "least", "counter_total")] == [{(): [v]} for v in (8.0, 3.0, 8.0)]
    assert seen["any"] in ({(): [3.0]}, {(): [5.0]})
    assert told(one)["any"] == {(): [3.0]}
    assert seen["lag"] == {(): [0.0, 2.0, 4.0, 7.0]}
    assert seen["s3shim_requests_total"] == {("GetObject", "200"): [2.0], ("GetObject", "404"): [1.0]}
    assert seen["s3shim_workers"] == {(): [3.0]}
    assert seen["s3shim_build_info"] == {("1.0", "x"): [1.0]}
    assert seen == told(three)


def test_nothing_is_told_of_what_nobody_knows(master):
    seen = told(process(forked(master, 1), None))
    assert [seen[name] for name in ("sum", "least", "any", "counter_total")] == [{}] * 4
