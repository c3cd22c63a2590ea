"""The values of settings: text as a person writes it, in; what the service works with, out.

Each parser raises ValueError with what the text must be, for a sentence that begins "must be". None of them
repeats the text: it may be a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(r"([0-9]{1,18}) ?(|B|KiB|MiB|GiB|TiB)", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_REGION = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_LISTEN = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]*)):([0-9]{1,5})", re.ASCII)
_ACCOUNT = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_EVERYWHERE = "0.0.0.0"

HIGHEST_PORT = 65535


class Address(NamedTuple):
    """Where to listen. ``host`` is a name or an address without brackets; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def size(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of sizes from ``low`` to ``high`` bytes."""

    def parse(text: str) -> int:
        match = _SIZE.fullmatch(text)
        if not match or not low <= (found := int(match[1]) * _UNITS[match[2]]) <= high:
            raise ValueError(f"a size from {low} to {high} bytes, such as 65536, 64KiB or 5MiB")
        return found

    return parse


def block_size(text: str) -> int:
    """Return the size of a block: whole pages, 64 MiB at most."""
    found = size(4096, 64 * 2**20)(text)
    if found % 4096:
        raise ValueError("a multiple of 4096 bytes")
    return found


def count(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from ``low`` to ``high``."""

    def parse(text: str) -> int:
        if not _COUNT.fullmatch(text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def seconds(low: float) -> Callable[[str], float]:
    """Return a parser of seconds, ``low`` or more."""

    def parse(text: str) -> float:
        if not _SECONDS.fullmatch(text) or float(text) < low:
            raise ValueError(f"a number of seconds, at least {low:g}")
        return float(text)

    return parse


def choice(*names: str, **synonyms: str) -> Callable[[str], str]:
    """Return a parser of one of ``names``; ``synonyms`` maps others to them."""

    def parse(text: str) -> str:
        name = synonyms.get(text, text)
        if name not in names:
            raise ValueError("one of " + ", ".join(names))
        return name

    return parse


def switch(text: str) -> bool:
    """Return whether it is on."""
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("one of true, false")


def either(text: str) -> bool:
    """Return whether it is on, where the flag takes a value because it is on by default."""
    try:
        return switch(text)
    except ValueError:
        raise ValueError("one of on, off") from None


def listen(text: str) -> Address:
    """Return where to listen; without a host, at every IPv4 address of this machine."""
    match = _LISTEN.fullmatch(text)
    if not match or int(match[3]) > HIGHEST_PORT:
        raise ValueError("HOST:PORT, [IPV6]:PORT or :PORT")
    return Address(match[1] or match[2] or _EVERYWHERE, int(match[3]))


def region(text: str) -> str:
    """Return the name of a region."""
    if not _REGION.fullmatch(text):
        raise ValueError("a region such as us-east-1, or any")
    return text


def upstream_region(text: str) -> str:
    """Return the name of the region that requests are signed for."""
    if not _REGION.fullmatch(text):
        raise ValueError("a region such as us-east-1 or garage")
    return text


def domains(text: str) -> tuple[str, ...]:
    """Return host names, in lower case."""
    names = tuple(name.strip().lower() for name in text.split(","))
    if not all(_DOMAIN.fullmatch(name) for name in names):
        raise ValueError("host names such as s3.example.com, with commas between")
    return names


def host_name(text: str) -> str:
    """Return one host name, in lower case."""
    if not _DOMAIN.fullmatch(text.lower()):
        raise ValueError("a host name such as nats.example.com")
    return text.lower()


def path(text: str) -> Path:
    """Return the path of a file or a directory."""
    if not text or "\0" in text:
        raise ValueError("a path")
    return Path(text)


def header(text: str) -> str:
    """Return the value of a header."""
    if not re.fullmatch(r"[!-~]([ -~]{0,126}[!-~])?", text):
        raise ValueError("1 to 128 visible ASCII characters")
    return text


def access_key(text: str) -> str:
    """Return an access key of this service."""
    # SigV4 puts the key into a list that these characters separate.
    if not re.fullmatch(r"[!-~]{3,128}", text) or any(character in text for character in "=,/"):
        raise ValueError("3 to 128 visible ASCII characters without = , /")
    return text


def secret_key(text: str) -> str:
    """Return a secret key of this service."""
    if not re.fullmatch(r"[!-~]{8,256}", text):
        raise ValueError("8 to 256 visible ASCII characters")
    return text


def account(text: str) -> str:
    """Return the name of an account."""
    if not _ACCOUNT.fullmatch(text):
        raise ValueError("1 to 64 of A-Z a-z 0-9 . _ -")
    return text


def secret(most: int) -> Callable[[str], str]:
    """Return a parser of a login's part for another service: up to ``most`` characters, none of control."""

    def parse(text: str) -> str:
        if not 0 < len(text) <= most or not text.isprintable():
            raise ValueError(f"1 to {most} printable characters")
        return text

    return parse
