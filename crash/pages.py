"""Bits that change in the used pages of the index, where no CRC of ours may stand: ``python -m crash.pages``.

LMDB trusts its pages, so a damaged one may end the process that reads it. Each flip is looked at in processes
of their own: one runs fsck, one walks through everything, changes something and walks again. What they may
say is an error, that something is missing, or what was true earlier; never bytes, keys, metadata that were
not stored. And they must end.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from select import select
from typing import Any

from lmdb.verify import _Verifier

from crash.shelf import Shelf, quiet
from crash.suite import Outcome, Run
from crash.walk import Seen, Walk, change
from s3shim.backends.local.fsck import check
from s3shim.backends.local.layout import StoreRefused, meta_path

Say = Callable[[Any], object]

PATIENCE = 30.0  # seconds; a walk takes a tenth of one
_METAS = 2
_ROOT = Path(__file__).resolve().parents[1]


def run(run: Run, shelf: Shelf, rounds: int, outcome: Outcome) -> None:
    """Try ``rounds`` flips on the shelf's store, and the controls; they are counted in ``outcome``."""
    jar = run.work / "shelf"
    jar.write_bytes(pickle.dumps(shelf))
    command = [sys.executable, "-m", "crash.pages", str(jar), str(rounds), str(run.seed)]
    done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if outcome.check(done.returncode == 0, f"the flips of pages ended with {done.returncode}"):
        told = json.loads(done.stdout)
        outcome.counts.update(told["counts"])
        outcome.failures.extend(told["failures"])


def main() -> None:
    """Run the flips in this process, which has no other threads and can be forked; print an Outcome."""
    jar, rounds, seed = sys.argv[1:]
    shelf: Shelf = pickle.loads(Path(jar).read_bytes())
    outcome = Outcome()
    for name in ("page flips", "wrong or invented", "hangs", "not found by fsck", "went back by one commit"):
        outcome.counts[name] = 0
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with quiet():
        _Pages(shelf, outcome, Random(int(seed))).flip(int(rounds))
    print(json.dumps({"counts": outcome.counts, "failures": outcome.failures}))


class _Pages:
    def __init__(self, shelf: Shelf, outcome: Outcome, random: Random) -> None:
        self._shelf = shelf
        self._outcome = outcome
        self._random = random
        self._path = meta_path(shelf.root) / "data.mdb"
        self._sound = self._path.read_bytes()
        self._page_size = 0

    def flip(self, rounds: int) -> None:
        """Try flips, half of them in the first bytes of a page, where its structure is."""
        self._check_controls()
        pages, size = self._used()
        self._page_size = size
        for number in range(rounds):
            place = self._random.choice(pages) * size + self._random.randrange(200 if number % 2 else size)
            self._try(place, self._random.randrange(8))
        self._path.write_bytes(self._sound)

    def _used(self) -> tuple[list[int], int]:
        self._path.write_bytes(self._sound)  # the controls have changed it
        with open(self._path, "rb") as file:
            verifier = _Verifier(file, len(self._sound))
            self._outcome.check(verifier.verify() == [], "the index is not sound at first")
        used = [number for number, live in enumerate(verifier.live) if live]
        return sorted({*range(_METAS), *used}), verifier.psize

    def _try(self, place: int, bit: int) -> None:
        counts = self._outcome.counts
        label = f"data.mdb at {place}, bit {bit}"
        counts["page flips"] += 1
        problems, checked = self._flipped(place, bit, _fsck)
        seen, walked = self._flipped(place, bit, _walk)
        for step in (checked, walked):
            counts["hangs"] += step == "hangs"
            self._outcome.check(step != "hangs", f"{label}: {step}")
        counts["processes that died"] += walked == "died"
        for name in ("errors", "missing", "older"):
            counts[f"with {name}"] += any(told["counts"].get(name, 0) > 0 for told in seen)
        for wrong in [wrong for told in seen for wrong in told["wrong"]]:
            counts["wrong or invented"] += 1
            self._outcome.check(False, f"{label}: {wrong}")
        if checked != "ended" or problems != [0]:
            return
        if self._went_back(place, seen):
            counts["went back by one commit"] += 1
        elif walked != "ended" or any(any(told["counts"].values()) for told in seen):
            counts["not found by fsck"] += 1
            self._outcome.check(False, f"{label}: fsck finds nothing, but {walked}, {seen}")

    def _went_back(self, place: int, seen: list[Any]) -> bool:
        # Without the newest of its two meta pages LMDB is where it was before the last commit: sound, and
        # what a crash in the midst of that commit would have left.
        old = bool(seen) and seen[0]["counts"].get("older", 0) > 0
        return place < _METAS * self._page_size and old and not seen[0]["counts"].get("errors", 0)

    def _flipped(self, place: int, bit: int, look: Callable[[Shelf, Say], None]) -> tuple[list[Any], str]:
        flipped = bytearray(self._sound)
        flipped[place] ^= 1 << bit
        self._path.write_bytes(flipped)
        return in_child(lambda say: look(self._shelf, say))

    def _check_controls(self) -> None:
        self._path.write_bytes(self._sound)
        seen, how = in_child(lambda say: _walk(self._shelf, say))
        sound = how == "ended" and len(seen) == 2 and not any(told["wrong"] for told in seen)
        self._outcome.check(sound and not any(seen[0]["counts"].values()), f"without a flip: {how}, {seen}")
        self._path.write_bytes(self._sound)

        def walk_without_a_key(say: Say) -> None:
            del self._shelf.held["inline/small"]
            _walk(self._shelf, say)

        seen, _ = in_child(walk_without_a_key)
        caught = any("inline/small" in wrong for told in seen for wrong in told["wrong"])
        self._outcome.check(caught, "control: a key that was never put is not seen")
        _, how = in_child(lambda say: signal.pause(), patience=0.5)
        self._outcome.check(how == "hangs", "control: a process that hangs is not seen")
        self._outcome.counts["controls caught"] += caught + (how == "hangs")


def _fsck(shelf: Shelf, say: Say) -> None:
    try:
        say(len(check(shelf.root, deep=True).problems))
    except StoreRefused:
        say(1)


def _walk(shelf: Shelf, say: Say) -> None:
    seen = Seen()
    try:
        with shelf.open() as backend:
            Walk(shelf, backend, seen).everything()
            say({"counts": seen.counts, "wrong": seen.wrong})
            seen = Seen()
            change(shelf, backend, seen)
            Walk(shelf, backend, seen).everything()
            say({"counts": seen.counts, "wrong": seen.wrong})
    except StoreRefused:
        say({"counts": {"errors": 1}, "wrong": []})


def in_child(work: Callable[[Say], object], patience: float = PATIENCE) -> tuple[list[Any], str]:
    """Run ``work`` in a process of its own; return what it said and how it "ended", "died" or "hangs"."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(read)
            work(lambda told: os.write(write, json.dumps(told).encode() + b"\n"))
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    heard = b""
    deadline = time.monotonic() + patience
    try:
        while select([read], [], [], max(0.0, deadline - time.monotonic()))[0]:
            data = os.read(read, 65536)
            if not data:
                status = os.waitpid(child, 0)[1]
                return [json.loads(line) for line in heard.splitlines()], "died" if status else "ended"
            heard += data
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return [], "hangs"
    finally:
        os.close(read)


if __name__ == "__main__":
    main()
