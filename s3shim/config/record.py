"""What the settings come to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from s3shim.backends.nats.settings import NatsSettings
from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.config.parsers import Address
from s3shim.wire.hosts import ExternalUrl, Trusted

LOCAL, NATS, S3 = "local", "nats", "s3"
"""The storages that ``--backend`` names; the schemes of ``backends.BACKENDS``."""


class ConfigError(Exception):
    """A setting that is not known or has no good value; one line that names it."""


@dataclass(slots=True)
class Config:
    """Every setting, parsed. Sizes are bytes, times are seconds.

    ``nats`` and ``upstream`` are there where ``backend`` is nats or s3, ``leases`` where s3 takes leases.
    With ``embedded_nats``, the directory of a NATS server of ours, ``nats`` says nothing of servers and
    logins: see ``embedded``. ``secret_arguments`` are the values of flags that are secrets, or may hold one.
    """

    backend: str
    data: Path
    listen: Address
    workers: int
    threads: int
    credentials: Path
    region: str
    domains: tuple[str, ...]
    external_url: ExternalUrl | None
    trusted_proxies: Trusted
    inline_max: int
    block_size: int
    min_part_size: int
    max_put_size: int
    grace: int
    upload_expiry: int
    meta_header_case: str
    log_format: str
    log_level: str
    metrics_endpoint: bool
    stats_endpoint: bool
    header_timeout: float
    idle_timeout: float
    body_timeout: float
    request_timeout: float
    min_body_rate: int
    connections: int
    keepalive: int
    graceful_timeout: int
    behind_proxy: bool
    tls_cert: Path | None
    tls_key: Path | None
    allow_root: bool
    allow_unsafe_filesystem: bool
    server_header: str
    frame_options: str | None
    referrer_policy: str | None
    open_access: bool
    access_key: str | None
    secret_key: str | None = field(repr=False)
    embedded_nats: Path | None = None
    nats: NatsSettings | None = None
    upstream: UpstreamSettings | None = None
    leases: NatsSettings | None = None
    secret_arguments: tuple[str, ...] = field(default=(), repr=False)
