"""A canonical request in its parts, and the string to sign over it (Signature Version 4)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

from s3shim import signing

_FORM = re.compile(
    r"^(?P<method>[A-Z]+)\n(?P<path>/[^\n]*)\n(?P<query>[^\n]*)\n(?P<headers>(?:[^\s:]+:[^\n]*\n)+)\n"
    r"(?P<signed>[^\s:]+)\n(?P<payload>[0-9a-fA-F]{64}|UNSIGNED-PAYLOAD|STREAMING-[A-Z0-9-]+)$",
    re.MULTILINE,
)
_TEXT = re.compile(
    r"AWS4-HMAC-SHA256\n([0-9]{8}T[0-9]{6}Z)\n([0-9]{8})/([^/\s]{1,64})/([a-z0-9-]+)/aws4_request\n([0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Canonical:
    """The parts of a canonical request, each as it stands there; ``signed`` is the list of header names."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    signed: str
    payload: str

    @property
    def host(self) -> str:
        """The host that is signed, "" for none."""
        return dict(self.headers).get("host", "")

    def having(self, name: str, value: str) -> Canonical:
        """Return the same with another value of the header ``name``."""
        return replace(self, headers=tuple((n, value if n == name else v) for n, v in self.headers))

    def encoded(self) -> bytes:
        """Return the bytes that are hashed."""
        block = "".join([f"{name}:{value}\n" for name, value in self.headers])
        return signing.canonical_request(self.method, self.path, self.query, block, self.signed, self.payload)


class Scope(NamedTuple):
    """What a string to sign says besides the hash of the canonical request."""

    timestamp: str
    day: str
    region: str
    service: str

    def signature(self, secret: bytes, canonical: bytes) -> str:
        """Return the signature that ``secret`` gives over a canonical request."""
        scope = f"{self.day}/{self.region}/{self.service}/{signing.TERMINAL}"
        text = signing.string_to_sign(self.timestamp, scope, canonical)
        return signing.signature(signing.signing_key(secret, self.day, self.region, self.service), text)


def find_canonical(text: str) -> Canonical | None:
    """Return the last canonical request in ``text``."""
    found = None
    for match in _FORM.finditer(text):
        lines = [line.partition(":") for line in match["headers"].splitlines()]
        headers = tuple((name, value) for name, _, value in lines)
        found = Canonical(
            match["method"], match["path"], match["query"], headers, match["signed"], match["payload"]
        )
    return found


def find_scope(text: str) -> Scope | None:
    """Return the scope of the last string to sign in ``text``."""
    found = None
    for match in _TEXT.finditer(text):
        found = Scope(*match.groups()[:4])
    return found
