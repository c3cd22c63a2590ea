"""One client of the soak: mixed work on many keys, every answer verified."""

from __future__ import annotations

import random
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate
from xml.etree import ElementTree

from crash.fleet import LOST, Site, body_of, etag_of, is_whole
from crash.linearizable import OK, UNKNOWN, Operation
from tests.wire.answer import Answer

KEYS = 5000
HOT = 12
BUCKET = "/soak"
PART = 5 << 20
KIB, MIB = 1 << 10, 1 << 20

KINDS = {"get": 50, "put": 25, "delete": 10, "list": 8, "head": 4, "multipart": 3}
SIZES = {(KIB, 64 * KIB): 70, (64 * KIB, MIB): 25, (MIB, 16 * MIB): 4, (64 * MIB, 64 * MIB): 1}
REQUESTS_OF_A_CONNECTION = 50
UNSIGNED_FROM = MIB  # a signed payload of more costs the client more than the server

_ZIPF = list(accumulate(1 / (rank + 1) for rank in range(KEYS)))


@dataclass(frozen=True, slots=True)
class Job:
    """What one client does until ``until`` (time.monotonic)."""

    site: Site
    seed: int
    until: float


@dataclass(slots=True)
class Log:
    """What one client did and saw.

    ``times`` are (when it began, seconds) of each kind; ``lost`` are (when it began, when it ended, what it
    was) of the requests without an answer; ``wrong`` is what no answer may be; ``hot`` are the operations on
    the keys that are asked for most.
    """

    times: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    lost: list[tuple[float, float, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    bytes: Counter[str] = field(default_factory=Counter)
    hot: list[tuple[str, Operation]] = field(default_factory=list)


def key_of(rank: int) -> str:
    """Return the key with a rank."""
    return f"{rank % 100:02d}/key-{rank:04d}"


def work(job: Job) -> Log:
    """Be one client."""
    return _Client(job).run()


class _Client:
    def __init__(self, job: Job) -> None:
        self.random = random.Random(job.seed)
        self.name = f"soak{job.seed}"
        self.until = job.until
        self.client = job.site.client()
        self.log = Log(times={kind: [] for kind in KINDS})
        self.number = 0

    def run(self) -> Log:
        calls: dict[str, Callable[[int], None]] = {
            "get": self.get,
            "head": self.head,
            "put": self.put,
            "delete": self.delete,
            "list": self.list,
            "multipart": self.multipart,
        }
        kinds, weights = list(KINDS), list(KINDS.values())
        while time.monotonic() < self.until:
            self.number += 1
            if self.number % REQUESTS_OF_A_CONNECTION == 0:
                self.client.close()
            kind = self.random.choices(kinds, weights)[0]
            rank = bisect_left(_ZIPF, self.random.random() * _ZIPF[-1])
            began = time.monotonic()
            try:
                calls[kind](rank)
                self.log.times[kind].append((began, time.monotonic() - began))
            except LOST as error:
                self.log.lost.append((began, time.monotonic(), f"{kind}: {error!r}"))
                time.sleep(0.2)
        self.client.close()
        return self.log

    def ask(self, method: str, rank: int, query: str = "", body: bytes = b"") -> Answer:
        """Make one request."""
        target = f"{BUCKET}/{key_of(rank)}{query}"
        payload = "unsigned" if len(body) > UNSIGNED_FROM else "sign"
        return self.client.request(method, target, body=body, payload=payload)

    def expect(self, answer: Answer, *statuses: int) -> bool:
        """Note an answer that must not be; return whether it may."""
        if answer.status in statuses:
            return True
        self.log.wrong.append(f"{answer.status} {answer.code}")
        return False

    def body(self) -> bytes:
        """Return a new body."""
        low, high = self.random.choices(list(SIZES), list(SIZES.values()))[0]
        return body_of(f"{self.name}-{self.number}", self.random.randint(low, high))

    def note(self, rank: int, kind: str, began: float, value: str | None, outcome: str = OK) -> None:
        """Keep an operation on a hot key for the checker."""
        if rank < HOT:
            operation = Operation(kind, began, time.monotonic(), value, outcome=outcome)
            self.log.hot.append((key_of(rank), operation))

    def written(
        self, rank: int, kind: str, value: str | None, request: Callable[[], Answer], status: int
    ) -> None:
        """Make the request that writes, and keep what came of it."""
        began = time.monotonic()
        try:
            answer = request()
        except LOST:
            self.note(rank, kind, began, value, UNKNOWN)
            raise
        self.note(rank, kind, began, value, OK if self.expect(answer, status) else UNKNOWN)

    # -- kinds

    def get(self, rank: int) -> None:
        began = time.monotonic()
        answer = self.ask("GET", rank)
        if not self.expect(answer, 200, 404):
            return
        value = None
        if answer.status == 200:
            value = answer.headers["etag"].strip('"')
            self.log.bytes["read"] += len(answer.body)
            if not is_whole(answer.body) or value not in (etag_of(answer.body), composite(answer.body)):
                self.log.wrong.append(f"{key_of(rank)}: {len(answer.body)} wrong bytes")
        self.note(rank, "get", began, value)

    def head(self, rank: int) -> None:
        began = time.monotonic()
        answer = self.ask("HEAD", rank)
        if self.expect(answer, 200, 404):
            found = answer.status == 200
            self.note(rank, "get", began, answer.headers["etag"].strip('"') if found else None)

    def put(self, rank: int) -> None:
        body = self.body()
        self.log.bytes["written"] += len(body)
        self.written(rank, "put", etag_of(body), lambda: self.ask("PUT", rank, body=body), 200)

    def delete(self, rank: int) -> None:
        self.written(rank, "delete", None, lambda: self.ask("DELETE", rank), 204)

    def list(self, rank: int) -> None:
        answer = self.client.request("GET", f"{BUCKET}?list-type=2&max-keys=100&start-after={key_of(rank)}")
        if self.expect(answer, 200):
            tag = "{http://s3.amazonaws.com/doc/2006-03-01/}"
            root: ElementTree.Element = answer.xml()
            keys = [one.text or "" for one in root.iterfind(f"{tag}Contents/{tag}Key")]
            if keys != sorted(set(keys)) or (keys and keys[0] <= key_of(rank)):
                self.log.wrong.append(f"a listing after {key_of(rank)} is not in order")

    def multipart(self, rank: int) -> None:
        """Two parts; now and then an upload is aborted, or left for the server to abort."""
        answer = self.ask("POST", rank, "?uploads")
        if not self.expect(answer, 200):
            return
        upload_id = answer.xml().findtext("{http://s3.amazonaws.com/doc/2006-03-01/}UploadId") or ""
        body = body_of(f"{self.name}-{self.number}", PART + self.random.randint(1, MIB))
        listed = ""
        for number, part in enumerate((body[:PART], body[PART:]), 1):
            answer = self.ask("PUT", rank, f"?partNumber={number}&uploadId={upload_id}", part)
            if not self.expect(answer, 200):
                return
            etag = answer.headers["etag"]
            listed += f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
        self.log.bytes["written"] += len(body)
        end = self.random.randrange(10)
        if end == 0:
            return
        if end == 1:
            self.expect(self.ask("DELETE", rank, f"?uploadId={upload_id}"), 204)
            return
        document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        query = f"?uploadId={upload_id}"
        self.written(rank, "put", composite(body), lambda: self.ask("POST", rank, query, document), 200)


def composite(body: bytes) -> str:
    """Return the ETag of a body that was uploaded in two parts."""
    digests = b"".join(bytes.fromhex(etag_of(part)) for part in (body[:PART], body[PART:]))
    return f"{etag_of(digests)}-2"
