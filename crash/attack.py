"""What no client may do to the others: take all memory, all descriptors, or the server's attention.

During each attack the workers' own memory is sampled and an honest client puts, gets and lists; after it
the descriptors must be as before. Controls: servers that keep what they should free.
"""

from __future__ import annotations

import http.client
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from crash.attacks import ATTACKS, Assault, disconnects
from crash.live import Live, anonymous_memory, descriptors, live, until
from crash.suite import Outcome, Run, Suite
from tests.wire.client import LiveClient

FULL = 100  # percent of the numbers in attacks
THREADS = 8
MEMORY = (64 + 8 * THREADS) << 20  # bytes of each worker
SLACK = 4  # descriptors
FLAGS = (
    *("--workers", "2", "--threads", str(THREADS), "--grace", "1", "--keepalive", "2"),
    *("--header-timeout", "2", "--idle-timeout", "3"),
)
CONTROLS = ("keeps-memory", "keeps-sockets")


class Honest(threading.Thread):
    """A client that wants no more than its due. ``failures`` has what it did not get."""

    def __init__(self, client: LiveClient) -> None:
        super().__init__(daemon=True)
        self.failures: list[str] = []
        self.answered = 0
        self.longest = 0.0
        self.ended = threading.Event()
        self._client = client

    def run(self) -> None:
        """Ask, in turn."""
        steps = (("PUT", "/attacked/honest", b"honest" * 2000), ("GET", "/attacked/honest", b""))
        while not self.ended.wait(0.05):
            for method, target, body in (*steps, ("GET", "/attacked?list-type=2&max-keys=2", b"")):
                began = time.monotonic()
                try:
                    status = self._client.request(method, target, (), body).status
                except (OSError, http.client.HTTPException) as error:
                    self.failures.append(f"{method} {target}: {error!r}")
                    self._client.close()
                    continue
                self.longest = max(self.longest, time.monotonic() - began)
                self.answered += 1
                if status != 200:
                    self.failures.append(f"{method} {target} is answered {status}")
        self._client.close()


class Watch(threading.Thread):
    """Samples the memory of the workers."""

    def __init__(self, workers: list[int]) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self.ended = threading.Event()
        self._workers = workers

    def run(self) -> None:
        """Sample until told to end."""
        while not self.ended.wait(0.05):
            self.most = max(self.most, *(anonymous_memory(pid) for pid in self._workers))


@dataclass(slots=True)
class _Siege:
    running: Live
    outcome: Outcome
    share: float
    say: Callable[[str], None]
    patience: float = 20

    def under(self, attack: Callable[[Assault], None], *, honest: bool) -> None:
        """Run one attack and judge the server by it."""
        running, outcome = self.running, self.outcome
        name = attack.__name__.replace("_", " ")
        workers = running.workers()
        before = {pid: descriptors(pid) for pid in workers}
        watch = Watch(workers)
        other = Honest(running.client())
        watch.start()
        if honest:
            other.start()
        began = time.monotonic()
        assault = Assault(running, self.share)
        try:
            attack(assault)
        finally:
            taken = time.monotonic() - began
            other.ended.set()
            if honest:
                other.join()
            time.sleep(0.5)  # what is in the queues has its effect too
            settled = until(
                lambda: all(descriptors(pid) <= count + SLACK for pid, count in before.items()), self.patience
            )
            watch.ended.set()
            watch.join()
        outcome.counts["attacks"] += 1
        outcome.counts["requests and connections"] += assault.sent
        outcome.counts["honest answers meanwhile"] += other.answered
        outcome.counts["MiB at most in a worker"] = max(
            outcome.counts["MiB at most in a worker"], watch.most >> 20
        )
        outcome.failures.extend(f"{name}: {line}" for line in (*assault.wrong[:5], *other.failures[:5]))
        outcome.check(not honest or other.answered > 0, f"{name}: no honest request was answered")
        outcome.check(watch.most <= MEMORY, f"{name}: a worker has {watch.most >> 20} MiB")
        outcome.check(settled, f"{name}: descriptors before {before}, now {self._open(before)}")
        outcome.check(running.workers() == workers, f"{name}: a worker died")
        self.say(
            f"{name}: {assault.sent:,} in {taken:.1f} s, {watch.most >> 20} MiB, "
            f"{other.answered:,} honest answers, the slowest {other.longest * 1000:.0f} ms"
        )

    @staticmethod
    def _open(before: dict[int, int]) -> dict[int, int]:
        return {pid: descriptors(pid) for pid in before}


def run(run: Run) -> Outcome:
    """Run every attack with ``rounds`` percent of its full number."""
    outcome = Outcome(Counter({"attacks": 0, "requests and connections": 0}))
    with live(outcome, run.work / "data", *FLAGS) as running:
        _prepare(running)
        siege = _Siege(running, outcome, run.rounds / FULL, run.say)
        for attack, honest in ATTACKS:
            siege.under(attack, honest=honest)
        outcome.check(
            "Traceback" not in running.told(), f"the log tells of a fault: {running.told()[-2000:]}"
        )
    for name in CONTROLS:
        found = Outcome()
        running = Live(run.work / name, *FLAGS, module=("crash.unfair", name))
        try:
            _prepare(running)
            _Siege(running, found, 0.1, lambda line: None, 3).under(disconnects, honest=False)
        finally:
            running.stop(signal.SIGKILL)
        if outcome.check(bool(found.failures), f"control {name} is not caught"):
            outcome.counts["controls caught"] += 1
    return outcome


def _prepare(running: Live) -> None:
    client = running.client()
    assert client.request("PUT", "/attacked").status == 200
    assert client.request("PUT", "/attacked/large", (), bytes(range(256)) * (64 << 10)).status == 200
    # Each worker has served once, so its lasting descriptors are open.
    for _ in range(40):
        again = running.client()
        again.request("GET", "/attacked/large?tagging")
        again.request("PUT", "/attacked/warm", (), b"w" * 100_000)
        again.close()
    client.close()


SUITE = Suite("attack", FULL, run)
