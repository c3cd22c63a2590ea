"""Signature Version 4 as a client makes it, written down plainly; it shares no code with the server.

Header values and targets are latin-1 text, each character one byte.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from dataclasses import dataclass, field
from typing import Any

UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


@dataclass
class Draft:
    """A request before it is sent. A test may change any part of it after it was signed."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes | Any = b""
    extra: dict[str, Any] = field(default_factory=dict)

    def header(self, name: str) -> str:
        """Return the value of the first header of that name."""
        return next(value for spelled, value in self.headers if spelled.lower() == name.lower())

    def set(self, name: str, value: str | None) -> None:
        """Replace every header of that name by one, or by none."""
        self.headers = [line for line in self.headers if line[0].lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))


@dataclass
class Signer:
    """Signature Version 4, written down plainly."""

    access_key: str
    secret_key: str
    region: str = "us-east-1"
    service: str = "s3"

    def authorize(self, draft: Draft, stamp: str, payload: str, signed: list[str]) -> str:
        """Return the Authorization header for ``draft``."""
        signature = self.signature(draft, stamp, payload, signed)
        return (
            f"AWS4-HMAC-SHA256 Credential={self.access_key}/{self.scope(stamp)}, "
            f"SignedHeaders={';'.join(signed)}, Signature={signature}"
        )

    def scope(self, stamp: str) -> str:
        """Return the credential scope."""
        return f"{stamp[:8]}/{self.region}/{self.service}/aws4_request"

    def signature(self, draft: Draft, stamp: str, payload: str, signed: list[str]) -> str:
        """Return the signature in hex."""
        canonical = self.canonical_request(draft, payload, signed)
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{self.scope(stamp)}\n{hashlib.sha256(canonical).hexdigest()}"
        key = ("AWS4" + self.secret_key).encode()
        for part in (stamp[:8], self.region, self.service, "aws4_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def canonical_request(self, draft: Draft, payload: str, signed: list[str]) -> bytes:
        """Return the canonical request over the raw target of ``draft``."""
        target = re.sub(r"^[A-Za-z]+://[^/?#]*", "", draft.target) or "/"
        path, _, query = target.partition("?")
        values: dict[str, list[str]] = {}
        for name, value in draft.headers:
            values.setdefault(name.lower(), []).append(re.sub(r"[ \t]+", " ", value.strip(" \t")))
        lines = "".join(f"{name}:{','.join(values.get(name, []))}\n" for name in signed)
        parts = [draft.method, encoded(path, slash=True), _query(query), lines, ";".join(signed), payload]
        return "\n".join(parts).encode("latin-1")


def encoded(raw: str, *, slash: bool) -> str:
    """Return raw text with every byte in its canonical form; a stray ``%`` stands for itself."""
    out = []
    for unit in re.findall(r"%[0-9A-Fa-f]{2}|.", raw, re.DOTALL):
        byte = int(unit[1:], 16) if len(unit) == 3 else ord(unit)
        plain = byte in UNRESERVED or (slash and unit == "/")
        out.append(chr(byte) if plain else f"%{byte:02X}")
    return "".join(out)


def _query(raw: str) -> str:
    pairs = []
    for item in raw.split("&"):
        name, _, value = item.partition("=")
        if item and encoded(name, slash=False) != "X-Amz-Signature":
            pairs.append((encoded(name, slash=False), encoded(value, slash=False)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def stamp(moment: float | None = None) -> str:
    """Return seconds since the epoch (None: now) as x-amz-date writes them."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() if moment is None else moment))
