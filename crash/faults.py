"""Faults: the n-th call of an operation fails, once or from then on, and nothing may come of it.

The operation answers with the error that fits and nothing has changed, or it succeeds all the same; no
descriptor stays open, no file is left, no sync is tried again on a descriptor that failed one. With the fault
gone the same process does the operation, and in the end fsck finds nothing.

Two forms: by strace, where any system call of a process fails; and within a process, where the calls of
Python and of LMDB do, for machines without strace and for what strace cannot do, like short writes.
The controls are stores with one thing wrong, each of which must be found out.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from crash.cases import CASES, Case, Reclaim
from crash.injection import APPLIED, PANIC, REFUSED, SHORT, FailingEnvironment, Fault, Injector
from crash.points import chosen
from crash.scene import Stage, before, observe, open_backend
from crash.suite import Outcome, Run
from crash.victim import Lab, attempt
from s3shim.backends.local import files, index, objects, space, writing
from s3shim.backends.local.breaker import Breaker
from s3shim.backends.local.fsck import check
from s3shim.conditions import NO_CONDITIONS

COUNTS = ("faults", "refused", "done all the same", "half states", "left behind", "controls caught")

PLANTED = 2  # files that nothing uses in the store of scene.prepare

CODES = {
    errno.EIO: "InternalError",
    errno.EPERM: "InternalError",
    errno.ENOSPC: "InsufficientStorage",
    errno.EDQUOT: "InsufficientStorage",
    errno.EFBIG: "InsufficientStorage",
    errno.EMFILE: "SlowDown",
    errno.ENFILE: "SlowDown",
    errno.ENOMEM: "ServiceUnavailable",
    errno.EROFS: "ServiceUnavailable",
    errno.EINTR: "ServiceUnavailable",
    errno.ENOLCK: "ServiceUnavailable",
}

_NUMBERS = {
    "open": (errno.EMFILE, errno.ENOMEM, errno.EIO, errno.ENOSPC, errno.EROFS),
    "write": (errno.EIO, errno.ENOSPC, errno.EDQUOT, SHORT),
    "posix_fallocate": (errno.ENOSPC, errno.EFBIG, errno.EIO),
    "fdatasync": (errno.EIO, errno.ENOSPC, errno.EDQUOT),
    "fsync": (errno.EIO, errno.ENOSPC),
    "link": (errno.EIO, errno.ENOSPC, errno.EROFS),
    "rename": (errno.EIO, errno.ENOSPC, errno.EROFS),
    "unlink": (errno.EIO, errno.EPERM, errno.EROFS),
    "statvfs": (errno.EIO,),
    "begin": (errno.ENOMEM,),
    REFUSED: (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EINTR, errno.EROFS),
    PANIC: (errno.EIO,),
    APPLIED: (errno.EIO,),
}
_MEMORY = Path("/dev/shm")
_ONLY_ONCE = (PANIC, APPLIED)
_UNCERTAIN = (PANIC, APPLIED)


@dataclass(slots=True)
class Swept:
    """What the faults of one case showed."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


Break = Callable[[], object]


def sweep_in_process(
    pristine: Path, root: Path, upload_ids: dict[str, str], case: Case, broken: Break | None, named: bool
) -> Swept:
    """Let every call of a case fail, one by one; in a process of its own. ``named``: without O_TMPFILE."""
    bench = _Bench(pristine, root, upload_ids, case)
    if named:
        _without_tmpfile()
    bench.injector.install()
    space.REMEMBERED = 0.0  # each look at the disk is a call that can fail
    if broken is not None:
        broken()
    bench.renew()
    for fault in bench.faults():
        bench.let_fail(fault)
    bench.finish()
    return bench.swept


