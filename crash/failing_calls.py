"""Faults by strace: any system call of an operation fails with any error that it can have.

The calls are those of a clean run that touch the store. The process goes on after the operation, with strace
gone, and has to show that it still serves; what it leaves is looked at by another one.
"""

from __future__ import annotations

import errno
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from crash import faults
from crash.cases import CASES, Case, Reclaim
from crash.faults import CODES, PLANTED, forget_failures
from crash.points import chosen
from crash.scene import Stage, State, before, observe
from crash.suite import Outcome, Run, Suite
from crash.tracing import Call
from crash.victim import Lab, Result, attempt
from s3shim.conditions import NO_CONDITIONS
from s3shim.model import ListQuery, ObjectRef
from tests.contract.bodies import get, pattern, put

_WRITE = ("EIO", "ENOSPC", "EDQUOT", "EFBIG", "EINTR")
_NAME = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "ENOMEM")
_SYNC = ("EIO", "ENOSPC", "EDQUOT", "EROFS", "EINTR")
ERRORS = {
    "openat": ("EIO", "ENOSPC", "EMFILE", "ENFILE", "ENOMEM", "EROFS", "EINTR"),
    "write": _WRITE,
    "pwrite64": _WRITE,
    "writev": _WRITE,
    "pwritev": _WRITE,
    "fallocate": ("EIO", "ENOSPC", "EDQUOT", "EFBIG", "EINTR"),
    "fdatasync": _SYNC,
    "fsync": _SYNC,
    "linkat": _NAME,
    "rename": _NAME,
    "renameat": _NAME,
    "unlink": ("EIO", "EPERM", "EROFS"),
    "unlinkat": ("EIO", "EPERM", "EROFS"),
    "statfs": ("EIO",),
    "fcntl": ("ENOLCK", "ENOMEM"),
}
SHORT = "short"  # of what LMDB writes; strace skips the call, so a file's bytes would only seem to be written
_SHORTENED = ("pwrite64", "writev", "pwritev")


@dataclass(frozen=True, slots=True)
class Fault:
    """The ``number``-th call of a name fails, or that and all later ones. ``meta``: LMDB's meta page."""

    name: str
    number: int
    error: str
    sticky: bool
    meta: bool

    @property
    def rule(self) -> str:
        """What strace is told."""
        how = "retval=512" if self.error == SHORT else f"error={self.error}"
        return f"{self.name}:{how}:when={self.number}{'+' if self.sticky else ''}"


@dataclass(slots=True)
class Served:
    """What the process shows once the fault is gone."""

    descriptors: int
    state: State
    again: str
    state_then: State
    trouble: str = ""


def faults_of(lab: Lab, case: Case) -> list[Fault]:
    """Return every fault of every call of a clean run that touches the store."""
    calls = lab.trace(case)
    acting, root = calls[-1].thread, str(lab.root)
    found = []
    for call in calls:
        if call.thread != acting or root not in call.arguments:
            continue
        meta = call.name == "pwrite64" and "data.mdb" in call.path
        for error in ERRORS.get(call.name, ()) + ((SHORT,) if call.name in _SHORTENED else ()):
            # A call that is interrupted is made again, for ever where that goes on.
            for sticky in (False,) if error in ("EINTR", SHORT) else (False, True):
                found.append(Fault(call.name, call.number, error, sticky, meta))
    return found


