"""What the facade is told of the S3 behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from s3shim.backends.upstream.dialect import PROFILES


@dataclass(slots=True)
class UpstreamSettings:
    """The settings of the storage; None is "not given". Times are seconds, sizes bytes.

    ``endpoint`` has a scheme, which decides on TLS, and no path. The key pair comes from the first that has
    one: ``access_key`` and ``secret_key``, ``credentials`` (a file with both, read again when it changes),
    ``profile`` of the AWS configuration. With ``bucket`` every bucket of ours is a prefix of that one;
    without it what s3shim keeps of its own lies in the bucket ``records``, which clients never see. Bodies
    up to ``block_size`` are sent in one request that can be repeated. With ``leases`` the gateways of all
    machines keep out of each other's way, as long as none of them pauses for longer than ``lease_time``.
    """

    endpoint: str
    state: Path
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    credentials: Path | None = None
    profile: str | None = None
    path_style: bool = True
    ca: Path | None = None
    bucket: str | None = None
    prefix: str = ""
    records: str = "s3shim-records"
    dialect: str = "auto"
    connections: int = 32
    connect_timeout: float = 3.0
    first_byte_timeout: float = 30.0
    idle_timeout: float = 60.0
    deadline: float = 60.0
    attempts: int = 4
    block_size: int = 1024**2
    leases: bool = False
    lease_time: float = 5.0
    account: str = "default"
    upload_expiry: int = 604_800

    def winners(self, conditions: bool) -> str:
        """Return among whom conditional writes have one winner; ``conditions``: that S3 honours them."""
        if self.leases:
            return (
                "exact across machines, while no gateway pauses for longer than its lease of "
                f"{self.lease_time:g} s"
            )
        if conditions:
            return f"exact on one machine, and across machines up to {self.block_size} bytes"
        return "exact on one machine"

    def check(self) -> None:
        """Raise ValueError, with what to do about it, for the first setting that cannot be used."""
        parts = urlsplit(self.endpoint)
        if parts.scheme not in ("http", "https"):
            raise ValueError(f"the upstream endpoint {self.endpoint!r} must begin with http:// or https://")
        if not parts.hostname:
            raise ValueError(f"the upstream endpoint {self.endpoint!r} names no host")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(
                f"the upstream endpoint {self.endpoint!r} must have no path; a prefix of keys is a "
                "setting of its own"
            )
        if parts.username or parts.password:
            raise ValueError("the key pair does not belong in the upstream endpoint")
        if not self.region:
            raise ValueError("the upstream region is empty; Garage's is the s3_region of its configuration")
        if (self.access_key is None) != (self.secret_key is None):
            missing = "secret key" if self.secret_key is None else "access key"
            raise ValueError(f"the upstream {missing} is missing: both of the pair are needed")
        if not (self.access_key or self.credentials or self.profile):
            raise ValueError("the upstream needs a key pair: as settings, in a file, or an AWS profile")
        if re.search(r"//|^\s|\s$|\0", self.prefix):
            raise ValueError(
                f"the upstream prefix {self.prefix!r} has an empty segment or blanks at its ends"
            )
        if self.bucket == "" or not self.records:
            raise ValueError("the name of an upstream bucket is empty")
        if self.dialect != "auto" and self.dialect not in PROFILES:
            known = ", ".join(sorted(PROFILES))
            raise ValueError(f"unknown upstream dialect {self.dialect!r}; known are auto, {known}")
        if self.attempts < 1 or self.block_size < 1:
            raise ValueError("upstream attempts and block size are at least 1")
        if self.lease_time <= 0:
            raise ValueError("a lease holds for some time")