class _Bench:
    # A store with one case, renewed as often as the case has changed it.

    def __init__(self, pristine: Path, root: Path, upload_ids: dict[str, str], case: Case) -> None:
        self.swept = Swept()
        self.injector = Injector()
        self._pristine = pristine
        self._case = case
        self._before = before()
        self._after = before()
        case.after(self._after)
        self._after.objects = dict(sorted(self._after.objects.items()))
        self._stage = Stage(root, None, upload_ids)
        self._uncertain = False
        opened = index.open_environment

        def open_failing(*args: Any) -> Any:
            return FailingEnvironment(opened(*args), self.injector)

        index.open_environment = open_failing

    def renew(self) -> None:
        shutil.rmtree(self._stage.root, ignore_errors=True)
        shutil.copytree(self._pristine, self._stage.root)
        self._stage.backend = open_backend(self._stage.root)
        self._files = self._named()
        self._uncertain = False

    def faults(self) -> Iterator[Fault]:
        self.injector.begin(None)
        self._case.act(self._stage)
        self.injector.end()
        calls = dict(self.injector.calls)
        self.finish()
        self.renew()
        for name, times in calls.items():
            for number in _NUMBERS[name]:
                for n in range(1, times + 1):
                    yield Fault(name, number, n, False)
                    if number != SHORT and name not in _ONLY_ONCE:
                        yield Fault(name, number, n, True)

    def let_fail(self, fault: Fault) -> None:
        open_before = _descriptors()
        self.injector.begin(fault)
        outcome = attempt(self._case.act, self._stage)
        self.injector.end()
        forget_failures(self._stage)
        where = f"{self._case.name}, {fault}"
        self.swept.counts["faults"] += bool(self.injector.fired)
        self._expect(bool(self.injector.fired), f"{where}: it did not come to it")
        self._expect(_descriptors() == open_before, f"{where}: a descriptor stayed open")
        self._expect(not self.injector.retried, f"{where}: a failed sync was tried again")
        uncertain = fault.name in _UNCERTAIN
        if outcome.ok:
            self.swept.counts["done all the same"] += 1
        else:
            self.swept.counts["refused"] += 1
            # Nobody waits for the answer of the thread that reclaims.
            fits = outcome.code == CODES.get(fault.number) or isinstance(self._case, Reclaim)
            self._expect(fits, f"{where}: it was answered {outcome}")
        state = observe(self._stage.store)
        allowed = [self._after] if outcome.ok else [self._before, *([self._after] if uncertain else [])]
        if state not in allowed:
            self.swept.counts["half states"] += 1
            self._expect(False, f"{where}: {outcome}, and something else is there")
        left = self._named() - self._files
        if left and not outcome.ok and not uncertain:
            self.swept.counts["left behind"] += len(left)
            self._expect(False, f"{where}: {len(left)} files were left")
        self._uncertain |= uncertain
        if outcome.ok or left or state != self._before:
            self.finish()
            self.renew()

    def finish(self) -> None:
        # The fault is gone: the same process does it, unless it is done already.
        where = f"{self._case.name}, without a fault"
        if observe(self._stage.store) != self._after:
            outcome = attempt(self._case.act, self._stage)
            self._expect(outcome.ok, f"{where}: {outcome}")
        self._expect(observe(self._stage.store) == self._after, f"{where}: something else is there")
        self._stage.store.close()
        report = check(self._stage.root, deep=True)
        self._expect(not report.problems, f"{where}: fsck finds {report.problems[:3]}")
        orphans = report.counts["orphans"] - PLANTED
        self._expect(orphans <= 0 or self._uncertain, f"{where}: {orphans} files that nothing uses")

    def _named(self) -> set[str]:
        return {path.name for path in (self._stage.root / "blobs").glob("*/*")}

    def _expect(self, held: bool, failure: str) -> None:
        if not held:
            self.swept.failures.append(failure)


def forget_failures(stage: Stage) -> None:
    """Let the breaker begin anew."""
    # What the breaker does has its own tests; here every fault is the first.
    breaker = stage.store.store.index.breaker
    fresh = Breaker(stage.store.store.index.space)
    for name, value in vars(fresh).items():
        setattr(breaker, name, value)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _without_tmpfile() -> None:
    opened = os.open

    def refuse(path: Any, flags: int, *args: Any, **options: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no O_TMPFILE")
        return opened(path, flags, *args, **options)

    os.open = refuse


# -- the controls -----------------------------------------------------------------------------


def leave_the_name() -> None:
    """A name that could not be made durable stays."""
    files._NewFile._unlink = lambda self, name: None


def delete_first() -> None:
    """What a put replaces is deleted before it."""
    put_object = writing.put_object

    def put(store: Any, ref: Any, *rest: Any) -> Any:
        writing.delete_object(store, ref, NO_CONDITIONS)
        return put_object(store, ref, *rest)

    objects.writing.put_object = put


def sync_again() -> None:
    """A sync that failed is tried again."""
    sync = os.fdatasync

    def twice(fd: int) -> None:
        try:
            sync(fd)
        except OSError:
            sync(fd)

    os.fdatasync = twice


def leak_a_descriptor() -> None:
    """A directory that was written to is never closed."""
    files._NewFile.close = lambda self: os.close(self.fd)


def hide_failed_commits() -> None:
    """A commit that fails is acknowledged."""
    commit = index.Index._commit

    def hide(self: index.Index, txn: Any) -> None:
        try:
            commit(self, txn)
        except index.lmdb.Error:
            return

    index.Index._commit = hide


CONTROLS: tuple[tuple[Break, str], ...] = (
    (leave_the_name, "put file, new"),
    (delete_first, "put file, over file"),
    (sync_again, "put file, new"),
    (leak_a_descriptor, "put file, new"),
    (hide_failed_commits, "put inline, new"),
)


def run_in_process(run: Run, cases: Sequence[Case] = CASES) -> Outcome:
    """Run the form without strace; every fault of every case."""
    outcome = Outcome(Counter(dict.fromkeys(COUNTS, 0)))
    # Nothing is cut off here, so memory will do for a disk.
    memory = _MEMORY if os.access(_MEMORY, os.W_OK) else run.work
    with TemporaryDirectory(prefix="s3shim-faults-", dir=memory) as work, Lab(Path(work)) as lab:
        for case in cases:
            if not case.opens:
                continue
            for named in (False, True) if case.name == "put file, new" else (False,):
                swept = _sweep(lab, case, None, named)
                outcome.counts.update(swept.counts)
                outcome.failures += swept.failures
            run.say(f"{case.name}: {outcome.counts['faults']} faults so far")
        for broken, name in CONTROLS:
            caught = bool(_sweep(lab, *chosen(name), broken, False).failures)
            outcome.counts["controls caught"] += caught
            outcome.check(caught, f"control {broken.__name__}: nothing was found")
    return outcome


def _sweep(lab: Lab, case: Case, broken: Break | None, named: bool) -> Swept:
    swept: Swept = lab.nursery.run(
        sweep_in_process, lab.pristine, lab.root, lab.upload_ids, case, broken, named
    )
    return swept
