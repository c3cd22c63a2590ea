"""Whether the history of one key could have happened one operation at a time.

The search of Wing and Gong with the memory of Lowe: take any operation that began before the first of the
others ended, apply it to the register, go on; the same set of operations with the same state is not tried
twice. What has been taken is kept as "all up to here, and these few beyond", so where nothing was under way
only the state of the register is left, and a long history costs no more than its pieces.

A register holds a value or None. The kinds of operation are ``put`` of a value; ``create``, a put that wants
nothing there (If-None-Match: *); ``swap``, one that wants a certain value there (If-Match); ``delete``;
``get``, whose value is what was found. An outcome is OK, REFUSED (the condition did not hold), or UNKNOWN:
the operation took effect at some time after it began, or never.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

OK = "ok"
REFUSED = "refused"
UNKNOWN = "unknown"

NEVER = math.inf

Value = Any

_UNSEEN = object()  # a value that no other operation speaks of: one is as good as another


@dataclass(slots=True, frozen=True)
class Operation:
    """One operation: ``began`` and ``ended`` on one clock; what is UNKNOWN has no end that counts.

    ``value`` is what is put, or what a get found; ``wanted`` what a swap wants to find.
    """

    kind: str
    began: float
    ended: float
    value: Value = None
    wanted: Value = None
    outcome: str = OK


def applied(operation: Operation, state: Value) -> tuple[bool, Value]:
    """Return whether the result of an operation fits ``state``, and the state after it.

    One that is UNKNOWN fits where it would change something.
    """
    kind = operation.kind
    if kind == "get":
        return operation.value == state, state
    if kind == "put":
        holds, after = True, operation.value
    elif kind == "delete":
        holds, after = True, None
    elif kind == "create":
        holds, after = state is None, operation.value
    elif kind == "swap":
        holds, after = state is not None and state == operation.wanted, operation.value
    else:
        raise ValueError(f"unknown kind of operation {kind!r}")
    if operation.outcome == UNKNOWN:
        return holds and after != state, after
    return holds == (operation.outcome == OK), after if holds else state


def is_linearizable(operations: Iterable[Operation], initial: Value = None) -> bool:
    """Whether the history of one register, which held ``initial`` at first, is linearizable."""
    return explain(operations, initial) is None


def explain(operations: Iterable[Operation], initial: Value = None) -> list[Operation] | None:
    """Return None for a linearizable history, else the operations at which every order fails."""
    definite, unknown = _sorted(list(operations), initial)
    search = _Search(definite, unknown)
    return None if search.run(initial) else search.stuck()


def _sorted(
    operations: list[Operation], initial: Value
) -> tuple[list[Operation], dict[Operation, list[float]]]:
    """Return what is certain to have happened, and the rest: what it would do, and when each began."""
    writers = Counter(one.value for one in operations if one.kind in ("put", "create", "swap"))
    spoken_of = {initial} | {one.value for one in operations if one.kind == "get"}
    spoken_of |= {one.wanted for one in operations}
    seen: dict[Value, float] = {}
    for one in operations:
        found = one.value if one.kind == "get" else one.wanted
        if one.outcome == OK and (one.kind == "get" or one.kind == "swap"):
            seen[found] = min(one.ended, seen.get(found, NEVER))
    definite: list[Operation] = []
    unknown: dict[Operation, list[float]] = {}
    for one in operations:
        if one.outcome != UNKNOWN:
            definite.append(one)
        elif one.kind == "delete":
            unknown.setdefault(replace(one, began=0, ended=0), []).append(one.began)
        elif one.kind != "get":
            if writers[one.value] == 1 and one.value in seen and one.value != initial:
                # Somebody saw it: it took effect before that read ended.
                definite.append(replace(one, ended=seen[one.value], outcome=OK))
                continue
            alone = writers[one.value] == 1 and one.value not in spoken_of
            value = _UNSEEN if alone else one.value
            unknown.setdefault(replace(one, began=0, ended=0, value=value), []).append(one.began)
    return sorted(definite, key=lambda one: one.began), {one: sorted(at) for one, at in unknown.items()}


@dataclass(slots=True, frozen=True)
class _Node:
    """A state of the search: all before ``first`` and those in ``beyond`` are taken.

    ``used`` counts how many of each kind of unknown operation have been taken.
    """

    first: int
    beyond: frozenset[int]
    state: Value
    used: tuple[int, ...]


class _Search:
    def __init__(self, definite: list[Operation], unknown: dict[Operation, list[float]]) -> None:
        self._operations = definite
        self._unknown = list(unknown.items())
        self._tried: dict[tuple[int, frozenset[int], Value], list[tuple[int, ...]]] = {}
        self._furthest = 0

    def run(self, initial: Value) -> bool:
        """Search; whether there is an order."""
        stack = [_Node(0, frozenset(), initial, (0,) * len(self._unknown))]
        while stack:
            node = stack.pop()
            if node.first == len(self._operations):
                return True
            self._furthest = max(self._furthest, node.first)
            if self._is_new(node):
                stack.extend(self._following(node))
        return False

    def stuck(self) -> list[Operation]:
        """Return the operations at the furthest place that was reached."""
        return [self._operations[at] for at in self._open(self._furthest, frozenset())[0]]

    def _is_new(self, node: _Node) -> bool:
        # Who has used fewer of the unknown operations can do all that the others can.
        known = self._tried.setdefault((node.first, node.beyond, node.state), [])
        if any(all(a <= b for a, b in zip(used, node.used, strict=True)) for used in known):
            return False
        known.append(node.used)
        return True

    def _open(self, first: int, beyond: frozenset[int]) -> tuple[list[int], float]:
        """Return what may come next, and the time by which something must have."""
        found: list[int] = []
        end = NEVER
        at = first
        while at < len(self._operations) and self._operations[at].began <= end:
            if at not in beyond:
                found.append(at)
                end = min(end, self._operations[at].ended)
            at += 1
        return [at for at in found if self._operations[at].began <= end], end

    def _following(self, node: _Node) -> Iterator[_Node]:
        candidates, end = self._open(node.first, node.beyond)
        changes: list[_Node] = []
        for at in candidates:
            operation = self._operations[at]
            fits, after = applied(operation, node.state)
            if not fits:
                continue
            following = self._taken(node, at, after)
            if operation.kind == "get" or operation.outcome == REFUSED:
                # What never changes anything and may come now loses nothing by coming now.
                return iter((following,))
            changes.append(following)
        # The last is tried first: what is certain, in the order of its beginning, then the unknown.
        return iter([*self._guesses(node, end), *reversed(changes)])

    def _taken(self, node: _Node, at: int, after: Value) -> _Node:
        first, beyond = node.first, node.beyond | {at}
        while first in beyond:
            beyond -= {first}
            first += 1
        return _Node(first, beyond, after, node.used)

    def _guesses(self, node: _Node, end: float) -> Iterator[_Node]:
        for kind, (operation, began) in enumerate(self._unknown):
            if node.used[kind] < bisect_right(began, end):
                fits, after = applied(operation, node.state)
                if fits:
                    used = (*node.used[:kind], node.used[kind] + 1, *node.used[kind + 1 :])
                    yield _Node(node.first, node.beyond, after, used)
