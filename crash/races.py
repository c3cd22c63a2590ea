"""Races of many clients over four workers: one winner, exact counts, whole bodies, no put that is lost.

Controls: servers that look at conditions before the commit only, that delete a bucket whatever is in it,
and that let every completion of an upload win.
"""

from __future__ import annotations

import hashlib
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from crash.live import MIN_PART, PATIENCE, Live, ask, at_once, live
from crash.slow_readers import slow_reads
from crash.suite import Outcome, Run, Suite
from tests.wire.answer import Answer
from tests.wire.client import LiveClient

CLIENTS = 64
LARGE = 4 << 20
FULL = 1000
CONTROL_ROUNDS = 40

_ERRORS = "wrong outcomes"


class Race:
    """A bucket on a live server, and what the races have shown."""

    def __init__(
        self, running: Live, outcome: Outcome, pool: ThreadPoolExecutor, dice: random.Random
    ) -> None:
        self.client: LiveClient = running.client()
        self.outcome = outcome
        self.pool = pool
        self.dice = dice
        self.good(self.client.request("PUT", "/races"))

    def good(self, answer: Answer | None) -> Answer:
        """Return an answer that must be a success."""
        if answer is None or answer.status >= 300:
            raise AssertionError(f"answered {answer and (answer.status, answer.body[:300])}")
        return answer

    def wrong(self, line: str) -> None:
        """Note an outcome that must not be."""
        self.outcome.counts[_ERRORS] += 1
        if len(self.outcome.failures) < 20:
            self.outcome.failures.append(line)

    def expect(self, held: bool, line: object) -> None:
        """Note ``line`` where something did not hold."""
        if not held:
            self.wrong(str(line))

    def together(self, calls: list[Callable[[], Answer | None]]) -> list[Answer | None]:
        """Send requests at the same time; return their answers in order."""
        return at_once(calls, self.pool)

    def body(self, target: str) -> bytes | None:
        """Return what is there, or None."""
        answer = self.client.request("GET", target)
        return answer.body if answer.status == 200 else None


def told(answer: Answer | None) -> str:
    """Return the code of an error, "done" for a success, "lost" for no answer."""
    if answer is None:
        return "lost"
    return "done" if answer.status < 300 else answer.code or str(answer.status)


def creators(race: Race, rounds: int) -> None:
    """Of 64 clients that make a new key, one does; it is the one that is told so."""
    for number in range(rounds):
        target = f"/races/new-{number}"
        calls = [
            partial(ask, race.client, "PUT", target, f"{number} {n}".encode(), If_None_Match="*")
            for n in range(CLIENTS)
        ]
        outcomes = [told(answer) for answer in race.together(list(calls))]
        winners = [n for n, outcome in enumerate(outcomes) if outcome == "done"]
        seen = Counter(outcomes)
        held = len(winners) == 1 and seen["PreconditionFailed"] == CLIENTS - 1
        race.expect(held, f"creators: {dict(seen)}")
        if winners:
            race.expect(race.body(target) == f"{number} {winners[0]}".encode(), "creators: another's body")
        race.outcome.counts["creations"] += 1


def counter(race: Race, increments: int) -> None:
    """64 clients count up by If-Match; the sum is exact."""
    race.good(ask(race.client, "PUT", "/races/count", b"0"))
    seeds = [race.dice.random() for _ in range(CLIENTS)]

    def count(seed: float) -> None:
        dice = random.Random(seed)
        done = 0
        while done < increments:
            now = race.good(ask(race.client, "GET", "/races/count"))
            value = str(int(now.body) + 1).encode()
            answer = ask(race.client, "PUT", "/races/count", value, If_Match=now.headers["etag"])
            outcome = told(answer)
            done += outcome == "done"
            if outcome != "done":
                race.expect(outcome == "PreconditionFailed", f"counter: {outcome}")
                time.sleep(dice.uniform(0, 0.2))

    list(race.pool.map(count, seeds))
    found = race.body("/races/count")
    race.expect(found == str(CLIENTS * increments).encode(), f"counter: {found!r}")
    race.outcome.counts["increments"] += CLIENTS * increments


def whole_winner(race: Race, rounds: int) -> None:
    """Of two puts of 4 MB to one key, one is there, whole."""
    bodies = [bytes([65 + n]) * LARGE for n in range(2)]
    for _ in range(rounds):
        answers = race.together([partial(ask, race.client, "PUT", "/races/large", body) for body in bodies])
        race.expect({told(answer) for answer in answers} == {"done"}, "two puts: not both are done")
        found = race.body("/races/large")
        race.expect(found in bodies, "two puts: the object is neither body")
        race.outcome.counts["double puts"] += 1


