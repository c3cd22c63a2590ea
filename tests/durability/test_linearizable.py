"""The checker of histories: what it accepts and what it refuses."""

from itertools import chain, combinations, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crash.linearizable import NEVER, OK, REFUSED, UNKNOWN, Operation, applied, explain, is_linearizable


def put(began, ended, value, outcome=OK):
    return Operation("put", began, ended, value, outcome=outcome)


def get(began, ended, value):
    return Operation("get", began, ended, value)


def delete(began, ended, outcome=OK):
    return Operation("delete", began, ended, outcome=outcome)


def create(began, ended, value, outcome=OK):
    return Operation("create", began, ended, value, outcome=outcome)


def swap(began, ended, wanted, value, outcome=OK):
    return Operation("swap", began, ended, value, wanted, outcome)


GOOD = {
    "nothing": [],
    "one after the other": [get(0, 1, None), put(2, 3, 1), get(4, 5, 1), delete(6, 7), get(8, 9, None)],
    "either order of two puts": [put(0, 9, 1), put(1, 8, 2), get(10, 11, 1), get(12, 13, 1)],
    "a read beside a write sees old or new": [put(0, 1, 1), put(2, 9, 2), get(3, 4, 1), get(5, 6, 2)],
    "a write that is read before it ends": [put(0, 9, 1), get(1, 2, 1), get(3, 4, 1)],
    "a read older than its end": [put(0, 1, 1), get(2, 9, 1), put(3, 4, 2), get(10, 11, 2)],
    "touching is beside": [put(0, 5, 1), get(5, 6, None)],
    "one creator wins": [create(0, 9, 1), create(1, 8, 2, REFUSED), get(10, 11, 1)],
    "created after a delete": [put(0, 1, 1), delete(2, 9), create(3, 4, 2), get(5, 6, 2)],
    "a chain of swaps": [put(0, 1, 1), swap(2, 9, 1, 2), swap(3, 8, 2, 3), get(10, 11, 3)],
    "a swap that lost": [put(0, 1, 1), swap(2, 3, 1, 2), swap(4, 5, 1, 3, REFUSED), get(6, 7, 2)],
    "unknown and never": [put(0, 1, 1), put(2, NEVER, 2, UNKNOWN), get(3, 4, 1), get(90, 91, 1)],
    "unknown and late": [put(0, 1, 1), put(2, 3, 2, UNKNOWN), get(4, 5, 1), get(90, 91, 2)],
    "an unknown delete": [put(0, 1, 1), delete(2, 3, UNKNOWN), get(4, 5, 1), get(6, 7, None)],
    "an unseen put explains a refusal": [put(0, 1, 1, UNKNOWN), create(2, 3, 2, REFUSED), delete(4, 5)],
    "two unknown deletes": [
        *(delete(0, 1, UNKNOWN), delete(0, 1, UNKNOWN)),
        *(put(2, 3, 1), get(4, 5, None), put(6, 7, 2), get(8, 9, None)),
    ],
}
BAD = {
    "read of nothing": [get(0, 1, 1)],
    "lost write": [put(0, 1, 1), get(2, 3, None)],
    "stale read": [put(0, 1, 1), put(2, 3, 2), get(4, 5, 1)],
    "new, then old": [put(0, 1, 1), put(2, 9, 2), get(3, 4, 2), get(5, 6, 1)],
    "two readers disagree": [put(0, 9, 1), put(0, 9, 2), get(10, 11, 1), get(12, 13, 2)],
    "two creators win": [create(0, 9, 1), create(1, 8, 2)],
    "a creator is refused without reason": [create(0, 1, 1, REFUSED)],
    "two swaps of one value": [put(0, 1, 1), swap(2, 9, 1, 2), swap(3, 8, 1, 3)],
    "a deleted value comes back": [put(0, 1, 1), delete(2, 3), get(4, 5, 1)],
    "read before it was written": [get(0, 1, 1), put(2, 3, 1)],
    "an unknown put twice": [
        *(put(0, 1, 1, UNKNOWN), get(2, 3, 1), put(4, 5, 2), get(6, 7, 2), get(8, 9, 1)),
    ],
    "an unknown put before it began": [get(0, 1, 1), put(2, 3, 1, UNKNOWN)],
    "an unknown delete twice": [
        *(delete(0, 1, UNKNOWN), put(2, 3, 1), get(4, 5, None), put(6, 7, 2), get(8, 9, None)),
    ],
    "a refused put that is seen": [put(0, 1, 1), swap(2, 3, 9, 2, REFUSED), get(4, 5, 2)],
}