def run(run: Run) -> Outcome:
    """Run both forms. ``run.rounds`` is how many faults there are by strace, chosen at random."""
    outcome = faults.run_in_process(run)
    with Lab(run.work) as lab:
        choice = random.Random(run.seed)
        share = -(-run.rounds // len(CASES))
        for case in CASES:
            every = faults_of(lab, case)
            picked = choice.sample(every, min(share, len(every)))
            for fault in picked:
                failures = try_fault(lab, case, fault, outcome.counts)
                outcome.failures += [f"{case.name}, {fault.rule}: {failure}" for failure in failures]
            run.say(f"{case.name}: {len(picked)} of {len(every)} faults by strace")
        for broken, name, rule in CONTROLS:
            (case,) = chosen(name)
            fault = next(fault for fault in faults_of(lab, case) if fault.rule.startswith(rule))
            caught = bool(try_fault(lab, case, fault, Counter(), broken))
            outcome.counts["controls caught"] += caught
            outcome.check(caught, f"control {broken.__name__} by strace: nothing was found")
    return outcome


def try_fault(
    lab: Lab, case: Case, fault: Fault, counts: Counter[str], broken: Callable[[], object] | None = None
) -> list[str]:
    """Run a case with a fault; return what is wrong, a line each."""
    result = lab.run(
        case, [fault.rule], then=partial(serve, case=case), spoil=partial(prepare, broken=broken)
    )
    found = lab.inspect(case, repeat=False)
    if result.outcome is None or result.status != 0:
        return [f"the process died: {result.status}"]
    counts["faults"] += bool(result.injected)
    counts["done all the same" if result.outcome.ok else "refused"] += 1
    failures = [] if result.injected else ["it did not come to it"]
    failures += _answer(case, fault, result)
    served = None if result.then is None else result.then.value
    if case.opens and served is None:
        failures.append(f"afterwards: {result.then}")
    if served is not None:
        failures += _served(lab, case, fault, result, served)
    elif found.state != lab.before:
        failures.append("something else is there")
    failures += [f"fsck: {problem}" for problem in found.problems[:3]]
    left = found.swept - PLANTED
    # What cannot be removed, or what is not known to be unused, is left to the next start.
    if left > 0 and not (fault.meta or fault.name in ("unlink", "unlinkat")):
        counts["left behind"] += left
        failures.append(f"{left} files were left")
    return failures


def _answer(case: Case, fault: Fault, result: Result) -> list[str]:
    assert result.outcome is not None
    failures = []
    if _synced_again(fault, result.calls):
        failures.append("a failed sync was tried again")
    # Nobody waits for the answer of what works in the background.
    if not result.outcome.ok and case.opens and not isinstance(case, Reclaim):
        expected = (
            {"InsufficientStorage", "InternalError"}
            if fault.error == SHORT
            else {CODES[getattr(errno, fault.error)]}
        )
        if result.outcome.code not in expected:
            failures.append(f"it was answered {result.outcome}")
    return failures


def _served(lab: Lab, case: Case, fault: Fault, result: Result, served: Served) -> list[str]:
    assert result.outcome is not None
    failures = []
    old, new = lab.before, lab.after(case)
    allowed = [new] if result.outcome.ok else [old, *([new] if fault.meta else [])]
    if served.state not in allowed:
        failures.append(f"{result.outcome}, and something else is there")
    if served.descriptors:
        failures.append(f"{served.descriptors} descriptors stayed open")
    if served.again != "ok":
        failures.append(f"done once more it answered {served.again}")
    if served.state_then != new:
        failures.append("done once more it left something else")
    if served.trouble:
        failures.append(f"it does not serve: {served.trouble}")
    return failures


def _synced_again(fault: Fault, calls: list[Call]) -> bool:
    failed = set()
    for call in calls:
        descriptor = call.arguments.partition("<")[0]
        if descriptor in failed:
            return True
        if fault.name in ("fdatasync", "fsync") and fault.error != "EINTR" and call.injected:
            failed.add(descriptor)
    return False


# -- in the victim ----------------------------------------------------------------------------


def prepare(stage: Stage, *, broken: Callable[[], object] | None) -> None:
    """Note how many descriptors are open before the operation, and break what is to be broken."""
    if broken is not None:
        broken()
    stage.passed.append(str(_descriptors()))


def serve(stage: Stage, *, case: Case) -> Served | None:
    """Show what is there; do the operation where it was not done; put, get, list and delete."""
    if stage.backend is None:
        return None
    opened = _descriptors() - int(stage.passed[-1])
    forget_failures(stage)
    state = observe(stage.store)
    again = "ok"
    if state == before():
        again = str(attempt(case.act, stage))
    served = Served(opened, state, again, observe(stage.store))
    for data in (b"probe", pattern(20_000)):
        put(stage.store, "probe", data)
        if get(stage.store, "probe") != data:
            served.trouble = "another body came back"
        keys = [info.key for info in stage.store.list_objects("bucket", ListQuery(prefix="probe")).items]
        if keys != ["probe"]:
            served.trouble = f"listed were {keys}"
        stage.store.delete_object(ObjectRef("bucket", "probe"), NO_CONDITIONS)
    return served


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


CONTROLS = (
    (faults.leave_the_name, "put file, new", "fsync:error=EIO"),
    (faults.delete_first, "put file, over file", "linkat:error=EIO"),
    (faults.sync_again, "put file, new", "fdatasync:error=EIO"),
    (faults.leak_a_descriptor, "put file, new", "write:error=EIO"),
    (faults.hide_failed_commits, "put inline, new", "fdatasync:error=EIO"),
)

SUITE = Suite("faults", 300, run, ("strace",))
