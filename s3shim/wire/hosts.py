"""The service as its clients see it, when a proxy stands between: scheme, host, path and their address.

A signature covers host and path as the client sent them. There is one form of both for each request, found
from the settings and from headers of trusted proxies, never from trying which form a signature fits; bucket
and key are read from the same form.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple

from s3shim.errors import Code, S3Error

HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?", re.ASCII)
UNIX = "unix"
"""Stands among trusted proxies for whoever connects through a Unix socket."""

_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9._~!$&'()*+;=:@-]|%[0-9A-Fa-f]{2})+)*/?", re.ASCII)
_URL = re.compile(r"(https?)://([^/?#]+)(/[^?#]*)?")
_SCHEME = re.compile("https?")
_WITH_PORT = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::[0-9]+)?|([0-9.]+):[0-9]+", re.ASCII)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Get = Callable[[str], str | None]
"""Returns the value of a header by its lower-case name."""


class ExternalUrl(NamedTuple):
    """Where clients reach the service. ``path`` is "" or that of the URL as it was written."""

    scheme: str
    host: str
    path: str


class Seen(NamedTuple):
    """What a client has addressed: ``host`` and the whole ``path`` are what it has signed."""

    scheme: str
    host: str
    path: str


class Trusted(NamedTuple):
    """The proxies whose headers are believed."""

    networks: tuple[Network, ...] = ()
    unix: bool = False


def parse_external_url(text: str) -> ExternalUrl:
    """Read the setting. Raises ValueError, which says what it must be."""
    match = _URL.fullmatch(text)
    if not match or not HOST.fullmatch(match[2]) or not _PREFIX.fullmatch(match[3] or ""):
        raise ValueError("a URL such as https://s3.example.com or https://example.com:8443/store/")
    return ExternalUrl(match[1], match[2], "" if match[3] in (None, "/") else match[3])


def parse_trusted(text: str) -> Trusted:
    """Read the setting. Raises ValueError, which says what it must be."""
    names = [name.strip() for name in text.split(",")]
    try:
        networks = [ipaddress.ip_network(name) for name in names if name != UNIX]
    except ValueError:
        raise ValueError("addresses or networks such as 10.0.0.7, 10.1.0.0/16 or unix, with commas") from None
    return Trusted(tuple(networks), UNIX in names)


def bucket_of(host: str, domains: tuple[str, ...]) -> str:
    """Return the bucket that ``host`` names below one of ``domains``, "" for none."""
    name = host.lower()
    if not name.startswith("["):
        name = name.partition(":")[0].removesuffix(".")
    for domain in domains:
        if name.endswith("." + domain):
            return name[: -len(domain) - 1]
    return ""


class Proxies:
    """What is known of the proxies in front.

    ``external`` holds for what comes from a trusted proxy; where none is trusted, for everything. Its path
    belongs to its host, whoever names that.
    """

    def __init__(self, external: ExternalUrl | None, trusted: Trusted) -> None:
        self._external = external
        self._trusted = trusted

    def remote_ip(self, peer: str, get: Get) -> str:
        """Return the client's address: from the right of X-Forwarded-For, the first that is not trusted."""
        found = peer
        if self._trusts(peer):
            for entry in reversed((get("x-forwarded-for") or "").split(",")):
                address = _address(entry.strip(" \t"))
                if address is None:
                    break
                found = str(address)
                if not self._holds(address):
                    break
        return found

    def seen(self, peer: str, get: Get, scheme: str, host: str, path: str, domains: tuple[str, ...]) -> Seen:
        """Return what the client has addressed, where ``scheme``, ``host`` and ``path`` have arrived here.

        ``path`` has lost the path of the external URL. Raises InvalidRequest for a header of a trusted proxy
        that is not valid.
        """
        trusted = self._trusts(peer)
        external = self._external
        if external is not None and (trusted or self._trusted == Trusted()):
            scheme = external.scheme
            host = _host_with_port_of(host, external.host) if bucket_of(host, domains) else external.host
        prefix = ""
        if trusted:
            scheme = _last(get, "x-forwarded-proto", _SCHEME) or scheme
            host = _last(get, "x-forwarded-host", HOST) or host
            prefix = _last(get, "x-forwarded-prefix", _PREFIX)
        # The host decides whether there is a prefix, and nothing that could come from a client does: so what
        # is signed, host and path, decides which bucket and key are meant.
        known = external.path if external is not None and host == external.host else ""
        if prefix.rstrip("/") not in ("", known.rstrip("/")):
            raise S3Error(
                Code.InvalidRequest,
                "The proxy's header x-forwarded-prefix is not the path of --external-url.",
                Header="x-forwarded-prefix",
            )
        if path == "/":
            # The path of the service, whether the client's ended with a slash or not.
            return Seen(scheme, host, known or path)
        return Seen(scheme, host, known.removesuffix("/") + path)

    def _trusts(self, peer: str) -> bool:
        if not peer:
            return self._trusted.unix
        address = _address(peer)
        return address is not None and self._holds(address)

    def _holds(self, address: Address) -> bool:
        return any(address in network for network in self._trusted.networks)


def _last(get: Get, name: str, form: re.Pattern[str]) -> str:
    """Return the last value of a header, that of the proxy next to us, "" where there is none."""
    value = (get(name) or "").rpartition(",")[2].strip(" \t")
    if value and not form.fullmatch(value):
        raise S3Error(Code.InvalidRequest, f"The proxy's header {name} is not valid.", Header=name)
    return value


def _host_with_port_of(host: str, other: str) -> str:
    # Of "[::1]:80" what follows the bracket, of "name:80" what follows the name.
    return host.partition(":")[0] + "".join(other.rpartition("]")[2].partition(":")[1:])


def _address(text: str) -> Address | None:
    match = _WITH_PORT.fullmatch(text)
    try:
        address = ipaddress.ip_address((match[1] or match[2]) if match else text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
