"""What the facade is told of the S3 behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class UpstreamSettings:
    """The settings of the storage; None is "not given". Times are seconds, sizes bytes.

    ``endpoint`` has a scheme, which decides on TLS, and no path. The key pair comes from the first that has
    one: ``access_key`` and ``secret_key``, ``credentials`` (a file with both, read again when it changes),
    ``profile`` of the AWS configuration. With ``bucket`` every bucket of ours is a prefix of that one.
    """

    endpoint: str
    state: Path
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = None
    session_token: str | None = None
    credentials: Path | None = None
    profile: str | None = None
    path_style: bool = True
    ca: Path | None = None
    bucket: str | None = None
    prefix: str = ""
    dialect: str = "auto"
    connections: int = 32
    connect_timeout: float = 3.0
    first_byte_timeout: float = 30.0
    idle_timeout: float = 60.0
    attempts: int = 4
    block_size: int = 1024**2
    account: str = "default"
    leases: str | None = None
    upload_expiry: int = 604_800
