"""Power cuts: the disk of the store stops at a random moment, the server dies, the disk comes back.

What was acknowledged is written down outside of that disk. Controls: servers that leave a sync out.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from unittest import mock

from crash.disk import Disk, disk
from crash.load import Writer
from crash.oracle import KINDS
from crash.rounds import LONGEST, SHORTEST, STARTS, Rounds
from crash.suite import Outcome, Run, Suite
from crash.target import DidNotStart, Target, wait
from crash.trial import Trial, stop, zeros
from s3shim.backends.local import LocalBackend
from tests.contract.bodies import BytesBody

CONTROL_CUTS = 10

LOAD, IDLE = "under load", "idle"
DECK = (LOAD, LOAD, LOAD, LOAD, LOAD, LOAD, IDLE, IDLE, STARTS, STARTS)

CONTROLS = ("no-data-sync", "no-index-sync", "no-sync")
FILES_ONLY = {"put": 10}


def run(filesystem: str, run: Run) -> Outcome:
    """Run the rounds, then the controls."""
    outcome = Outcome(zeros("power cuts"))
    dice = random.Random(run.seed)
    with disk(run.work, filesystem) as made:
        _Cuts(run, outcome, dice, made).all(run)
        checks: dict[str, Callable[[], int]] = {
            name: partial(_caught, run.work / name, name, dice, made) for name in CONTROLS
        }
        checks["no-directory-sync"] = partial(_name_lost, made)
        for name, needed in checks.items():
            cuts = needed()
            if outcome.check(cuts > 0, f"control {name} is not caught by {CONTROL_CUTS} cuts"):
                outcome.counts["controls caught"] += 1
                run.say(f"control {name}: caught by cut {cuts}")
        for _ in range(CONTROL_CUTS):
            outcome.check(_survives(made, sync_directory=True), "a published file has lost its name")
    return outcome


SUITE = Suite("power", 200, partial(run, "ext4"), ("root", "mkfs.ext4"))
XFS = Suite("power-xfs", 200, partial(run, "xfs"), ("root", "mkfs.xfs"))


class _Cuts(Rounds):
    def __init__(self, run: Run, outcome: Outcome, dice: random.Random, made: Disk) -> None:
        super().__init__(run, outcome, dice, DECK)
        self._disk = made

    def make(self, number: int) -> Trial:
        self._disk.make()
        logs = self.work / f"logs-{number}"
        logs.mkdir()
        return Trial(Target(self._disk.path / "data", logs), self.outcome, self.dice, may_fail=True)

    def end(self, way: str, trial: Trial, writers: list[Writer]) -> None:
        wait(self.dice, SHORTEST, LONGEST)
        if way == IDLE:
            stop(writers)
        self._cut()
        trial.target.kill()

    def end_starts(self, target: Target, times: int) -> None:
        for _ in range(times):
            with target.starting(self.dice):
                self._cut()
            self._disk.restore()

    def restore(self) -> None:
        self._disk.restore()

    def keep(self, number: int, trial: Trial) -> None:
        trial.target.kill()
        with suppress(OSError):
            shutil.copytree(trial.target.data, self.work / f"failed-{number}")

    def _cut(self) -> None:
        self._disk.cut()
        self.outcome.counts["power cuts"] += 1
        # The server lives on for a moment: what it acknowledges on a dead disk is a lie, too.
        wait(self.dice, 0, 0.03)


def _caught(logs: Path, name: str, dice: random.Random, made: Disk) -> int:
    # By which cut a server that leaves a sync out is caught; 0 for never.
    logs.mkdir()
    outcome = Outcome(zeros())
    for cuts in range(1, CONTROL_CUTS + 1):
        made.make()
        target = Target(made.path / "data", logs, ("crash.broken", name))
        trial = Trial(target, outcome, dice, FILES_ONLY, may_fail=True)

        def end(writers: list[Writer], target: Target = target) -> None:
            wait(dice, SHORTEST, LONGEST)
            stop(writers)
            made.cut()
            target.kill()

        try:
            trial.begin()
            trial.load(end)
            made.restore()
            trial.recover()
        except DidNotStart:
            return cuts
        finally:
            target.kill()
        if any(outcome.counts[kind] for kind in KINDS):
            return cuts
    return 0


def _name_lost(made: Disk) -> int:
    # The commit of the index takes the directory along in the journal, so this is seen in a file alone.
    for cuts in range(1, CONTROL_CUTS + 1):
        if not _survives(made, sync_directory=False):
            return cuts
    return 0


def _survives(made: Disk, *, sync_directory: bool) -> bool:
    # Whether a file that was published right before a cut has its name and its bytes.
    made.make()
    data = os.urandom(50_000)
    backend = LocalBackend(made.path / "data")
    backend.start()
    try:
        os.sync()
        with nullcontext() if sync_directory else mock.patch("os.fsync"):
            extent = backend.store.files.write(BytesBody(data), b"")
    finally:
        backend.close()  # before the cut: to touch a page of its map after it could end this process
    made.cut()
    made.restore()
    path = made.path / "data" / "blobs" / extent.id[:1].hex() / extent.id.hex()
    return path.exists() and path.read_bytes().startswith(data)
