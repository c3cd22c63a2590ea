"""One operation of the local store in a process of its own, to be traced, killed or made to fail at a call.

    with Lab(work) as lab:
        calls = lab.trace(case)                                     # a clean run, call by call
        result = lab.run(case, ["fdatasync:signal=KILL:when=1"])    # or "fdatasync:error=EIO:when=1"
        seen = lab.inspect(case)                                    # what that run left, in a new process
        assert seen.state in (lab.before, lab.after(case))

Each run has a fresh copy of the store of ``scene.prepare``, in which only the case's operation runs. The copy
is open and the process waits when strace attaches to its main thread, which runs the operation, so the n-th
call of a name is the same one in every run.
``run(case, inject, then=function)`` calls ``function(stage)``, some function of a module, in the same process
after the operation, with strace gone: does the process still serve?
"""

from __future__ import annotations

import copy
import shutil
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from crash.cases import Case
from crash.nursery import Channel, Child, Nursery
from crash.scene import Stage, State, before, observe, open_backend, prepare
from crash.tracing import Call, Strace
from s3shim.backends.local import layout
from s3shim.backends.local.fsck import check
from s3shim.backends.local.sweep import sweep
from s3shim.errors import S3Error

Spoil = Callable[[Stage], object]


@dataclass(slots=True)
class Outcome:
    """What an operation answered: ``ok``, or S3's ``code``, or else the exception's ``text``."""

    ok: bool
    code: str | None = None
    text: str = ""
    value: Any = None

    def __str__(self) -> str:
        return "ok" if self.ok else self.code or self.text


@dataclass(slots=True)
class Result:
    """A run: what was answered before the process died or the run ended, None where nothing was.

    ``status`` is the process's end, as ``Child.wait`` gives it; ``calls`` what strace wrote down of the calls
    that were injected into; ``then`` the outcome of what was asked for afterwards.
    """

    outcome: Outcome | None
    status: int
    calls: list[Call] = field(default_factory=list)
    then: Outcome | None = None

    @property
    def acknowledged(self) -> bool:
        """Whether the operation was acknowledged."""
        return self.outcome is not None and self.outcome.ok

    @property
    def killed(self) -> bool:
        """Whether the process was killed."""
        return self.status == -signal.SIGKILL

    @property
    def injected(self) -> int:
        """How many calls strace changed."""
        return sum(call.injected for call in self.calls)


@dataclass(slots=True)
class Inspection:
    """What was found in a store: ``problems`` of fsck, the files that were ``swept``, what a client sees.

    ``repeated`` is the outcome of the operation done once more, ``state_then`` what a client sees after it.
    """

    problems: list[str]
    swept: int
    state: State
    repeated: Outcome | None = None
    state_then: State | None = None