def begin(race: Race, key: str, bodies: list[bytes]) -> tuple[str, list[str]]:
    """Begin an upload with these parts; return its target and the ETags."""
    made = race.good(ask(race.client, "POST", f"/races/{key}?uploads"))
    target = f"/races/{key}?uploadId={made.xml().findtext('{*}UploadId')}"
    etags = []
    for number, body in enumerate(bodies, 1):
        answer = race.good(ask(race.client, "PUT", f"{target}&partNumber={number}", body))
        etags.append(answer.headers["etag"])
    return target, etags


def completion(etags: list[str]) -> bytes:
    """Return the body of CompleteMultipartUpload."""
    parts = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        for number, etag in enumerate(etags, 1)
    )
    return f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()


def completers(race: Race, rounds: int) -> None:
    """2 to 16 clients complete an upload, half of them all parts and half the first: one of the two wins.

    A repeated completion with the same parts gets the answer of the first.
    """
    for number in range(rounds):
        key = f"completed-{number}"
        bodies = [bytes([number % 251]) * MIN_PART, b"end" * (number + 1)]
        target, etags = begin(race, key, bodies)
        wanted = [etags if n % 2 else etags[:1] for n in range(race.dice.randint(2, 16))]
        calls = [partial(ask, race.client, "POST", target, completion(parts)) for parts in wanted]
        outcomes = [told(answer) for answer in race.together(list(calls))]
        won = {len(parts) for parts, outcome in zip(wanted, outcomes, strict=True) if outcome == "done"}
        seen = {
            (len(parts), outcome)
            for parts, outcome in zip(wanted, outcomes, strict=True)
            if outcome != "done"
        }
        race.expect(len(won) == 1, f"completers: {sorted(won)} parts won, {seen}")
        race.expect(seen <= {(3 - sum(won), "NoSuchUpload")}, f"completers: {won} won and {seen}")
        if len(won) == 1:
            found = race.body(f"/races/{key}")
            race.expect(found == b"".join(bodies[: won.pop()]), "completers: another body")
        race.outcome.counts["completions"] += 1


def ends(race: Race, rounds: int) -> None:
    """Complete, abort and an upload of part 1 at once: all of one and nothing of another."""
    for number in range(rounds):
        key = f"ended-{number}"
        old, new = b"old" * MIN_PART, b"new" * MIN_PART
        target, etags = begin(race, key, [old])
        calls = [
            partial(ask, race.client, "POST", target, completion(etags)),
            partial(ask, race.client, "DELETE", target),
            partial(ask, race.client, "PUT", f"{target}&partNumber=1", new),
        ]
        order = race.dice.sample(range(3), 3)
        answers = dict(zip(order, race.together([calls[n] for n in order]), strict=True))
        done, aborted, part = (told(answers[n]) for n in range(3))
        left = race.body(f"/races/{key}")
        listed = told(ask(race.client, "GET", target))
        seen = (
            f"ends: complete {done}, abort {aborted}, part {part}, left {left and left[:3]!r}, then {listed}"
        )
        race.expect(part in ("done", "NoSuchUpload"), seen)
        if done == "done":
            # The abort of an upload that is completed may be told either.
            race.expect(left == old and aborted in ("done", "NoSuchUpload"), seen)
        else:
            # A part that was replaced first is not the one that the completion names.
            race.expect(done in ("NoSuchUpload", "InvalidPart") and left is None, seen)
            race.expect(aborted == "done" and (done == "NoSuchUpload" or part == "done"), seen)
        race.expect(listed == "NoSuchUpload", seen)
        race.outcome.counts["ends of uploads"] += 1