@pytest.mark.parametrize("name", list(GOOD))
def test_good_histories(name):
    assert is_linearizable(GOOD[name])
    assert brute_force(GOOD[name])


@pytest.mark.parametrize("name", list(BAD))
def test_bad_histories(name):
    assert not is_linearizable(BAD[name])
    assert not brute_force(BAD[name])


def test_the_register_may_hold_something_at_first():
    assert is_linearizable([get(0, 1, "old")], "old")
    assert not is_linearizable([get(0, 1, None)], "old")


def test_what_cannot_be_is_shown():
    history = [put(0, 1, 1), get(2, 3, 1), put(4, 5, 2), get(6, 7, 1), get(8, 9, 2)]
    assert explain(history) == [history[3]]


def brute_force(operations, initial=None):
    """Try every order of every choice of the unknown ones."""
    certain = [one for one in operations if one.outcome != UNKNOWN]
    unknown = [one for one in operations if one.outcome == UNKNOWN]
    choices = chain.from_iterable(combinations(unknown, size) for size in range(len(unknown) + 1))
    return any(in_some_order([*certain, *chosen], initial) for chosen in choices)


def in_some_order(operations, initial):
    return any(keeps_time(order) and fits(order, initial) for order in permutations(operations))


def end_of(operation):
    return NEVER if operation.outcome == UNKNOWN else operation.ended


def keeps_time(order):
    return all(end_of(later) >= earlier.began for earlier, later in combinations(order, 2))


def fits(order, state):
    for operation in order:
        holds, after = applied(operation, state)
        if operation.outcome == UNKNOWN:
            state = after if holds else state
        elif not holds:
            return False
        else:
            state = after
    return True


KINDS = ("put", "get", "delete", "create", "swap")


@st.composite
def executions(draw, most):
    """Operations as they would be seen: each takes effect at its number, and took some time around it."""
    state = None
    operations = []
    for moment in range(draw(st.integers(1, most))):
        kind = draw(st.sampled_from(KINDS))
        value = draw(st.integers(1, 3)) if draw(st.booleans()) else 100 + moment
        wanted = state if draw(st.booleans()) else 1
        began = moment - draw(st.sampled_from((0, 0.4, 1.5, 3)))
        ended = moment + draw(st.sampled_from((0.3, 0.45, 1.6, 4)))
        made = Operation(kind, began, ended, None, wanted if kind == "swap" else None)
        if kind == "get":
            made = Operation("get", began, ended, state)
        elif kind != "delete":
            made = Operation(kind, began, ended, value, made.wanted)
        holds, after = applied(made, state)
        lost = draw(st.integers(0, 5)) == 0
        outcome = UNKNOWN if lost else OK if holds else REFUSED
        operations.append(Operation(kind, began, ended, made.value, made.wanted, outcome))
        if holds and not (lost and draw(st.booleans())):
            state = after
    return operations


@given(executions(60))
@settings(max_examples=150, deadline=None, database=None)
def test_what_happened_is_accepted(operations):
    assert is_linearizable(operations)


@given(executions(6), st.data())
@settings(max_examples=150, deadline=None, database=None)
def test_a_changed_result_is_judged_as_by_trying_everything(operations, data):
    at = data.draw(st.integers(0, len(operations) - 1))
    one = operations[at]
    if one.kind == "get":
        changed = Operation("get", one.began, one.ended, data.draw(st.sampled_from((None, 1, 2, 3))))
    else:
        outcome = data.draw(st.sampled_from((OK, REFUSED, UNKNOWN)))
        changed = Operation(one.kind, one.began, one.ended, one.value, one.wanted, outcome)
    mutated = [*operations[:at], changed, *operations[at + 1 :]]
    assert is_linearizable(mutated) == brute_force(mutated)
    assert is_linearizable(operations)
