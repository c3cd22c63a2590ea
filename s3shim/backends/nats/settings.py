"""What the NATS storage is told: where the servers are, who we are, how streams are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class NatsSettings:
    """The settings of the storage; None and empty is "not given". Times are seconds.

    At most one of user and password, ``token``, ``nkey`` (a file with the seed) and ``creds`` (a file with
    JWT and seed). ``tls_cert`` and ``tls_key`` come together. ``index`` is the directory of the key index,
    a cache that all processes of this host share. ``domain`` and ``api_prefix`` exclude each other.
    """

    index: Path
    servers: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    nkey: Path | None = None
    creds: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_server_name: str | None = None
    domain: str | None = None
    api_prefix: str | None = None
    replicas: int = 1
    monitor: str | None = None
    account: str = "default"
    upload_expiry: int = 604_800
    grace: int = 60
    timeout: float = 5.0