def buckets(race: Race, rounds: int) -> None:
    """8 clients put into a bucket that is deleted and made again: what was acknowledged is there."""
    race.good(ask(race.client, "PUT", "/races-bucket"))

    def remake() -> Answer | None:
        answer = ask(race.client, "DELETE", "/races-bucket")
        if told(answer) == "done":
            race.expect(told(ask(race.client, "PUT", "/races-bucket")) == "done", "buckets: not made again")
        return answer

    for number in range(rounds):
        size = 10 if number % 2 else 70_000
        calls: list[Callable[[], Answer | None]] = [remake]
        for n in range(8):
            calls.append(partial(ask, race.client, "PUT", f"/races-bucket/{n}", bytes([n]) * size))
        order = race.dice.sample(range(9), 9)
        answers = dict(zip(order, race.together([calls[n] for n in order]), strict=True))
        deleted, *puts = (told(answers[n]) for n in range(9))
        there = {n for n in range(8) if race.body(f"/races-bucket/{n}") == bytes([n]) * size}
        acked = {n for n, outcome in enumerate(puts) if outcome == "done"}
        listed = race.good(ask(race.client, "GET", "/races-bucket")).xml()
        keys = {int(found.text or "") for found in listed.iterfind("{*}Contents/{*}Key")}
        seen = f"buckets: delete {deleted}, puts {puts}, there {there}, listed {keys}"
        race.expect(acked == there == keys, seen)
        race.expect(set(puts) <= {"done", "NoSuchBucket"}, seen)
        race.expect(deleted in ("done", "BucketNotEmpty"), seen)
        race.expect(deleted == "done" or bool(acked), seen)
        for n in keys:
            race.good(ask(race.client, "DELETE", f"/races-bucket/{n}"))
        race.outcome.counts[f"buckets {'deleted' if deleted == 'done' else 'kept'}"] += 1


def readers(race: Race, running: Live, count: int, seconds: float) -> None:
    """Slow readers while the object is overwritten, deleted and its files are reclaimed."""
    known: set[str] = set()
    ended = threading.Event()
    seed = race.dice.randbytes(1 << 20)

    def write() -> int:
        turn = 0
        while not ended.is_set():
            turn += 1
            body = turn.to_bytes(8, "big") + seed * 8
            known.add(hashlib.md5(body).hexdigest())
            race.good(ask(race.client, "PUT", "/races/slow", body))
            if turn % 3 == 0:
                race.good(ask(race.client, "DELETE", "/races/slow"))
            time.sleep(0.05)
        return turn

    writer = race.pool.submit(write)
    try:
        reads = slow_reads(running, "/races/slow", count, seconds)
    finally:
        ended.set()
        turns = writer.result(PATIENCE)
    for outcome, number in reads.items():
        race.expect(outcome in known, f"readers: {number} got {outcome}")
    race.expect(len(reads) > 1, "readers: only one version was read")
    race.outcome.counts["slow reads"] += reads.total()
    race.outcome.counts["overwrites meanwhile"] += turns


def run(run: Run) -> Outcome:
    """Run every race; ``rounds`` is the number of the longest, the others have their share of it."""
    outcome = Outcome(Counter({"rounds": run.rounds, _ERRORS: 0}))
    dice = random.Random(run.seed)
    part = run.rounds / FULL
    flags = ("--workers", "4", "--threads", "16", "--grace", "1")
    with live(outcome, run.work / "data", *flags) as running, ThreadPoolExecutor(CLIENTS) as pool:
        race = Race(running, outcome, pool, dice)
        for name, call in (
            ("creators", partial(creators, race, max(3, int(200 * part)))),
            ("counter", partial(counter, race, max(1, int(25 * part)))),
            ("two puts", partial(whole_winner, race, max(3, int(100 * part)))),
            ("completers", partial(completers, race, max(8, int(500 * part)))),
            ("ends of uploads", partial(ends, race, run.rounds)),
            ("buckets", partial(buckets, race, run.rounds)),
        ):
            began = time.monotonic()
            call()
            run.say(f"{name}: {time.monotonic() - began:.1f} s")
    flags = ("--workers", "4", "--threads", "128", "--grace", "1", "--idle-timeout", "120")
    with live(outcome, run.work / "slow", *flags) as running, ThreadPoolExecutor(4) as pool:
        readers(Race(running, outcome, pool, dice), running, max(12, int(200 * part)), max(3, 60 * part))
    _controls(run, outcome)
    return outcome


CONTROLS: tuple[tuple[str, Callable[[Race, int], None]], ...] = (
    ("unconditional", creators),
    ("bucket-forgotten", buckets),
    ("every-completion", completers),
)


def _controls(run: Run, outcome: Outcome) -> None:
    for name, case in CONTROLS:
        found = Outcome()
        running = Live(Path(run.work / name), "--workers", "4", module=("crash.unfair", name))
        try:
            with ThreadPoolExecutor(CLIENTS) as pool:
                case(Race(running, found, pool, random.Random(run.seed)), CONTROL_ROUNDS)
        except AssertionError as error:
            found.counts[_ERRORS] += 1
            run.say(f"control {name}: {error}"[:200])
        finally:
            running.stop(signal.SIGKILL)
        if outcome.check(found.counts[_ERRORS] > 0, f"control {name} is not caught"):
            outcome.counts["controls caught"] += 1


SUITE = Suite("races", FULL, run)
