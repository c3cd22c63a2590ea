"""Listings beside writers: what is surely there is listed once, in order, across all pages.

Each writer has keys of its own, so it knows when each of them was surely there (from the end of its put to
the beginning of its delete) and when it may have been (from the beginning of the put to the end of the
delete). The lister walks the bucket in small pages meanwhile.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from crash.fleet import Fleet, OnceClient, Site, results
from crash.suite import Outcome, Run, Suite
from s3shim.backends.local.fsck import check
from tests.server.process import serve

WRITERS = 4
STABLE = 120
KEYS_OF_A_WRITER = 30
PAGE = 7
BUCKET = "/listing"
NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"

# Between and around the stable keys, in places where the bytes of UTF-8 decide.
STEMS = ("a", "a/", "b/c/", "m", "m\u00e9", "x/\uff21", "x/\U0001f600", "zz")

Spans = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class Job:
    """One client: the lister makes ``pages`` pages, a writer goes on until ``until``."""

    site: Site
    seed: int
    pages: int = 0
    until: float = 0


@dataclass(slots=True)
class Page:
    """One page of a walk: when it was asked for and answered, and its keys."""

    began: float
    ended: float
    keys: list[str]


@dataclass(slots=True)
class Seen:
    """What a client did: a writer's spans, when each key was surely and perhaps there; a lister's walks."""

    surely: Spans = field(default_factory=dict)
    perhaps: Spans = field(default_factory=dict)
    walks: list[list[Page]] = field(default_factory=list)


def stable_key(number: int) -> str:
    """Return one of the keys that stay."""
    return f"{STEMS[number % len(STEMS)]}stable-{number:04d}"


def write(job: Job) -> Seen:
    """Put and delete keys until the time is up, then delete what is left."""
    chosen = random.Random(job.seed)
    client = job.site.client()
    seen = Seen()
    there: dict[str, tuple[float, float]] = {}

    def delete(key: str) -> None:
        began = time.monotonic()
        assert client.request("DELETE", f"{BUCKET}/{quote(key, safe='')}").status == 204
        first, sure = there.pop(key)
        seen.surely.setdefault(key, []).append((sure, began))
        seen.perhaps.setdefault(key, []).append((first, time.monotonic()))

    while time.monotonic() < job.until:
        number = chosen.randrange(KEYS_OF_A_WRITER)
        key = f"{STEMS[number % len(STEMS)]}churn-{job.seed}-{number}"
        if key in there:
            delete(key)
            continue
        began = time.monotonic()
        body = b"x" * chosen.choice((1, 70_000))
        assert client.request("PUT", f"{BUCKET}/{quote(key, safe='')}", body=body).status == 200
        there[key] = began, time.monotonic()
    for key in list(there):
        delete(key)
    client.close()
    return seen


def walk(job: Job) -> Seen:
    """Walk the bucket, by either version of the listing in turn, until enough pages were seen."""
    client = job.site.client()
    seen = Seen()
    pages = 0
    while pages < job.pages:
        seen.walks.append(list_all(client, 1 + len(seen.walks) % 2))
        pages += len(seen.walks[-1])
    client.close()
    return seen


def list_all(client: OnceClient, version: int) -> list[Page]:
    """Return all pages of a walk, each on a connection of its own, so of any worker."""
    pages: list[Page] = []
    following = ""
    while True:
        query = f"max-keys={PAGE}&encoding-type=url"
        if version == 2:
            query = f"list-type=2&{query}"
        if following:
            query += f"&{'continuation-token' if version == 2 else 'marker'}={quote(following, safe='')}"
        client.close()
        began = time.monotonic()
        answer = client.request("GET", f"{BUCKET}?{query}")
        ended = time.monotonic()
        assert answer.status == 200, answer.body
        root = answer.xml()
        keys = [unquote(one.text or "") for one in root.iterfind(f"{NAMESPACE}Contents/{NAMESPACE}Key")]
        pages.append(Page(began, ended, keys))
        if text(root, "IsTruncated") == "false":
            return pages
        following = text(root, "NextContinuationToken") if version == 2 else keys[-1]


def text(root: ElementTree.Element, name: str) -> str:
    """Return the text of an element of a listing."""
    return root.findtext(NAMESPACE + name) or ""


def wrong_in(pages: list[Page], surely: Spans, perhaps: Spans) -> list[str]:
    """Return what is wrong in one walk."""
    listed = [key for page in pages for key in page.keys]
    found = []
    if listed != sorted(set(listed), key=str.encode):
        found.append("keys are repeated or out of order")
    began, ended = pages[0].began, pages[-1].ended
    known = set(listed)
    for key, spans in surely.items():
        if key not in known and any(first < began and ended < last for first, last in spans):
            found.append(f"{key!r} was there all the time and is not listed")
    for page in pages:
        for key in page.keys:
            if not any(first < page.ended and page.began < last for first, last in perhaps.get(key, ())):
                found.append(f"{key!r} is listed and was not there")
    return found


def controls(pages: list[Page], surely: Spans, perhaps: Spans) -> dict[str, bool]:
    """Return for wrong walks, made of a right one, whether each is noticed."""
    keys = [page.keys for page in pages]
    places = [
        (number, at) for number, one in enumerate(keys) for at, key in enumerate(one) if "stable" in key
    ]
    number, at = places[len(places) // 2]

    def noticed(changed: list[list[str]]) -> bool:
        walked = [Page(one.began, one.ended, new) for one, new in zip(pages, changed, strict=True)]
        return wrong_in(walked, surely, perhaps) != []

    def replaced(new: list[str]) -> list[list[str]]:
        return [*keys[:number], new, *keys[number + 1 :]]

    there = keys[number]
    ghost = [*there, there[-1] + "\x01"]
    return {
        "a lost key": noticed(replaced(there[:at] + there[at + 1 :])),
        "a repeated key": noticed(replaced(there[: at + 1] + there[at:])),
        "a key that never was": noticed(replaced(ghost)),
        "two keys the other way round": noticed(replaced(there[::-1])),
    }


def run(job: Run) -> Outcome:
    """List ``rounds`` hundred pages beside the writers."""
    outcome = Outcome()
    server = serve(job.work, "--workers", "4", "--threads", "4", "--grace", "1", "--log-level", "error")
    try:
        seen = _observe(Site.of(server), job)
    finally:
        outcome.check(server.stop() == 0, f"the server failed: {server.stderr[-500:]}")
    surely = {key: spans for one in seen for key, spans in one.surely.items()}
    perhaps = {key: spans for one in seen for key, spans in one.perhaps.items()}
    for number in range(STABLE):
        surely[stable_key(number)] = perhaps[stable_key(number)] = [(0.0, float("inf"))]
    walks = [walked for one in seen for walked in one.walks]
    for number, pages in enumerate(walks):
        outcome.failures += [f"walk {number}: {line}" for line in wrong_in(pages, surely, perhaps)[:5]]
    noticed = controls(walks[-1], surely, perhaps)
    missed = [name for name, held in noticed.items() if not held]
    outcome.check(not missed, f"not noticed: {', '.join(missed)}")
    outcome.failures += _fsck(job.work / "data")
    outcome.counts["pages"] = sum(map(len, walks))
    outcome.counts["walks"] = len(walks)
    outcome.counts["keys listed"] = sum(len(page.keys) for pages in walks for page in pages)
    outcome.counts["puts and deletes meanwhile"] = sum(
        2 * len(spans) for one in seen for spans in one.surely.values()
    )
    outcome.counts["keys lost, repeated, out of order or invented"] = len(outcome.failures)
    outcome.counts["wrong walks noticed"] = len(noticed) - len(missed)
    return outcome


def _observe(site: Site, job: Run) -> list[Seen]:
    keeper = site.client()
    assert keeper.request("PUT", BUCKET).status == 200
    for number in range(STABLE):
        target = f"{BUCKET}/{quote(stable_key(number), safe='')}"
        assert keeper.request("PUT", target, body=b"stable").status == 200
    keeper.close()
    seeds = range(job.seed % 1_000_000, job.seed % 1_000_000 + WRITERS)
    with Fleet(WRITERS + 1) as fleet:
        lister = fleet.start(walk, [Job(site, 0, pages=job.rounds * 100)], 1)
        seen: list[Seen] = []
        while not lister[0].done():
            # Seconds at a time: nobody knows how long the pages take.
            until = time.monotonic() + 2
            writers = fleet.start(write, [Job(site, seed, until=until) for seed in seeds], 1)
            seen += results(writers)
            seeds = range(seeds[-1] + 1, seeds[-1] + 1 + WRITERS)
        return [*seen, *results(lister)]


def _fsck(root: Path) -> list[str]:
    return check(root, deep=True).problems


SUITE = Suite("listing", 100, run)
