"""The soak: mixed work of many clients for minutes, with reclaim, expiry, a restart and a sweep.

Nothing may be wrong, and nothing may grow: ``rounds`` are minutes.
"""

from __future__ import annotations

import time
from collections import Counter
from itertools import groupby
from pathlib import Path

import lmdb

from crash.fleet import Fleet, Site, results
from crash.linearizable import Operation, explain
from crash.soak_client import BUCKET, KINDS, Job, Log, work
from crash.soak_gauges import MIB, Disk, Sampler, judge
from crash.suite import Outcome, Run, Suite
from s3shim.backends.local.fsck import check
from tests.server.process import serve

CLIENTS = 32
PROCESSES = 4
GRACE = 5
EXPIRY = 30
WARM = 120.0  # seconds at the beginning of each segment in which memory may grow
JUDGED = 120.0  # seconds after that which it takes to judge
AFTER_RESTART = 3.0  # seconds in which a client may still meet the end of a server
FLAGS = ("--workers", "4", "--threads", "8", "--log-level", "warning")
TIMES = ("--grace", str(GRACE), "--upload-expiry", str(EXPIRY))


class Soak:
    """One soak in ``work``."""

    def __init__(self, job: Run) -> None:
        self.job = job
        self.root = job.work / "data"
        self.outcome = Outcome()
        self.server = serve(job.work, *FLAGS, *TIMES)
        self.listen = f"{self.server.host}:{self.server.port}"
        self.segments: list[Sampler] = []
        self.away: tuple[float, float] = (0.0, 0.0)

    def run(self) -> Outcome:
        """Work, restart in the middle, work, rest, stop; then judge."""
        site = Site.of(self.server)
        keeper = site.client()
        assert keeper.request("PUT", BUCKET).status == 200
        keeper.close()
        seconds = self.job.rounds * 60.0
        try:
            with Fleet(PROCESSES) as fleet:
                began = time.monotonic()
                first = self.job.seed % 1_000_000
                jobs = [Job(site, first + number, began + seconds) for number in range(CLIENTS)]
                running = fleet.start(work, jobs, CLIENTS // PROCESSES)
                self.sample(began + seconds / 2)
                self.restart()
                self.sample(began + seconds)
                logs = results(running)
            # What was let go is due, what was left is aborted, and their files are due then.
            time.sleep(EXPIRY + 2 * GRACE + 5)
        finally:
            self.stop()
        self.judge_answers(logs, began, seconds)
        self.judge_history(logs)
        self.judge_memory(seconds)
        self.judge_disk()
        return self.outcome

    def sample(self, until: float) -> None:
        """Watch a segment."""
        sampler = Sampler(self.server.process.pid, self.root)
        sampler.start()
        time.sleep(max(until - time.monotonic(), 0))
        sampler.stop()
        self.segments.append(sampler)

    def restart(self) -> None:
        """Stop and start the server where it was; its sweep runs."""
        began = time.monotonic()
        self.stop()
        self.server = serve(self.job.work, *FLAGS, *TIMES, "--listen", self.listen)
        self.away = began, time.monotonic() + AFTER_RESTART

    def stop(self) -> None:
        """Stop the server."""
        code = self.server.stop()
        told = [line for line in self.server.stderr.splitlines() if "level=error" in line]
        self.outcome.check(code == 0 and not told, f"the server ended with {code}: {told[:3]}")

    # -- what came of it

    def judge_answers(self, logs: list[Log], began: float, seconds: float) -> None:
        """Count the operations and tell how long they took."""
        counts = self.outcome.counts
        for kind in KINDS:
            times = sorted(one for log in logs for one in log.times[kind])
            counts[kind] = len(times)
            quarters = [
                [took for when, took in times if low <= (when - began) / seconds < low + 0.25]
                for low in (0.0, 0.75)
            ]
            shown = " -> ".join(spread(quarter) for quarter in quarters)
            self.job.say(f"{kind}: {len(times):,}, first and last quarter {shown}")
        moved: Counter[str] = sum((log.bytes for log in logs), Counter())
        self.job.say(f"{moved['written'] / 2**30:.1f} GiB written, {moved['read'] / 2**30:.1f} GiB read")
        wrong = Counter(line for log in logs for line in log.wrong)
        lost = [one for log in logs for one in log.lost]
        # What was under way while the server was not may be lost.
        stray = [one for one in lost if one[0] > self.away[1] or one[1] < self.away[0]]
        counts["lost at the restart"] = len(lost) - len(stray)
        counts["unexpected answers"] = wrong.total() + len(stray)
        self.outcome.failures += [f"{count} times: {line}" for line, count in wrong.most_common(20)]
        self.outcome.failures += [
            f"{what}, {at - self.away[0]:+.1f} s from the restart, after {at - start:.1f} s"
            for start, at, what in stray[:20]
        ]

    def judge_history(self, logs: list[Log]) -> None:
        """Check the histories of the hot keys."""
        pairs = sorted((pair for log in logs for pair in log.hot), key=lambda pair: pair[0])
        bad = 0
        for key, group in groupby(pairs, key=lambda pair: pair[0]):
            history: list[Operation] = [one for _, one in group]
            piece = explain(history)
            bad += piece is not None
            self.outcome.check(piece is None, f"{key} is not linearizable at {(piece or [])[:4]}")
        self.outcome.counts["operations on hot keys"] = len(pairs)
        self.outcome.counts["hot keys not linearizable"] = bad

    def judge_memory(self, seconds: float) -> None:
        """Check that the workers do not grow; a short soak only tells how they did."""
        judged = seconds / 2 >= WARM + JUDGED
        warm = WARM if judged else seconds / 4
        for number, sampler in enumerate(self.segments, 1):
            wrong, lines = judge(sampler.gauges, warm)
            if judged:
                self.outcome.failures += [f"segment {number}: {line}" for line in wrong]
            for line in lines:
                self.job.say(f"segment {number}, {line}")

    def judge_disk(self) -> None:
        """Check that nothing is left that nobody needs, and that all is well."""
        disk: list[Disk] = [one for sampler in self.segments for one in sampler.disk]
        report = check(self.root, deep=True)
        size, live = index_sizes(self.root / "meta", self.job.work / "compact")
        self.job.say(
            f"data.mdb {size / MIB:.1f} MiB of which {live / MIB:.1f} are live, most"
            f" {max(one.index for one in disk) / MIB:.1f}; files in blobs at most"
            f" {max(one.files for one in disk):,}, {report.counts['files']:,} at the end"
        )
        left = {name: report.counts[name] for name in ("waiting files", "orphans", "uploads")}
        self.outcome.check(not any(left.values()), f"left after the grace: {left}, {report.notes}")
        self.outcome.check(size <= 3 * live, f"data.mdb has {size} bytes for {live}")
        self.outcome.counts["files that nobody needs"] = left["waiting files"] + left["orphans"]
        self.outcome.counts["problems"] = len(report.problems)
        self.outcome.failures += report.problems[:20]


def spread(times: list[float]) -> str:
    """Return the median and the 99th percentile in ms."""
    if not times:
        return "none"
    ordered = sorted(times)
    at = [ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000 for share in (0.5, 0.99)]
    return f"p50 {at[0]:.1f} p99 {at[1]:.1f} ms"


def index_sizes(meta: Path, scratch: Path) -> tuple[int, int]:
    """Return the bytes that the index takes and those of a copy without free pages; nobody has it open."""
    scratch.mkdir()
    env = lmdb.open(str(meta), readonly=True, lock=False, max_dbs=32)
    try:
        env.copy(str(scratch), compact=True)
    finally:
        env.close()
    return (meta / "data.mdb").stat().st_blocks * 512, (scratch / "data.mdb").stat().st_size


def run(job: Run) -> Outcome:
    """Soak for ``rounds`` minutes."""
    return Soak(job).run()


SUITE = Suite("soak", 20, run)
