"""Writers that send real requests and note in their ledger what was answered and what was not."""

from __future__ import annotations

import base64
import hashlib
import http.client
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from crash.content import Found, Piece, Value
from crash.oracle import Ledger, Together, Upload, Verdict
from tests.wire.answer import Answer
from tests.wire.client import LiveClient
from tests.wire.signing import Draft

BUCKET = "load"
MIN_PART = 4096
MAX_UPLOADS = 3
KEYS = 10
ALL = {
    "put": 40,
    "remove": 6,
    "remove_many": 4,
    "copy": 8,
    "tag": 8,
    "begin": 5,
    "part": 12,
    "complete": 6,
    "abort": 2,
    "bucket": 3,
    "read": 6,
}


class Gone(Exception):
    """Nobody listens: the request was not sent."""


class Failed(Exception):
    """An answer that is neither the object nor that there is none."""


class Caller(LiveClient):
    """A client that never sends a request again by itself: each is sent once or not at all."""

    def send(self, draft: Draft) -> Answer:
        """Send the request. Raises Gone where that was not possible."""
        if getattr(self._local, "connection", None) is None:
            try:
                self._local.connection = socket.create_connection(self.address, self.timeout)
            except OSError as error:
                raise Gone from error
            self._local.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._exchange(self._local.connection, draft)


def show(client: LiveClient, key: str) -> Found | None:
    """Read an object and its tags; None where it is not there. Raises Failed."""
    answer = client.request("GET", f"/{BUCKET}/{key}")
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise Failed(f"GET {key} is answered {answer.status} {answer.code}")
    tags: dict[str, str] = {}
    if "x-amz-tagging-count" in answer.headers:
        listed = client.request("GET", f"/{BUCKET}/{key}?tagging")
        if listed.status != 200:
            raise Failed(f"GET {key}?tagging is answered {listed.status} {listed.code}")
        for tag in listed.xml().iterfind("{*}TagSet/{*}Tag"):
            tags[tag.findtext("{*}Key") or ""] = tag.findtext("{*}Value") or ""
    meta = {name: answer.headers[name] for name in answer.headers if name.startswith("x-amz-meta-")}
    return Found(answer.body, answer.headers["etag"].strip('"'), _pairs(meta), _pairs(tags))


