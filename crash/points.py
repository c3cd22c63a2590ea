"""Kill points: SIGKILL at every call of every operation, and what a client finds in the store afterwards.

With strace the points are the system calls of a clean run, from the word to begin up to the acknowledgement:
the process dies as it enters the call. Without it they are the calls of Python and of LMDB by which the store
writes. After each the store is opened by a new process, swept, checked and read, and must be as if the
operation had never been or as if it had been done; done, where that was acknowledged. Then the operation is
done once more, as a client does that has got no answer.

The controls are an operation in two commits, which must be seen as half done, and one that is acknowledged
before it is done, which must be seen as lost.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from crash.cases import CASES, NEW_LARGE, NEW_SMALL, Case, DeleteObject, PutObject, Start
from crash.scene import Stage
from crash.spoiled import without_unnamed_files
from crash.suite import Outcome, Run, Suite
from crash.victim import Inspection, Lab, Result, Spoil

COUNTS = ("kill points", "old", "new", "half states", "lost", "fsck clean", "controls caught")

_VERY_MANY = 100
_LOOKING = ("openat", "newfstatat", "fstat", "getdents64", "lseek", "close", "geteuid")
_CHANGING = ("write", "writev", "pwrite64", "linkat", "rename", "unlink", "unlinkat", "fsync", "fdatasync")
_CALLS = ("open", "write", "posix_fallocate", "fdatasync", "link", "rename", "fsync", "unlink")


@dataclass(frozen=True, slots=True)
class Point:
    """A place to die: what strace is told, or what is called in the process before it begins."""

    name: str
    inject: tuple[str, ...] = ()
    spoil: Spoil | None = None


def by_strace(lab: Lab, case: Case) -> list[Point]:
    """Return every system call of a clean run but those that wait for a thread, of which there are now more,
    now fewer. Other threads than the one that acts must change nothing. Where there are very many, those that
    look are left out: a process that dies after one of them leaves what it would have left before.
    """
    calls = lab.trace(case)
    acting = calls[-1].thread
    strange = [str(call) for call in calls if call.thread != acting and call.name in _CHANGING]
    assert not strange, f"{case.name}: changes by another thread: {strange}"
    mine = [call for call in calls if call.thread == acting and call.name != "futex"]
    if len(mine) > _VERY_MANY:
        mine = [call for call in mine if call.name not in _LOOKING or "O_CREAT" in call.arguments]
    rules = [f"{call.name}:signal=KILL:when={call.number}" for call in mine]
    return [Point(rule, (rule,)) for rule in rules]


def by_python(lab: Lab, case: Case) -> list[Point]:
    """Return every call of a clean run by which the store writes, and the time after each commit."""
    result = lab.run(case, spoil=partial(die_at, at=None), then=_passed)
    assert result.acknowledged, f"{case.name}: {result}"
    assert result.then is not None
    names: list[str] = result.then.value
    return [Point(f"{name} ({at})", spoil=partial(die_at, at=at)) for at, name in enumerate(names)]


def run(
    run: Run,
    points_of: Callable[[Lab, Case], list[Point]] = by_strace,
    cases: Sequence[Case] = CASES,
) -> Outcome:
    """Run the suite; ``run.rounds`` is the most points of one case, chosen at random."""
    outcome = Outcome(Counter(dict.fromkeys(COUNTS, 0)))
    choice = random.Random(run.seed)
    for name in ("empty", "named"):
        (run.work / name).mkdir()
    with Lab(run.work / "empty", empty=True) as lab:
        case = Start("first start")
        _kill_everywhere(run, lab, case, points_of(lab, case), choice, outcome)
    with Lab(run.work / "named", _without_unnamed_files) as lab:
        case = replace(chosen("put file, over file")[0], name="put file, over file, without O_TMPFILE")
        _kill_everywhere(run, lab, case, points_of(lab, case), choice, outcome)
    with Lab(run.work) as lab:
        for case in cases:
            _kill_everywhere(run, lab, case, points_of(lab, case), choice, outcome)
        for control, expected in CONTROLS:
            caught = _control(lab, control, expected, points_of(lab, control))
            outcome.counts["controls caught"] += caught
            outcome.check(caught, f"control {control.name}: no point showed {expected}")
    return outcome


def _kill_everywhere(
    run: Run, lab: Lab, case: Case, points: list[Point], choice: random.Random, outcome: Outcome
) -> None:
    if len(points) > run.rounds:
        points = sorted(choice.sample(points, run.rounds), key=points.index)
    for point in points:
        _kill(lab, case, point, outcome)
    run.say(f"{case.name}: {len(points)} points")


def _kill(lab: Lab, case: Case, point: Point, outcome: Outcome) -> None:
    result = lab.run(case, point.inject, spoil=point.spoil)
    seen = lab.inspect(case)
    where = f"{case.name}, killed at {point.name}"
    kind = judge(lab, case, result, seen)
    outcome.counts["kill points"] += result.killed
    outcome.counts[kind] += 1
    outcome.counts["fsck clean"] += not seen.problems
    outcome.check(result.killed, f"{where}: it was not, {result}")
    outcome.check(kind in ("old", "new"), f"{where}: {kind}")
    outcome.check(not seen.problems, f"{where}: {seen.problems[:3]}")
    if case.again is not None:
        repeated, state = seen.repeated, seen.state_then
        good = repeated is not None and (repeated.ok or (kind == "new" and repeated.code in case.again))
        outcome.check(good, f"{where}: done once more it answered {repeated}")
        outcome.check(state == lab.after(case), f"{where}: done once more it left something else")


def judge(lab: Lab, case: Case, result: Result, seen: Inspection) -> str:
    """Return what a run left: "old", "new", "half states" or "lost". What shows no change counts as "old",
    once acknowledged as "new".
    """
    if seen.state == lab.after(case):
        same = lab.before == lab.after(case)
        return "old" if same and not result.acknowledged else "new"
    if seen.state == lab.before:
        return "lost" if result.acknowledged else "old"
    return "half states"


# -- the controls -----------------------------------------------------------------------------


@dataclass(frozen=True)
class InTwoCommits(PutObject):
    """An overwrite that removes what was there first."""

    def act(self, stage: Stage) -> object:
        DeleteObject("", self.key).act(stage)
        return super().act(stage)


@dataclass(frozen=True)
class AcknowledgedEarly(PutObject):
    """A put that is acknowledged before it is done."""

    def act(self, stage: Stage) -> object:
        stage.acknowledge()
        return super().act(stage)


CONTROLS = (
    (InTwoCommits("an overwrite in two commits", "small", NEW_SMALL), "half states"),
    (AcknowledgedEarly("a put that is acknowledged early", "new", NEW_LARGE), "lost"),
)


def _control(lab: Lab, control: Case, expected: str, points: list[Point]) -> bool:
    # From the middle outwards, where the fault is to be seen: one point that shows it is enough.
    for point in sorted(points, key=lambda point: abs(points.index(point) - len(points) // 2)):
        result = lab.run(control, point.inject, spoil=point.spoil)
        if judge(lab, control, result, lab.inspect(repeat=False)) == expected:
            return True
    return False


# -- in the victim, without strace ------------------------------------------------------------


def _without_unnamed_files(_stage: Stage) -> None:
    without_unnamed_files()


def die_at(stage: Stage, *, at: int | None) -> None:
    """Kill this process at the step ``at`` from now on, counted from 0; None only notes the steps."""

    def step(name: str) -> None:
        if len(stage.passed) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        stage.passed.append(name)

    for name in _CALLS:
        setattr(os, name, _stepping(step, name, getattr(os, name)))
    if stage.backend is not None:
        index = stage.backend.store.index
        index.env = _Watched(index.env, step)


def _passed(stage: Stage) -> list[str]:
    return list(stage.passed)


def _stepping(step: Callable[[str], None], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **options: Any) -> Any:
        step(name)
        return function(*args, **options)

    return call


class _Watched:
    # An LMDB environment or transaction whose begins, puts, deletes and commits are steps.

    def __init__(self, watched: Any, step: Callable[[str], None]) -> None:
        self._watched = watched
        self._step = step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._watched, name)

    def begin(self, **options: Any) -> Any:
        self._step("begin")
        txn = self._watched.begin(**options)
        return _Watched(txn, self._step) if options.get("write") else txn

    def put(self, *args: Any, **options: Any) -> Any:
        self._step("put")
        return self._watched.put(*args, **options)

    def delete(self, *args: Any, **options: Any) -> Any:
        self._step("delete")
        return self._watched.delete(*args, **options)

    def commit(self) -> None:
        self._step("commit")
        self._watched.commit()
        self._step("committed")


def chosen(*names: str) -> list[Case]:
    """Return the cases with these names."""
    found = [case for case in CASES if case.name in names]
    assert len(found) == len(names)
    return found


SUITE = Suite("points", 10_000, run, ("strace",))
