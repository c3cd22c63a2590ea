"""Power cuts: the disk of the store stops at a random moment, the server dies, the disk comes back.

What was acknowledged is written down outside of that disk. Controls: servers that leave a sync out.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from unittest import mock

from crash.disk import Disk, disk
from crash.load import Writer
from crash.oracle import KINDS
from crash.suite import Outcome, Run, Suite
from crash.target import DidNotStart, Target, wait
from crash.trial import Trial, stop, zeros
from s3shim.backends.local import LocalBackend
from tests.contract.bodies import BytesBody

ROUNDS_OF_A_STORE = 20
CONTROL_CUTS = 10
SHORTEST, LONGEST = 0.05, 0.5  # seconds of load before the cut

LOAD, IDLE, STARTS = "under load", "idle", "in starts too"
DECK = (LOAD, LOAD, LOAD, LOAD, LOAD, LOAD, IDLE, IDLE, STARTS, STARTS)

CONTROLS = ("no-data-sync", "no-index-sync", "no-sync")
FILES_ONLY = {"put": 10}


def run(filesystem: str, run: Run) -> Outcome:
    """Run the rounds, then the controls."""
    outcome = Outcome(zeros("power cuts"))
    dice = random.Random(run.seed)
    with disk(run.work, filesystem) as made:
        rounds = _Rounds(run, outcome, dice, made)
        try:
            for number in range(run.rounds):
                rounds.round(number)
                if number % 50 == 49:
                    run.say(outcome.line())
        finally:
            rounds.close()
        run.say(", ".join(f"{count} {way}" for way, count in rounds.ways.items()))
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


class _Rounds:
    def __init__(self, run: Run, outcome: Outcome, dice: random.Random, made: Disk) -> None:
        self._work = run.work
        self._outcome = outcome
        self._dice = dice
        self._disk = made
        self._deck: list[str] = []
        self.ways: Counter[str] = Counter()
        self._trial: Trial | None = None
        self._in_store = 0

    def round(self, number: int) -> None:
        """Cut the power in one way and give it back; on a new disk now and then."""
        self._outcome.counts["rounds"] += 1
        trial = self._trial
        try:
            if trial is None or trial.broken or self._in_store == ROUNDS_OF_A_STORE:
                trial = self._next(number)
            self._in_store += 1
            if not self._deck:
                self._deck = self._dice.sample(DECK, len(DECK))
            card = self._deck.pop()
            self.ways[card] += 1
            trial.load(partial(self._end, card, trial.target))
            self._disk.restore()
            trial.inspect()
            if card == STARTS:
                self._cut_starts(trial.target, 2)
            trial.recover()
        except (DidNotStart, TimeoutError) as error:
            assert trial is not None
            trial.fail(str(error))
        if trial is not None and trial.broken:
            self._keep(number, trial)

    def close(self) -> None:
        """Kill what runs."""
        if self._trial is not None:
            self._trial.target.kill()

    def _keep(self, number: int, trial: Trial) -> None:
        trial.target.kill()
        with suppress(OSError):
            shutil.copytree(trial.target.data, self._work / f"failed-{number}")

    def _next(self, number: int) -> Trial:
        self.close()
        self._disk.make()
        logs = self._work / f"logs-{number}"
        logs.mkdir()
        target = Target(self._disk.path / "data", logs)
        trial = self._trial = Trial(target, self._outcome, self._dice, may_fail=True)
        self._in_store = 0
        self._cut_starts(target, self._dice.randrange(3))
        trial.begin()
        return trial

    def _end(self, card: str, target: Target, writers: list[Writer]) -> None:
        wait(self._dice, SHORTEST, LONGEST)
        if card == IDLE:
            stop(writers)
        self._cut()
        target.kill()

    def _cut(self) -> None:
        self._disk.cut()
        self._outcome.counts["power cuts"] += 1
        # The server lives on for a moment: what it acknowledges on a dead disk is a lie, too.
        wait(self._dice, 0, 0.03)

    def _cut_starts(self, target: Target, times: int) -> None:
        for _ in range(times):
            with target.starting(self._dice):
                self._cut()
            self._disk.restore()


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
