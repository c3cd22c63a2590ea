"""The connection to NATS that there is now: made in the background, for ever, renewed when files change.

The process starts without one. Whoever needs one while there is none is refused at once. A rotated credential
or certificate makes a second connection; the first one ends once its requests have their answers. So does the
word of a server that it is about to stop.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nats.aio.client import Client

from s3shim.backends.nats.dial import Address, Heard, dial, hang_up
from s3shim.backends.nats.failures import NotSent
from s3shim.backends.nats.format import CHUNK_SIZE
from s3shim.backends.nats.link import Link
from s3shim.backends.nats.settings import NatsSettings

_PAUSES = (0.1, 2.0)
_STABLE = 10.0
_LOOK = 0.1
_LOOK_AT_FILES = 1.0
_RETRY = 10.0
_AGAIN = 60.0
_HEADERS = 4096
_LAST_ANSWERS = 60.0
_STAYS = "no new connection to NATS, the old one stays"

log = logging.getLogger(__name__)


class NoConnection(Exception):
    """No server took us; its text says why, of each."""


class Connection:
    """All methods but ``connected`` and ``waiting`` belong to the loop.

    ``connections`` were made so far, ``failures`` are attempts to.
    """

    def __init__(self, settings: NatsSettings) -> None:
        self.settings = settings
        self.connections = 0
        self.failures = 0
        # nats-py, and wait_for, may take a cancellation for something else.
        self.ending = False
        self.server: dict[str, Any] = {}
        self._link: Link | None = None
        self._others: list[Address] = []
        self._leaving: Link | None = None
        self._files = [
            path
            for path in (settings.nkey, settings.creds, settings.tls_ca, settings.tls_cert, settings.tls_key)
            if path is not None
        ]
        self._used: list[tuple[int, int, int] | None] = []
        self._tried: list[tuple[int, int, int] | None] = []
        self._retry = 0.0
        self._look = 0.0
        self._told: dict[str, float] = {}
        self._since = 0.0
        self._pause = _PAUSES[0]
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connected(self) -> bool:
        """Whether requests can be sent now."""
        link = self._link
        return link is not None and link.connected

    @property
    def waiting(self) -> int:
        """How many answers are waited for."""
        link = self._link
        return 0 if link is None else link.waiting

    def link(self) -> Link:
        """Return the connection to use. Raises NotSent where there is none."""
        link = self._link
        if link is None or not link.connected:
            raise NotSent("there is no connection to NATS")
        return link

    async def run(self) -> None:
        """Connect, and look after the connection, until cancelled and told ``ending``."""
        while not self.ending:
            try:
                await self._turn()
            except Exception:
                # Without this there would be no connection any more, and nobody would know.
                log.exception("looking after the connection to NATS has failed")
            await asyncio.sleep(_LOOK)

    async def close(self) -> None:
        """End the connection; what was sent is on its way."""
        self.ending = True
        link, self._link = self._link, None
        for task in self._tasks:
            task.cancel()
        if link is not None:
            link.lose()
            await hang_up(link.client)

    async def _turn(self) -> None:
        link = self._link
        if link is None or not link.connected:
            if link is not None:
                self._drop(link)
                await self._wait()
            await self._connect_for_ever()
        elif time.monotonic() >= self._look:
            self._look = time.monotonic() + _LOOK_AT_FILES
            self._remember_others(link.client)
            stamp = self._stamp()
            changed = stamp != self._used or self._leaving is link
            if changed and (stamp != self._tried or time.monotonic() >= self._retry):
                self._tried, self._retry = stamp, time.monotonic() + _RETRY
                await self._renew(link, stamp)

    def _drop(self, link: Link) -> None:
        self._link = None
        if time.monotonic() - self._since > _STABLE:
            self._pause = _PAUSES[0]
            self._told.clear()
        self.warn("the connection to NATS was lost", _words(link.client.last_error))
        self._remember_others(link.client)
        link.lose()
        self._later(hang_up(link.client))

    async def _connect_for_ever(self) -> None:
        while self._link is None and not self.ending:
            stamp = self._stamp()
            try:
                self._link = await self._connect()
            except NoConnection as failure:
                self.failures += 1
                self.warn("no connection to NATS", str(failure))
                await self._wait()
            else:
                self._used = stamp

    async def _wait(self) -> None:
        """Wait a little, and longer each time until a connection has lasted."""
        await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))
        self._pause = min(self._pause * 2, _PAUSES[1])

    async def _renew(self, old: Link, stamp: list[tuple[int, int, int] | None]) -> None:
        avoided = self.server.get("place") if self._leaving is old else None
        try:
            fresh = await self._connect(avoided)
        except NoConnection as failure:
            self.warn(_STAYS, str(failure))
            return
        self._link, self._used = fresh, stamp
        self._told.pop(_STAYS, None)
        self._later(self._retire(old))

    async def _retire(self, old: Link) -> None:
        end = time.monotonic() + _LAST_ANSWERS
        while old.waiting and old.connected and time.monotonic() < end:
            await asyncio.sleep(0.1)
        old.lose()
        await hang_up(old.client)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- one connection -------------------------------------------------------------------------

    async def _connect(self, avoided: str | None = None) -> Link:
        """Return a connection to the first server that takes us. Raises NoConnection."""
        failures = {}
        for address in self._addresses(avoided):
            try:
                return await self._connect_to(address)
            except Exception as error:
                failures[address.place] = _words(error)
        raise NoConnection("; ".join(f"{place}: {failures[place]}" for place in sorted(failures)))

    async def _connect_to(self, address: Address) -> Link:
        link: Link | None = None

        async def lost() -> None:
            if link is not None:
                link.lose()

        async def leaving() -> None:
            self._leaving = link

        async def complain(error: Exception) -> None:
            if "permissions violation" in str(error).lower():
                self.warn("NATS refuses something", _words(error))
            else:
                log.debug("NATS: %s", _words(error))

        client = await dial(self.settings, address, Heard(lost, leaving, complain))
        try:
            link = Link(client)
            await link.open()
        except BaseException:
            await hang_up(client)
            raise
        if client.max_payload < CHUNK_SIZE + _HEADERS:
            self.warn(f"{address.place} takes only small messages", f"max_payload is {client.max_payload}")
        self.server = dict(client._server_info) | {"place": address.place}
        self.connections += 1
        self._since = time.monotonic()
        log.info("connected to NATS at %s", address.place)
        return link

    def _addresses(self, avoided: str | None) -> list[Address]:
        """Return the servers in the order to be tried: those that we were told, then those they told of."""
        told = [Address(url) for url in self.settings.servers]
        known = {address.place for address in told}
        others = [address for address in self._others if address.place not in known]
        random.shuffle(told)
        random.shuffle(others)
        return sorted([*told, *others], key=lambda address: address.place == avoided)

    def _remember_others(self, client: Client) -> None:
        """Remember the other servers of the cluster, with the password and the name that this one has."""
        here = client.connected_url or urlsplit("")
        user, at, _ = here.netloc.rpartition("@")
        for uri in client.discovered_servers:
            address = Address(f"{uri.scheme}://{user}{at}{uri.netloc}", _name(uri.hostname, here.hostname))
            if address not in self._others:
                self._others = [*self._others[-63:], address]

    # -- files and words ------------------------------------------------------------------------

    def _stamp(self) -> list[tuple[int, int, int] | None]:
        return [_stamp_of(path) for path in self._files]

    def warn(self, what: str, why: str) -> None:
        """Log a warning; ``what`` at most once a minute, whatever the reasons are."""
        now = time.monotonic()
        if now >= self._told.get(what, 0.0):
            self._told[what] = now + _AGAIN
            log.warning("%s: %s", what, why)


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        # What a symbolic link points to: Kubernetes exchanges the directory behind it.
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _name(host: str | None, current: str | None) -> str | None:
    """Return the name on the certificate of a server that another one told of by its number."""
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return None
    return current


def _words(error: BaseException | None) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