class Writer(threading.Thread):
    """One writer, until it is told to stop or nobody listens any more.

    ``counts`` has the acknowledged and the unanswered writes and the reads; ``verdict`` has what was read
    and must not be; ``failed`` has the requests that failed, ``odd`` those that were refused.
    """

    def __init__(self, client: Caller, ledger: Ledger, seed: int, mix: dict[str, int]) -> None:
        super().__init__(name=f"writer {ledger.name}", daemon=True)
        self.client = client
        self.ledger = ledger
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.verdict = Verdict()
        self.failed: list[str] = []
        self.odd: list[str] = []
        self.ended = threading.Event()
        self._steps: dict[str, Callable[[], None]] = {name: getattr(self, f"_{name}") for name in mix}
        self._weights = list(mix.values())

    def run(self) -> None:
        """Write."""
        names = list(self._steps)
        try:
            while not self.ended.is_set():
                self._steps[self.random.choices(names, self._weights)[0]]()
        except Gone:
            pass
        except Exception as error:
            self.odd.append(f"{self.name}: {error!r}")
        finally:
            self.client.close()

    def _ask(
        self,
        method: str,
        target: str,
        expected: int,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> Answer | None:
        # None where nothing is known of the effect.
        try:
            answer = self.client.request(method, target, headers or {}, body)
        except (OSError, http.client.HTTPException):
            self.counts["unanswered"] += 1
            return None
        if answer.status != expected or b"<Error>" in answer.body[:200]:
            answers = self.failed if answer.status >= 500 else self.odd
            answers.append(f"{method} {target} is answered {answer.status} {answer.body[:300]!r}")
            self.counts["unanswered"] += 1
            return None
        self.counts["acknowledged writes"] += 1
        return answer

    def _value(self, pieces: tuple[Piece, ...], version: int, *, in_parts: bool = False) -> Value:
        meta = (("x-amz-meta-version", str(version)),)
        tags = tuple((name, str(version)) for name in ("a", "b")) if self.random.random() < 0.5 else ()
        return Value(pieces, in_parts, meta, tags)

    def _size(self, low: int = 0) -> int:
        high = self.random.choice((2_000, 16_000, 16_000, 100_000, 100_000, 300_000))
        return self.random.randint(low, max(low, high))

    def _free(self) -> str | None:
        free = self.ledger.free()
        return self.random.choice(free) if free else None

    def _present(self) -> str | None:
        present = [key for key in self.ledger.free() if self.ledger.sure(key)]
        return self.random.choice(present) if present else None

    def _put(self) -> None:
        key = self._free()
        if key is None:
            return
        version = self.ledger.next()
        value = self._value((Piece(key, version, self._size()),), version)
        answer = self._ask("PUT", f"/{BUCKET}/{key}", 200, _headers(value), value.data)
        self.ledger.wrote(key, lambda _: value, acknowledged=answer is not None)

    def _remove(self) -> None:
        key = self._free()
        if key is not None:
            answer = self._ask("DELETE", f"/{BUCKET}/{key}", 204)
            self.ledger.wrote(key, lambda _: None, acknowledged=answer is not None)

    def _remove_many(self) -> None:
        present = [key for key in self.ledger.free() if self.ledger.sure(key)]
        keys = self.random.sample(present, min(3, len(present)))
        if not keys:
            return
        listed = "".join(f"<Object><Key>{key}</Key></Object>" for key in keys)
        body = f"<Delete>{listed}</Delete>".encode()
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        if self._ask("POST", f"/{BUCKET}?delete", 200, {"Content-MD5": digest}, body) is None:
            self.ledger.wrote_together(Together(dict.fromkeys(keys)))
            return
        for key in keys:
            self.ledger.wrote(key, lambda _: None, acknowledged=True)

    def _copy(self) -> None:
        source, target = self._present(), self._free()
        if source is None or target is None or source == target:
            return
        value = self.ledger.sure(source)
        assert value is not None
        headers = {"x-amz-copy-source": f"/{BUCKET}/{source}"}
        if self.random.random() < 0.5:
            described = self._value(value.pieces, self.ledger.next(), in_parts=value.in_parts)
            headers |= {"x-amz-metadata-directive": "REPLACE", "x-amz-tagging-directive": "REPLACE"}
            headers |= _headers(described)
            value = described
        answer = self._ask("PUT", f"/{BUCKET}/{target}", 200, headers)
        self.ledger.wrote(target, lambda _: value, acknowledged=answer is not None)

    def _tag(self) -> None:
        key = self._present()
        if key is None:
            return
        version = str(self.ledger.next())
        tags = tuple((name, version) for name in self.random.choice(("", "c", "de")))
        listed = "".join(f"<Tag><Key>{name}</Key><Value>{value}</Value></Tag>" for name, value in tags)
        body = f"<Tagging><TagSet>{listed}</TagSet></Tagging>".encode()
        answer = self._ask("PUT", f"/{BUCKET}/{key}?tagging", 200, body=body)
        self.ledger.wrote(key, lambda old: old and replace(old, tags=tags), acknowledged=answer is not None)

    def _begin(self) -> None:
        ledger = self.ledger
        key = self._free()
        opened = [upload for upload in ledger.uploads.values() if upload.there == [True]]
        if key is None or len(opened) >= MAX_UPLOADS or any(upload.key == key for upload in ledger.begun):
            return
        upload = Upload(key, self._value((), ledger.next(), in_parts=True))
        answer = self._ask("POST", f"/{BUCKET}/{key}?uploads", 200, _headers(upload.whole))
        if answer is None:
            ledger.begun.append(upload)
        else:
            ledger.uploads[answer.xml().findtext("{*}UploadId") or ""] = upload

    def _open(self) -> tuple[str, Upload] | None:
        sure = [(name, upload) for name, upload in self.ledger.uploads.items() if upload.there == [True]]
        return self.random.choice(sure) if sure else None

    def _part(self) -> None:
        found = self._open()
        if found is None:
            return
        upload_id, upload = found
        number = self.random.choice((1, 2, 3, 4, 10_000))
        piece = Piece(upload.key, self.ledger.next(), self._size(MIN_PART))
        target = f"/{BUCKET}/{upload.key}?partNumber={number}&uploadId={upload_id}"
        answer = self._ask("PUT", target, 200, body=piece.data)
        before = upload.parts.get(number, [None])
        upload.parts[number] = [*before, piece] if answer is None else [piece]

    def _complete(self) -> None:
        found = self._open()
        if found is None or found[1].key not in self.ledger.free():
            return
        upload_id, upload = found
        parts = upload.sure()
        if not parts:
            return
        if len(parts) > 2 and self.random.random() < 0.3:
            del parts[self.random.choice(list(parts))]
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{piece.md5.hex()}</ETag></Part>"
            for number, piece in parts.items()
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        value = replace(upload.whole, pieces=tuple(parts.values()))
        if self._ask("POST", f"/{BUCKET}/{upload.key}?uploadId={upload_id}", 200, body=body) is None:
            self.ledger.wrote_together(Together({upload.key: value}, upload_id))
            return
        upload.there = [False]
        self.ledger.wrote(upload.key, lambda _: value, acknowledged=True)

    def _abort(self) -> None:
        found = self._open()
        if found is None:
            return
        upload_id, upload = found
        answer = self._ask("DELETE", f"/{BUCKET}/{upload.key}?uploadId={upload_id}", 204)
        upload.there = [True, False] if answer is None else [False]

    def _bucket(self) -> None:
        for name, states in self.ledger.buckets.items():
            if len(states) > 1:
                return
            method, expected = ("DELETE", 204) if states[0] else ("PUT", 200)
            answer = self._ask(method, f"/{name}", expected)
            after = not states[0]
            self.ledger.buckets[name] = [*states, after] if answer is None else [after]

    def _read(self) -> None:
        key = self.random.choice(list(self.ledger.objects))
        try:
            found = show(self.client, key)
        except Failed as failed:
            self.failed.append(str(failed))
            return
        except (OSError, http.client.HTTPException):
            return
        self.counts["reads in between"] += 1
        self.ledger.read(key, found, self.verdict)


def _headers(value: Value) -> dict[str, str]:
    tagging = {"x-amz-tagging": "&".join(f"{n}={v}" for n, v in value.tags)} if value.tags else {}
    return {**dict(value.meta), **tagging}


def _pairs(found: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(found.items()))
