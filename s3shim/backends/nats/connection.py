"""The connection to NATS that there is now: made in the background, kept for ever, renewed when files change.

The process starts without one. Whoever needs one while there is none is refused at once. A rotated credential
or certificate makes a second connection; the first one ends once its requests have their answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import ssl
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from s3shim.backends.nats.failures import NotSent
from s3shim.backends.nats.link import Link
from s3shim.backends.nats.settings import NatsSettings

_PAUSES = (0.1, 2.0)
_LOOK = 1.0

log = logging.getLogger(__name__)


class Connection:
    """All methods but ``connected`` and ``reconnects`` belong to the loop."""

    def __init__(self, settings: NatsSettings) -> None:
        self.settings = settings
        self.reconnects = 0
        self.server: dict[str, Any] = {}
        self._link: Link | None = None
        self._files = [
            path
            for path in (settings.nkey, settings.creds, settings.tls_ca, settings.tls_cert, settings.tls_key)
            if path is not None
        ]
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connected(self) -> bool:
        """Whether requests can be sent now."""
        link = self._link
        return link is not None and link.connected

    def link(self) -> Link:
        """Return the connection to use. Raises NotSent where there is none."""
        link = self._link
        if link is None or not link.connected:
            raise NotSent("there is no connection to NATS")
        return link

    async def run(self) -> None:
        """Connect, and look after the connection, until cancelled."""
        seen = self._stamp()
        await self._connect_for_ever()
        while True:
            await asyncio.sleep(_LOOK)
            link = self._link
            if link is not None and link.client.is_closed:
                # nats-py gives up on some errors, such as a permission that was taken away.
                self._link = None
                await self._connect_for_ever()
            now = self._stamp()
            if now != seen and None not in now:
                seen = now
                await self._renew()

    async def close(self) -> None:
        """End the connection; what was sent is on its way."""
        link, self._link = self._link, None
        if link is not None:
            link.lose()
            await _quietly(link.client)
        for task in self._tasks:
            task.cancel()

    async def _connect_for_ever(self) -> None:
        pause, told = _PAUSES[0], False
        while self._link is None:
            try:
                self._link = await self._connect()
                return
            except (NatsError, OSError, ValueError, TimeoutError) as error:
                if not told:
                    log.warning("no connection to NATS yet: %s", _words(error))
                    told = True
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _PAUSES[1])

    async def _renew(self) -> None:
        try:
            fresh = await self._connect()
        except (NatsError, OSError, ValueError, TimeoutError) as error:
            log.warning(
                "the changed credentials or certificates do not work, the old ones stay: %s", _words(error)
            )
            return
        old, self._link = self._link, fresh
        log.info("connected to NATS with the changed credentials or certificates")
        if old is not None:
            task = asyncio.create_task(self._retire(old))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _retire(self, old: Link) -> None:
        for _ in range(600):
            if not old.waiting:
                break
            await asyncio.sleep(0.1)
        old.lose()
        await _quietly(old.client)

    async def _connect(self) -> Link:
        client = Client()
        link = Link(client)

        async def lost() -> None:
            link.lose()

        async def back() -> None:
            self.reconnects += 1
            log.info("connected to NATS again")

        async def told(error: Exception) -> None:
            log.debug("NATS: %s", _words(error))

        settings = self.settings
        await client.connect(
            servers=list(settings.servers),
            name=f"s3shim {os.getpid()}",
            error_cb=told,
            disconnected_cb=lost,
            reconnected_cb=back,
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            connect_timeout=2,
            reconnect_time_wait=0.2,  # type: ignore[arg-type]
            ping_interval=2,
            max_outstanding_pings=2,
            # Nothing is kept for later while there is no connection: it would happen unseen.
            pending_size=0,
            tls=_tls(settings),
            tls_hostname=settings.tls_server_name,
            user=settings.user,
            password=settings.password,
            token=settings.token,
            nkeys_seed=None if settings.nkey is None else str(settings.nkey),
            user_credentials=None if settings.creds is None else str(settings.creds),
        )
        try:
            await link.open()
        except BaseException:
            await _quietly(client)
            raise
        self.server = dict(client._server_info)
        return link

    def _stamp(self) -> list[tuple[int, int, int] | None]:
        return [_stamp_of(path) for path in self._files]


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        # What a symbolic link points to: Kubernetes exchanges the directory behind it.
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _tls(settings: NatsSettings) -> ssl.SSLContext | None:
    secure = any(server.startswith(("tls://", "wss://")) for server in settings.servers)
    if not secure and settings.tls_ca is None and settings.tls_cert is None:
        return None
    context = ssl.create_default_context(cafile=None if settings.tls_ca is None else str(settings.tls_ca))
    if settings.tls_cert is not None:
        context.load_cert_chain(
            str(settings.tls_cert), None if settings.tls_key is None else str(settings.tls_key)
        )
    return context


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def _quietly(client: Client) -> None:
    with contextlib.suppress(NatsError, OSError, asyncio.CancelledError):
        await client.close()
