"""The worker against h11: streams that are nearly requests, and what comes of them.

``python -m tests.server.fuzz [--streams N] [--seed N] [--first N]``. Of each stream: it ends; what the
application is asked is what h11 sees in it, method, target and body, in this order and nothing else; the
answers are well-formed, one for each request and in its order, with at most a refusal after them; nothing is
logged as an error.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from s3shim.server.body import BadChunk, BodyCutShort
from tests.server.oracle import Seen, requests_in
from tests.server.rig import Rig
from tests.server.streams import make

STREAMS = 100_000
WORST = 10  # failures that are shown

_STATUS = re.compile(r"HTTP/1\.1 ([1-5][0-9]{2}) [ -~]+")
_LINE = re.compile(r"([A-Za-z-]+): ([ -~]*)")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_UNREAD = b"(unread)"


class Wrong(Exception):
    """A promise that was not kept."""


class App:
    """Notes what it is asked.

    A target with "unread" in it leaves the body, one with "stream" in it is answered in chunks.
    """

    def __init__(self) -> None:
        self.asked: list[Seen] = []

    def http_error(self, status: int, reason: str, peer: str) -> tuple[str, list[tuple[str, str]], bytes]:
        """Refuse."""
        return f"{status} Refused", [("X-Refused", "yes")], reason.encode()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        seen = Seen(environ["REQUEST_METHOD"], environ["RAW_URI"], None)
        self.asked.append(seen)
        text = b"%d" % (len(self.asked) - 1)
        if "unread" in seen.target:
            seen.body = _UNREAD
        else:
            try:
                seen.body = environ["wsgi.input"].read()
            except (BodyCutShort, BadChunk):
                text += b" broken"
        start_response("200 OK", [])
        return iter([text, b"", b"."]) if "stream" in seen.target else [text, b"."]


class Answers:
    """Reads the answers in what came back."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def head(self) -> dict[str, str]:
        """Return the headers by lower-case name; ":status" is the status."""
        text, end, self.data = self.data.partition(b"\r\n\r\n")
        first, *lines = text.decode("latin-1").split("\r\n")
        status = _STATUS.fullmatch(first)
        if not end or status is None:
            raise Wrong(f"no head: {text[:100]!r}")
        headers = {":status": status[1]}
        for line in lines:
            found = _LINE.fullmatch(line)
            if found is None or found[1].lower() in headers:
                raise Wrong(f"no header line: {line!r}")
            headers[found[1].lower()] = found[2]
        return headers

    def body(self, headers: dict[str, str]) -> bytes:
        """Return the body that ``headers`` announce."""
        if "content-length" in headers:
            size = int(headers["content-length"])
            body, self.data = self.data[:size], self.data[size:]
            if len(body) < size:
                raise Wrong("an answer is cut short")
            return body
        if headers.get("transfer-encoding") == "chunked":
            return b"".join(iter(self._chunk, b""))
        if headers["connection"] != "close":
            raise Wrong("an answer has no end")
        body, self.data = self.data, b""
        return body

    def _chunk(self) -> bytes:
        line, _, rest = self.data.partition(b"\r\n")
        size = int(line, 16)
        if rest[size : size + 2] != b"\r\n":
            raise Wrong("a chunk has no end")
        self.data = rest[size + 2 :]
        return rest[:size]


def check_requests(asked: list[Seen], sent: list[Seen]) -> None:
    """Raise Wrong where the application was asked what h11 did not see."""
    if len(asked) > len(sent):
        raise Wrong(f"request {len(sent)} was not sent: {asked[len(sent)]!r:.200}")
    for number, (ours, theirs) in enumerate(zip(asked, sent, strict=False)):
        if (ours.method, ours.target) != (theirs.method, theirs.target):
            raise Wrong(f"request {number} was {theirs!r:.200}, not {ours!r:.200}")
        if ours.body is not None and ours.body is not _UNREAD and ours.body != theirs.body:
            raise Wrong(f"the body of request {number} was {theirs.body!r:.200}, not {ours.body!r:.200}")


def check_answers(data: bytes, asked: list[Seen]) -> str:
    """Raise Wrong where the answers are not those to ``asked``; return how the connection ended."""
    answers = Answers(data)
    last = None
    for number, seen in enumerate(asked):
        if last == "close":
            raise Wrong("a request was served after the last answer")
        while answers.data.startswith(_CONTINUE):
            answers.data = answers.data[len(_CONTINUE) :]
        headers = answers.head()
        last = headers["connection"]
        expected = b"%d%s." % (number, b" broken" if seen.body is None else b"")
        body = b"" if seen.method == "HEAD" else answers.body(headers)
        if headers[":status"] != "200" or body != (b"" if seen.method == "HEAD" else expected):
            raise Wrong(f"answer {number} is {body!r}, not {expected!r}")
        if seen.body is None and last != "close":
            raise Wrong("the connection was kept after a broken body")
    if not answers.data:
        return "closed" if last == "close" else "left"
    if last == "close":
        raise Wrong(f"after the last answer came {answers.data[:100]!r}")
    headers = answers.head()
    if "x-refused" not in headers or headers["connection"] != "close":
        raise Wrong(f"an answer to nothing: {headers}")
    answers.body(headers)
    if answers.data:
        raise Wrong(f"after a refusal came {answers.data[:100]!r}")
    return f"refused {headers[':status']}"


def try_stream(rig: Rig, app: App, pieces: list[bytes], counts: Counter[str]) -> None:
    """Raise Wrong for a stream with which something was."""
    app.asked = []
    complained = len(rig.complaints)
    try:
        data = rig.exchange(pieces)
    except TimeoutError:
        raise Wrong("it does not end") from None
    if rig.complaints[complained:]:
        raise Wrong(rig.complaints[-1])
    sent = requests_in(b"".join(pieces))
    check_requests(app.asked, sent)
    counts[check_answers(data, app.asked)] += 1
    counts["served"] += len(app.asked)
    counts["broken bodies"] += sum(seen.body is None for seen in app.asked)
    counts["h11 would have served"] += sum(seen.body is not None for seen in sent)


def failures(seed: int, numbers: Iterable[int], counts: Counter[str]) -> Iterator[str]:
    """Try streams; yield a text for each that failed."""
    app = App()
    with Rig(app) as rig:
        for number in numbers:
            counts["streams"] += 1
            pieces = make(seed, number)
            try:
                try_stream(rig, app, pieces, counts)
            except Wrong as wrong:
                yield f"stream {number} of seed {seed}: {wrong}\n  {pieces!r:.1500}"


def told(counts: Counter[str]) -> str:
    """Return the counts in one line."""
    return " · ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def main() -> int:
    """Return 0 where every stream was well."""
    parser = argparse.ArgumentParser(prog="python -m tests.server.fuzz", description=__doc__)
    parser.add_argument("--streams", type=int, default=STREAMS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--first", type=int, default=0, help="the number of the first stream")
    options = parser.parse_args()
    print(f"{options.streams} streams, seed {options.seed}", flush=True)
    counts: Counter[str] = Counter()
    began = time.monotonic()
    failed = 0
    numbers = range(options.first, options.first + options.streams)
    for failure in failures(options.seed, numbers, counts):
        failed += 1
        print(f"FAILED {failure}", flush=True)
        if failed == WORST:
            break
    print(f"{told(counts)} · {failed} failures · {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
