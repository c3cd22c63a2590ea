"""A client of a server in trouble, which knows what must be there and what must be refused."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crash.live import Live, ask
from crash.suite import Outcome
from tests.contract.bodies import checksum, pattern
from tests.wire.answer import Answer

SMALL, LARGE = pattern(20_000, 1), pattern(300_000, 2)
FULL, OFF, SLOW, BROKEN = (
    "507 InsufficientStorage",
    "503 ServiceUnavailable",
    "503 SlowDown",
    "500 InternalError",
)


class Shop:
    """A client that knows what must be there: ``stock`` by key. ``where`` begins what it finds wrong."""

    def __init__(self, outcome: Outcome, running: Live, where: str) -> None:
        self.outcome = outcome
        self.client = running.client()
        self.stock: dict[str, bytes] = {}
        self.where = where
        self.upload = ""

    def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> str:
        """Send a request and return "200", or status and code of an error."""
        return shown(ask(self.client, method, target, body, **headers))

    def expect(self, name: str, found: str, *allowed: str) -> bool:
        """Count a case and check what it answered."""
        self.outcome.counts["cases"] += 1
        return self.outcome.check(found in allowed, f"{self.where}: {name} answered {found}")

    def put(self, key: str, data: bytes) -> str:
        """Put an object, and know it where that is acknowledged."""
        answer = self.ask("PUT", f"/bucket/{key}", data)
        if answer == "200":
            self.stock[key] = data
        return answer

    def open(self) -> None:
        """Make the bucket, two objects and an upload."""
        self.expect("CreateBucket", self.ask("PUT", "/bucket"), "200")
        self.expect("PutObject, small", self.put("small", SMALL), "200")
        self.expect("PutObject, large", self.put("large", LARGE), "200")
        self.begin()

    def begin(self) -> None:
        """Begin an upload of one part."""
        begun = ask(self.client, "POST", "/bucket/parts?uploads")
        assert begun is not None
        found = re.search(rb"<UploadId>([0-9a-f]+)</UploadId>", begun.body)
        assert found is not None, begun.body
        self.upload = found[1].decode()
        part = self.ask("PUT", f"/bucket/parts?partNumber=1&uploadId={self.upload}", LARGE)
        self.expect("UploadPart", part, "200")

    def fill(self, most: int = 1000) -> None:
        """Put until not a byte is taken."""
        for data in (LARGE, SMALL, b"x"):
            for number in range(most):
                answer = self.put(f"fill/{len(data)}/{number}", data)
                if answer != "200":
                    self.expect(f"PutObject of {len(data)} bytes", answer, FULL)
                    break
            else:
                self.outcome.check(False, f"{self.where}: the disk does not fill")

    def refuse(self, code: str, *skipped: str) -> None:
        """Everything that adds data is refused with this code."""
        part = f"/bucket/parts?partNumber=2&uploadId={self.upload}"
        tagging = b"<Tagging><TagSet><Tag><Key>k</Key><Value>v</Value></Tag></TagSet></Tagging>"
        adding: dict[str, Callable[[], str]] = {
            "PutObject, small": lambda: self.ask("PUT", "/bucket/new", SMALL),
            "PutObject, large": lambda: self.ask("PUT", "/bucket/new", LARGE),
            "PutObject over another": lambda: self.ask("PUT", "/bucket/small", LARGE),
            "UploadPart, small": lambda: self.ask("PUT", part, SMALL),
            "UploadPart, large": lambda: self.ask("PUT", part, LARGE),
            "CopyObject": lambda: self.ask("PUT", "/bucket/new", x_amz_copy_source="/bucket/large"),
            "UploadPartCopy": lambda: self.ask("PUT", part, x_amz_copy_source="/bucket/large"),
            "CreateMultipartUpload": lambda: self.ask("POST", "/bucket/new?uploads"),
            "PutObjectTagging": lambda: self.ask("PUT", "/bucket/small?tagging", tagging),
            "CreateBucket": lambda: self.ask("PUT", "/another"),
        }
        for name, add in adding.items():
            if name not in skipped:
                self.outcome.counts["refused writes"] += self.expect(name, add(), code)

    def read(self) -> None:
        """Everything that was acknowledged can be listed and read, byte for byte, and nothing else."""
        for key, data in self.stock.items():
            answer = ask(self.client, "GET", f"/bucket/{key}")
            good = answer is not None and answer.status == 200 and answer.body == data
            self.outcome.counts["reads"] += 1
            self.outcome.check(good, f"{self.where}: GET {key} answered {shown(answer)}")
        self.expect("HeadObject", self.ask("HEAD", "/bucket/small"), "200")
        answer = ask(self.client, "GET", "/bucket?list-type=2&max-keys=1000")
        assert answer is not None
        keys = [key.decode() for key in re.findall(rb"<Key>([^<]+)</Key>", answer.body)]
        self.expect("ListObjectsV2", str(keys == sorted(self.stock)), "True")

    def delete(self, *allowed: str) -> None:
        """Delete all but the first two objects, one by one and many at once; abort the upload."""
        keys = sorted(self.stock.keys() - {"small", "large"})
        for key in keys[::2]:
            answer = self.ask("DELETE", f"/bucket/{key}")
            self.outcome.counts["deletes"] += answer == "204"
            self.outcome.check(answer in ("204", *allowed), f"{self.where}: DELETE {key} answered {answer}")
            if answer == "204":
                del self.stock[key]
        names = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys[1::2])
        document = f"<Delete>{names}</Delete>".encode()
        if names:
            answer = self.ask(
                "POST", "/bucket?delete", document, x_amz_checksum_crc32=checksum("crc32", document)
            )
            if self.expect("DeleteObjects", answer, "200", *allowed) and answer == "200":
                self.outcome.counts["deletes"] += len(keys[1::2])
                for key in keys[1::2]:
                    del self.stock[key]
        abort = self.ask("DELETE", f"/bucket/parts?uploadId={self.upload}")
        self.expect("AbortMultipartUpload", abort, "204", *allowed)

    def work(self, seconds: float = 0.0) -> None:
        """It writes again, if need be after some time."""
        deadline = time.monotonic() + seconds
        while (answer := self.put("again", LARGE)) != "200" and time.monotonic() < deadline:
            time.sleep(0.2)
        self.expect("PutObject afterwards", answer, "200")
        self.expect("PutObject afterwards, small", self.put("again-small", SMALL), "200")
        self.ready("200")
        self.read()

    def ready(self, expected: str) -> None:
        """Readiness is as it should be, in every worker that is asked."""
        for _ in range(4):
            self.client.close()
            answer = self.client.request("GET", "/readyz", sign=False, payload=None)
            self.expect("/readyz", shown(answer), expected)


def shown(answer: Answer | None) -> str:
    """Return status and code of an answer in one text."""
    if answer is None:
        return "no answer"
    code = re.search(rb"<Code>(\w+)</Code>", answer.body)
    return f"{answer.status} {code[1].decode()}" if code else str(answer.status)


@contextmanager
def shop(
    outcome: Outcome, running: Live, where: str, stock: dict[str, bytes] | None = None
) -> Iterator[Shop]:
    """Give a shop that is open, or one whose ``stock`` is known from before; its connection is closed."""
    client = Shop(outcome, running, where)
    try:
        if stock is None:
            client.open()
        else:
            client.stock = stock
        yield client
    finally:
        client.client.close()
