"""One attempt to connect to one server of NATS: who we are, TLS, and nothing in clear that is secret.

nats-py by itself would try for ever, wait for a server that takes no bytes, send old messages to the next
one, read a damaged file of credentials without end, and go on in clear where a server says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nkeys
from nats import errors
from nats.aio.client import Client, RawCredentials

from s3shim.backends.nats.settings import NatsSettings

_TIMEOUT = 2
_PATIENCE = 1.0
_CREDENTIALS = re.compile(
    r"-----BEGIN NATS USER JWT-----\s+(\S+)\s.*-----BEGIN USER NKEY SEED-----\s+(\S+)\s", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Address:
    """A server. ``name`` is what its certificate is for, None for the host of the URL."""

    url: str
    name: str | None = None

    @property
    def place(self) -> str:
        """HOST:PORT, without what may be secret in the URL."""
        return urlsplit(self.url if "://" in self.url else f"nats://{self.url}").netloc.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a connection calls: ``lost`` when it has ended, ``leaving`` when its server is about to end it.

    ``error`` with what the server complains of; it goes on then.
    """

    lost: Callable[[], Awaitable[None]]
    leaving: Callable[[], Awaitable[None]]
    error: Callable[[Exception], Awaitable[None]]


class _Client(Client):
    """A client that ends at once where its connection does."""

    tls_only = False
    certified = False

    def _connect_command(self) -> bytes:
        # The next thing sent is a password.
        if self.tls_only and not self._server_info.get("tls_required"):
            raise errors.Error("the server does not ask for TLS, and nothing is sent to it in clear")
        if self._server_info.get("tls_verify") and not self.certified:
            raise errors.Error("the server asks for a certificate of the client's, and none is set")
        return super()._connect_command()

    async def _process_op_err(self, e: Exception) -> None:
        self.abort()
        await super()._process_op_err(e)

    def abort(self) -> None:
        """Drop what waits to be sent: who sent it is told that it was not."""
        self._pending = []
        self._pending_data_size = 0
        writer: asyncio.StreamWriter | None = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()


async def dial(settings: NatsSettings, address: Address, heard: Heard) -> Client:
    """Return a client that is connected. Raises whatever went wrong; it is tried once."""
    client = _Client()
    context = _tls(settings)
    client.tls_only, client.certified = context is not None, settings.tls_cert is not None
    opening = True

    async def failed(error: Exception) -> None:
        if opening:
            raise error
        await heard.error(error)

    try:
        await client.connect(
            servers=[address.url],
            error_cb=failed,
            disconnected_cb=heard.lost,
            lame_duck_mode_cb=heard.leaving,
            allow_reconnect=False,
            connect_timeout=_TIMEOUT,
            ping_interval=2,
            max_outstanding_pings=2,
            # Nothing is kept for later while there is no connection: it would happen unseen.
            pending_size=0,
            tls=context,
            tls_hostname=settings.tls_server_name or address.name,
            **_identity(settings),
        )
    except BaseException:
        client.abort()
        await hang_up(client)
        raise
    opening = False
    return client


async def hang_up(client: Client) -> None:
    """End a connection. What was sent goes out, if the server takes it at once."""
    closing = asyncio.ensure_future(client.close())
    try:
        await asyncio.wait({closing}, timeout=_PATIENCE)
    finally:
        if isinstance(client, _Client):
            client.abort()
        await asyncio.wait({closing}, timeout=_PATIENCE)
        if not closing.cancel() and not closing.cancelled():
            closing.exception()


def _identity(settings: NatsSettings) -> dict[str, Any]:
    """Return who we are; files are read now, and not when a half-written one happens to be there."""
    if settings.creds is not None:
        found = _CREDENTIALS.search(settings.creds.read_text("ascii", "replace") + "\n")
        if found is None:
            raise ValueError(f"{settings.creds} holds no credentials of a NATS user")
        _check_seed(settings.creds, found[2])
        text = "-----BEGIN NATS USER JWT-----\n{}\n-----BEGIN USER NKEY SEED-----\n{}\n".format(
            *found.groups()
        )
        return {"user_credentials": RawCredentials(text)}
    if settings.nkey is not None:
        seed = settings.nkey.read_text("ascii", "replace").strip()
        _check_seed(settings.nkey, seed)
        return {"nkeys_seed_str": seed}
    return {"user": settings.user, "password": settings.password, "token": settings.token}


def _check_seed(path: Path, seed: str) -> None:
    with contextlib.suppress(nkeys.NkeysError, ValueError, IndexError):
        nkeys.from_seed(bytearray(seed.encode()))
        return
    raise ValueError(f"{path} holds no seed of an nkey")


def _tls(settings: NatsSettings) -> ssl.SSLContext | None:
    secure = any(server.startswith(("tls://", "wss://")) for server in settings.servers)
    if not secure and settings.tls_ca is None and settings.tls_cert is None:
        return None
    context = ssl.create_default_context(cafile=None if settings.tls_ca is None else str(settings.tls_ca))
    if settings.tls_cert is not None:
        key = settings.tls_key or settings.tls_cert
        try:
            # OpenSSL would ask the terminal for a passphrase.
            context.load_cert_chain(str(settings.tls_cert), str(key), lambda: "")
        except ssl.SSLError as error:
            raise ValueError(f"{settings.tls_cert} and {key} cannot be used: {error}") from None
    return context
