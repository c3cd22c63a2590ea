"""One store through many sudden ends: load, end, fsck, restart, verify, and on with what was found."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from crash.load import ALL, KEYS, Failed, Gone, Writer
from crash.oracle import KINDS, Ledger, Verdict
from crash.suite import Outcome
from crash.target import Target
from crash.verify import verify
from s3shim.backends.local.fsck import check

WRITERS = 4
MOST_LINES = 5

End = Callable[[list[Writer]], None]


def zeros(*more: str) -> Counter[str]:
    """Return the counts of a suite of trials, in the order to be printed."""
    names = ("rounds", *more, "acknowledged writes", "unanswered", "reads in between", *KINDS, "fsck clean")
    return Counter(dict.fromkeys((*names, "orphans swept"), 0))


class Trial:
    """A store and what its writers know of it. What is wrong goes into ``outcome``, and makes it ``broken``.

    With ``may_fail`` requests may be answered with 5xx, as on a disk that has lost its power.
    """

    def __init__(
        self,
        target: Target,
        outcome: Outcome,
        dice: random.Random,
        mix: dict[str, int] | None = None,
        *,
        may_fail: bool = False,
    ) -> None:
        self.target = target
        self.outcome = outcome
        self.broken = False
        self._dice = dice
        self._mix = mix or ALL
        self._may_fail = may_fail
        self._ledgers = [Ledger(f"w{number}", KEYS) for number in range(WRITERS)]

    def begin(self) -> None:
        """Start the server on the new store."""
        self.target.start()
        self.target.make_bucket()

    def load(self, end: End) -> None:
        """Let the writers write while ``end`` waits and brings the server to its end."""
        writers = [
            Writer(self.target.client(), ledger, self._dice.getrandbits(32), self._mix)
            for ledger in self._ledgers
        ]
        for writer in writers:
            writer.start()
        try:
            end(writers)
        finally:
            stop(writers)
        for writer in writers:
            self.outcome.counts.update(writer.counts)
            self._note(writer.verdict)
            for line in writer.odd if self._may_fail else writer.odd + writer.failed:
                self.fail(line)

    def inspect(self) -> None:
        """Check the store as the end has left it."""
        report = check(self.target.data, deep=True)
        for problem in report.problems[:MOST_LINES]:
            self.fail(f"fsck: {problem}")
        self.outcome.counts["fsck clean"] += not report.problems
        self.outcome.counts["orphans swept"] += report.counts["orphans"]

    def recover(self) -> None:
        """Start the server again and verify everything; what nothing uses is gone."""
        self.target.start()
        client = self.target.client()
        try:
            self._note(verify(client, self._ledgers))
        except (Failed, Gone, OSError) as error:
            self.fail(f"the server cannot be read after its restart: {error!r}")
        finally:
            client.close()
        if self.broken:
            return
        report = check(self.target.data)
        for line in report.problems[:MOST_LINES]:
            self.fail(f"fsck of the running server: {line}")
        if report.counts["orphans"]:
            self.fail(f"{report.counts['orphans']} files that nothing uses were not removed by the start")

    def fail(self, line: str) -> None:
        """Note what must not be."""
        self.broken = True
        if len(self.outcome.failures) < 50:
            self.outcome.failures.append(f"round {self.outcome.counts['rounds']}: {line[:2000]}")

    def _note(self, verdict: Verdict) -> None:
        self.outcome.counts.update(verdict.counts)
        for line in verdict.lines[:MOST_LINES]:
            self.fail(line)


def stop(writers: list[Writer]) -> None:
    """Let the writers finish what they are at, and wait for them."""
    for writer in writers:
        writer.ended.set()
    for writer in writers:
        writer.join()
