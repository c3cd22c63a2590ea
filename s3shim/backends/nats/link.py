"""One connection to NATS, with the inbox through which all its answers come.

nats-py connects, authenticates, reconnects and frames. Answers are given to whoever waits for them in the
reader itself: a subscription with a callback costs a queue and a change of tasks for each message.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from s3shim.backends.nats.failures import TOO_LARGE, JetStreamError, NoAnswer, NotSent

_REFUSED = (
    errors.ConnectionClosedError,
    errors.ConnectionDrainingError,
    errors.OutboundBufferLimitError,
    errors.ConnectionReconnectingError,
)

Handler = Callable[[Msg | None], None]
"""Takes an answer; None when the connection is lost, after which nothing comes any more."""


class Link:
    """A connected client. All methods belong to the loop that it was made in."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._prefix = f"_INBOX.{secrets.token_hex(11)}"
        self._skip = len(self._prefix) + 1
        self._waiting: dict[str, Handler] = {}
        self._next = 0

    async def open(self) -> None:
        """Subscribe the inbox. Raises what nats-py raises."""
        await self.client.subscribe(f"{self._prefix}.*", future=_Inbox(self._deliver))  # type: ignore[arg-type]

    @property
    def connected(self) -> bool:
        """Whether something can be sent now."""
        return self.client.is_connected

    @property
    def waiting(self) -> int:
        """How many answers are waited for."""
        return len(self._waiting)

    def expect(self, handler: Handler) -> str:
        """Return a token under which the next answers go to ``handler``, until ``forget``."""
        self._next += 1
        token = f"{self._next:x}"
        self._waiting[token] = handler
        return token

    def forget(self, token: str) -> None:
        """Drop what else comes for ``token``."""
        self._waiting.pop(token, None)

    async def send(
        self, subject: str, data: bytes, token: str, headers: dict[str, str] | None = None
    ) -> None:
        """Send a message whose answers come under ``token``. Raises NotSent, JetStreamError: not sent either.

        The answers may still come.
        """
        try:
            await self.client.publish(subject, data, f"{self._prefix}.{token}", headers)
        except _REFUSED as error:
            raise NotSent(str(error)) from None
        except errors.MaxPayloadError:
            raise JetStreamError(TOO_LARGE, "the server takes only smaller messages") from None

    async def request(
        self, subject: str, data: bytes, timeout: float, headers: dict[str, str] | None = None
    ) -> Msg:
        """Return the one answer. Raises NotSent, NoAnswer."""
        answer: asyncio.Future[Msg | None] = asyncio.get_running_loop().create_future()

        def take(message: Msg | None) -> None:
            if not answer.done():
                answer.set_result(message)

        token = self.expect(take)
        try:
            await self.send(subject, data, token, headers)
            async with asyncio.timeout(timeout):
                message = await answer
        except TimeoutError:
            raise NoAnswer(f"no answer on {subject} in {timeout} s") from None
        finally:
            self.forget(token)
        if message is None:
            raise NoAnswer("the connection was lost")
        if nobody_listens(message):
            raise NotSent(f"nobody listens on {subject}")
        return message

    def lose(self) -> None:
        """Tell everybody that waits that the connection is lost."""
        waiting, self._waiting = self._waiting, {}
        for handler in waiting.values():
            handler(None)

    def _deliver(self, message: Msg) -> None:
        handler = self._waiting.get(message.subject[self._skip :])
        if handler is not None:
            handler(message)


class _Inbox:
    """What nats-py takes for the future of a single answer; here each answer sets it anew."""

    __slots__ = ("set_result",)

    def __init__(self, deliver: Callable[[Msg], None]) -> None:
        self.set_result = deliver

    def cancelled(self) -> bool:
        """Never: there is always somebody who sorts the answers."""
        return False


def status_of(message: Msg) -> str:
    """Return the status of an answer without a body ("503"), empty where it has none."""
    headers: dict[str, Any] | None = message.headers
    return "" if headers is None else str(headers.get("Status", ""))


def nobody_listens(message: Msg) -> bool:
    """Whether the server says that there is no responder."""
    return not message.data and status_of(message) == "503"
