"""The requests of JetStream that the storage is made of, on whatever connection there is now.

Source: ADR-1 (JetStream JSON API), ADR-31 (direct get), "Publish headers" of the NATS documentation.
A request that only reads is sent again, on another connection too, until its time is over.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nats.aio.msg import Msg

from s3shim.backends.nats.failures import (
    MESSAGE_NOT_FOUND,
    JetStreamError,
    NoAnswer,
    NotSent,
)
from s3shim.backends.nats.link import Link, status_of
from s3shim.times import milliseconds

Headers = dict[str, str]

_TRANSIENT = frozenset({10008, 10009, 10051, 10074, 10118})
"""JetStream is not ready, or its leader is just being chosen."""

_BATCHES = 16
"""Batches that are on their way to us at the same time.

A server ends a connection for which more than its max_pending, 64 MB, wait to be sent.
"""

_LEAST = 0.5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.4


@dataclass(slots=True)
class Stored:
    """A message of a stream; ``time`` is the server's, in ms. ``pending``: how many follow that match too."""

    subject: str
    seq: int
    time: int
    data: bytes
    headers: Headers
    pending: int = 0


class JetStream:
    """``link`` returns the connection to use now and raises NotSent where there is none.

    ``prefix`` is the API's ("$JS.API", or with a domain "$JS.hub.API"), ``timeout`` the seconds of a request.
    """

    def __init__(self, link: Callable[[], Link], prefix: str = "$JS.API", timeout: float = 5.0) -> None:
        self.link = link
        self.prefix = prefix
        self.timeout = timeout
        self._batches = asyncio.Semaphore(_BATCHES)

    # -- reading: again until it works or the time is over ---------------------------------------

    async def stream_info(self, stream: str, **options: Any) -> dict[str, Any]:
        """Return STREAM.INFO, from the stream's leader. Raises JetStreamError, NotSent, NoAnswer."""
        return await self.ask(f"STREAM.INFO.{stream}", options)

    async def last(self, stream: str, subject: str) -> Stored | None:
        """Return the last message on ``subject``, wildcards allowed, as the leader knows it."""
        return await self._message(stream, {"last_by_subj": subject})

    async def following(self, stream: str, subject: str, seq: int) -> Stored | None:
        """Return the first message on ``subject`` from ``seq`` on, as the leader knows it."""
        return await self._message(stream, {"seq": seq, "next_by_subj": subject})

    async def _message(self, stream: str, query: dict[str, Any]) -> Stored | None:
        try:
            answer = await self.ask(f"STREAM.MSG.GET.{stream}", query)
        except JetStreamError as refused:
            if refused.code == MESSAGE_NOT_FOUND:
                return None
            raise
        return stored_in(answer)

    async def batch(
        self, stream: str, subject: str, seq: int, count: int, size: int = 0, *, once: bool = False
    ) -> tuple[list[Stored], int]:
        """Return up to ``count`` messages, or ``size`` bytes and one message, on ``subject`` from ``seq`` on.

        With them how many more there are behind the last one. Any replica may answer, so what the leader has
        may be missing at the end. One round trip, and no base64. Raises NotSent where the stream is missing
        or allows no direct get; asked ``once``, at once.
        """
        query = {"batch": count, "seq": seq, "next_by_subj": subject}
        if size:
            query["max_bytes"] = size
        payload = json.dumps(query).encode()
        subject = f"{self.prefix}.DIRECT.GET.{stream}"
        if once:
            return await self._batch(subject, payload, self.timeout)
        found: tuple[list[Stored], int] = await self._again(lambda left: self._batch(subject, payload, left))
        return found

    async def present(self, stream: str, subjects: list[str]) -> set[str]:
        """Return those of up to 1,024 subjects on which some replica has a message. Raises as ``batch``."""
        payload = json.dumps({"multi_last": subjects, "batch": len(subjects)}).encode()
        subject = f"{self.prefix}.DIRECT.GET.{stream}"
        found, _ = await self._again(lambda left: self._batch(subject, payload, left))
        return {message.subject for message in found}

    async def _batch(self, subject: str, payload: bytes, timeout: float) -> tuple[list[Stored], int]:
        try:
            async with asyncio.timeout(timeout):
                await self._batches.acquire()
        except TimeoutError:
            raise NoAnswer("too much is being read") from None
        try:
            return await self._batch_now(subject, payload, timeout)
        finally:
            self._batches.release()

    async def _batch_now(self, subject: str, payload: bytes, timeout: float) -> tuple[list[Stored], int]:
        link = self.link()
        arrived: list[Msg] = []
        ended: asyncio.Future[Msg | None] = asyncio.get_running_loop().create_future()
        deadline = asyncio.timeout(timeout)

        def take(message: Msg | None) -> None:
            # A deadline that has just passed can no longer be moved.
            if ended.done():
                return
            if message is None or "Status" in (message.headers or ()):
                ended.set_result(message)
            else:
                arrived.append(message)
                deadline.reschedule(loop.time() + self.timeout)

        loop = asyncio.get_running_loop()
        token = link.expect(take)
        try:
            async with deadline:
                await link.send(subject, payload, token)
                end = await ended
        except TimeoutError:
            raise NoAnswer(f"the answer on {subject} does not end") from None
        finally:
            link.forget(token)
        if end is None:
            raise NoAnswer("the connection was lost")
        status = status_of(end)
        if status == "404":
            return [], 0
        if status == "503":
            raise NotSent(f"nobody listens on {subject}")
        if status != "204":
            raise JetStreamError(int(status or 0), str((end.headers or {}).get("Description", "")))
        return [_stored(message) for message in arrived], int((end.headers or {}).get("Nats-Num-Pending", 0))

    async def ask(self, operation: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Return the answer of the API to a request that may be repeated."""
        answer: dict[str, Any] = await self._again(lambda left: self.do(operation, payload, left))
        return answer

    async def _again(self, attempt: Callable[[float], Any]) -> Any:
        deadline = time.monotonic() + self.timeout
        pause = _FIRST_PAUSE
        while True:
            try:
                # A leader that is just giving up its place answers nothing: ask again before it is too late.
                return await attempt(min(deadline - time.monotonic(), max(self.timeout / 4, _LEAST)))
            except (NotSent, NoAnswer, JetStreamError) as failure:
                if isinstance(failure, JetStreamError) and failure.code not in _TRANSIENT:
                    raise
                if time.monotonic() + pause > deadline:
                    raise
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE)

    # -- changing: once ---------------------------------------------------------------------------

    async def do(
        self, operation: str, payload: dict[str, Any], timeout: float | None = None
    ) -> dict[str, Any]:
        """Return the answer of the API, asked once. Raises JetStreamError, NotSent, NoAnswer."""
        request = json.dumps(payload).encode() if payload else b""
        seconds = self.timeout if timeout is None else timeout
        message = await self.link().request(f"{self.prefix}.{operation}", request, seconds)
        return checked(message.data)

    async def publish(self, subject: str, data: bytes, headers: Headers | None = None) -> int:
        """Store a message; return its sequence number.

        Raises JetStreamError; NotSent, also where no stream takes the subject; NoAnswer: it may be stored.
        """
        message = await self.link().request(subject, data, self.timeout, headers)
        return int(checked(message.data)["seq"])

    async def purge(self, stream: str, subject: str, *, below: int = 0) -> int:
        """Remove the messages on ``subject``, those under ``below`` where it is given; return how many."""
        query: dict[str, Any] = {"filter": subject}
        if below:
            query["seq"] = below
        return int((await self.do(f"STREAM.PURGE.{stream}", query)).get("purged", 0))


def stored_in(answer: dict[str, Any], *, bare: bool = False) -> Stored:
    """Return the message in an answer of STREAM.MSG.GET, ``bare`` without its headers."""
    found = answer["message"]
    return Stored(
        found["subject"],
        found["seq"],
        milliseconds(found["time"]),
        b64decode(found.get("data", "")),
        {} if bare else headers_in(b64decode(found.get("hdrs", ""))),
    )


def checked_sequence(message: Msg) -> int:
    """Return the sequence number that an acknowledgement tells. Raises JetStreamError, NotSent."""
    if status_of(message) == "503":
        raise NotSent("no stream takes the subject")
    return int(checked(message.data)["seq"])


def checked(data: bytes) -> dict[str, Any]:
    """Return an answer that is no refusal. Raises JetStreamError, NoAnswer."""
    try:
        answer: dict[str, Any] = json.loads(data)
    except ValueError:
        raise NoAnswer("the answer is no JSON") from None
    error = answer.get("error")
    if error is not None:
        raise JetStreamError(
            int(error.get("err_code") or error.get("code") or 0), error.get("description", "")
        )
    return answer


def _stored(message: Msg) -> Stored:
    return direct(message.headers or {}, message.data)


def direct(headers: Headers, data: bytes) -> Stored:
    """Return the message that an answer of DIRECT.GET is."""
    return Stored(
        headers["Nats-Subject"],
        int(headers["Nats-Sequence"]),
        milliseconds(headers["Nats-Time-Stamp"]),
        data,
        headers,
        int(headers.get("Nats-Num-Pending", 0)),
    )


def headers_in(raw: bytes) -> Headers:
    """Return the headers of a message as they are sent."""
    found = {}
    for line in raw.decode("utf-8", "replace").split("\r\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            found[name] = value.strip()
    return found
