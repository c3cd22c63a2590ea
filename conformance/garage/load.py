"""A client that writes and reads its own keys, and knows what each may hold after answers that never came."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from threading import Event
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

MIB = 1024**2
KEYS = 8


class Version(NamedTuple):
    """What was written to a key: its number among all of the client, and its bytes."""

    key: str
    number: int
    size: int

    @property
    def data(self) -> bytes:
        """The bytes; no two versions have a line in common."""
        line = f"{self.key} {self.number}\n".encode()
        return (line * (self.size // len(line) + 1))[: self.size]


class InDoubt(Exception):
    """No answer came, or one that says that the server is at fault."""


class Refused(Exception):
    """The server says that the client is at fault."""


def asked(call: Callable[..., Any], **given: Any) -> Any:
    """Call; raise InDoubt for an answer of 5xx and for none, Refused with the code for all others."""
    try:
        answer = call(**given)
        if "Body" in answer:
            answer["Body"] = answer["Body"].read()
        return answer
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
            raise InDoubt(code) from None
        raise Refused(code) from None
    except BotoCoreError as error:
        raise InDoubt(type(error).__name__) from None


class Client:
    """Works on KEYS keys of a bucket. ``held`` is what each may hold, ``wrong`` what should not happen."""

    def __init__(self, s3: Any, bucket: str, name: str, dice: random.Random) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._dice = dice
        self._written = 0
        self.keys = [f"{name}/{number}" for number in range(KEYS)]
        self.held: dict[str, set[Version | None]] = {key: {None} for key in self.keys}
        self.wrong: list[str] = []
        self.counts: Counter[str] = Counter()

    def work(self, ended: Event) -> None:
        """Do one thing after the other."""
        steps = [
            *[self._put] * 6,
            *[self._upload, self._delete, self._copy],
            *[self._get] * 4,
        ]
        while not ended.is_set():
            key = self._dice.choice(self.keys)
            step = self._dice.choice(steps)
            try:
                step(key)
                self.counts["done"] += 1
            except InDoubt as error:
                self.counts["in doubt"] += 1
                self.counts[str(error)] += 1
                ended.wait(0.05)
            except Refused as error:
                self.wrong.append(f"{step.__name__} of {key}: {error}")

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": key}

    def _new(self, key: str, size: int) -> Version:
        self._written += 1
        return Version(key, self._written, size)

    def _change(self, key: str, new: Version | None, call: Callable[..., Any], **given: Any) -> None:
        """Change a key; from the moment that this is asked for until it is answered it may hold either."""
        before = self.held[key]
        self.held[key] = before | {new}
        try:
            asked(call, **given)
        except Refused:
            self.held[key] = before
            raise
        self.held[key] = {new}

    def _put(self, key: str) -> None:
        size = self._dice.choice([0, 10, 3_000, 60_000, 3 * MIB, 9 * MIB])
        new = self._new(key, size)
        self._change(key, new, self._s3.put_object, **self._at(key), Body=new.data)

    def _upload(self, key: str) -> None:
        new = self._new(key, 5 * MIB + 1000)
        at = self._at(key)
        at["UploadId"] = asked(self._s3.create_multipart_upload, **at)["UploadId"]
        parts = []
        for number, start in enumerate(range(0, new.size, 5 * MIB), 1):
            data = new.data[start : start + 5 * MIB]
            etag = asked(self._s3.upload_part, **at, PartNumber=number, Body=data)["ETag"]
            parts.append({"PartNumber": number, "ETag": etag})
        self._change(key, new, self._s3.complete_multipart_upload, **at, MultipartUpload={"Parts": parts})

    def _delete(self, key: str) -> None:
        self._change(key, None, self._s3.delete_object, **self._at(key))

    def _copy(self, key: str) -> None:
        known = [(at, *held) for at, held in self.held.items() if len(held) == 1 and at != key]
        place, source = self._dice.choice(known) if known else (key, None)
        if source is not None:
            call = self._s3.copy_object
            self._change(key, source, call, **self._at(key), CopySource=f"{self._bucket}/{place}")

    def _get(self, key: str) -> None:
        self.look(self._s3, key)

    def look(self, s3: Any, key: str) -> None:
        """Read a key by any client; it holds what was found from now on."""
        try:
            data = asked(s3.get_object, **self._at(key))["Body"]
            found = {one for one in self.held[key] if one is not None and one.data == data}
        except Refused as error:
            found = {None} & self.held[key] if str(error) == "NoSuchKey" else set()
            data = str(error).encode()
        if not found:
            self.wrong.append(f"{key} holds {data[:40]!r}, {len(data)} bytes, none of {self.held[key]}")
        self.held[key] = found or self.held[key]