class Lab:
    """The prepared store and the processes that are run on copies of it, one at a time; a context manager.

    ``work`` is a directory of its own. ``spoil``, some function of a module, is called with the Stage in
    every victim before its operation begins. With ``empty`` there is no store yet.
    """

    def __init__(self, work: Path, spoil: Spoil | None = None, *, empty: bool = False) -> None:
        self.work = work
        self.root = work / "store"
        self.before = State([], {}, [], {}) if empty else before()
        self.upload_ids: dict[str, str] = {}
        self.nursery = Nursery()
        self._spoil = spoil
        self._empty = empty
        self.pristine = work / "pristine"
        self._log = work / "strace"

    def __enter__(self) -> Lab:
        try:
            if not self._empty:
                self.upload_ids = self.nursery.run(prepare, self.pristine)
        except BaseException:
            self.nursery.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.nursery.__exit__()

    def after(self, case: Case) -> State:
        """Return what a client sees once the case's operation is done."""
        state = copy.deepcopy(self.before)
        case.after(state)
        state.objects = dict(sorted(state.objects.items()))
        return state

    def renew(self) -> None:
        """Make ``root`` a fresh copy of the prepared store, or nothing."""
        shutil.rmtree(self.root, ignore_errors=True)
        if not self._empty:
            shutil.copytree(self.pristine, self.root)

    def start(self, case: Case, spoil: Spoil | None = None) -> Child:
        """Return the process that waits, on a fresh copy, to be told to run the operation."""
        self.renew()
        stage = Stage(self.root, None, self.upload_ids)
        victim = self.nursery.start(_victim, case, stage, [self._spoil, spoil])
        victim.channel.receive()
        return victim

    def trace(self, case: Case) -> list[Call]:
        """Return the calls of a clean run from the word to begin up to the acknowledgement, included.

        They are those of all threads; the main thread's number is that of the last of them.
        """
        victim = self.start(case)
        with Strace(victim.pid, self._log) as strace:
            outcome = _order(victim)
        victim.wait()
        if outcome is None or not outcome.ok:
            raise RuntimeError(f"{case.name} without any fault: {outcome}")
        calls = strace.calls()
        # The word to begin is the first message, two calls; the next one asked for ends what is of interest.
        receives = [call for call in calls if call.thread == victim.pid and call.name == "recvfrom"]
        first, last = receives[1].began, receives[2].began
        return [call for call in calls if first < call.began < last]

    def run(
        self,
        case: Case,
        inject: Sequence[str] = (),
        *,
        then: Spoil | None = None,
        spoil: Spoil | None = None,
    ) -> Result:
        """Run the operation under strace with ``inject``, without strace where that is empty."""
        victim = self.start(case, spoil)
        try:
            calls: list[Call] = []
            if inject:
                names = [name for rule in inject for name in rule.partition(":")[0].split(",")]
                with Strace(victim.pid, self._log, inject, names, first=True) as strace:
                    outcome = _order(victim)
                calls = strace.calls()
            else:
                outcome = _order(victim)
            result = Result(outcome, 0, calls)
            if then is not None:
                with suppress(EOFError):
                    victim.channel.send(then)
                    result.then = victim.channel.receive()
            result.status = victim.wait()
            return result
        except BaseException:
            victim.end(signal.SIGKILL)
            raise

    def inspect(self, case: Case | None = None, *, repeat: bool = True) -> Inspection:
        """Start, check and read the store in a new process; do the case once more where it may be."""
        again = case if repeat and case is not None and case.again is not None else None
        seen: Inspection = self.nursery.run(_inspect, Stage(self.root, None, self.upload_ids), again)
        return seen


def _order(victim: Child) -> Outcome | None:
    # The second exchange is over once the process has done all that it does by itself.
    outcome = None
    with suppress(EOFError):
        victim.channel.send("begin")
        outcome = victim.channel.receive()
        victim.channel.send(None)
        victim.channel.receive()
    return outcome


# -- in the victim ----------------------------------------------------------------------------


def _victim(channel: Channel, case: Case, stage: Stage, spoils: list[Spoil | None]) -> None:
    if case.opens:
        stage.backend = open_backend(stage.root)
    answers: list[Outcome] = []

    def answer(outcome: Outcome) -> None:
        if not answers:
            channel.send(outcome)
        answers.append(outcome)

    stage.acknowledge = partial(answer, Outcome(True))
    for spoil in spoils:
        if spoil is not None:
            spoil(stage)
    channel.send("ready")
    channel.receive()
    answer(attempt(case.act, stage))
    while True:
        function = channel.receive()
        channel.send(None if function is None else attempt(function, stage))


def attempt(function: Callable[[Stage], Any], stage: Stage) -> Outcome:
    """Call ``function`` and say how it went."""
    try:
        return Outcome(True, value=function(stage))
    except S3Error as error:
        return Outcome(False, error.code.name, str(error))
    except Exception as error:
        return Outcome(False, None, f"{type(error).__name__}: {error}")


# -- in the process that looks ----------------------------------------------------------------


def _inspect(stage: Stage, again: Case | None) -> Inspection:
    layout.prepare(stage.root)
    swept = sweep(stage.root)
    problems = check(stage.root, deep=True).problems
    seen = Inspection(problems, swept, _observe(stage.root))
    if again is not None:
        if again.opens:
            stage.backend = open_backend(stage.root)
        seen.repeated = attempt(again.act, stage)
        if stage.backend is not None:
            stage.backend.close()
        seen.state_then = _observe(stage.root)
        seen.problems += check(stage.root, deep=True).problems
    return seen


def _observe(root: Path) -> State:
    backend = open_backend(root)
    try:
        return observe(backend)
    finally:
        backend.close()
