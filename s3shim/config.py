"""Settings: flag, then environment, then default. The only module that reads the environment.

One table describes every setting; the flags, the environment names and the table in the
documentation all come from it. A flag ``--x-y`` is ``S3SHIM_X_Y`` in the environment.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from s3shim.wire.hosts import ExternalUrl, Trusted, bucket_of, parse_external_url, parse_trusted

PREFIX = "S3SHIM_"

_UNITS = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(r"([0-9]{1,18}) ?(|B|KiB|MiB|GiB|TiB)", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,9}", re.ASCII)
_DOMAIN = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_REGION = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)
_LISTEN = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", re.ASCII)
_REFERRER_POLICIES = (
    "no-referrer",
    "no-referrer-when-downgrade",
    "origin",
    "origin-when-cross-origin",
    "same-origin",
    "strict-origin",
    "strict-origin-when-cross-origin",
    "unsafe-url",
)


class ConfigError(Exception):
    """A setting that is not known or has no good value; one line that names it."""


class Address(NamedTuple):
    """Where to listen. ``host`` is a name or an address without brackets; port 0 is any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(slots=True)
class Config:
    """Every setting, parsed. Sizes are bytes, times are seconds."""

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
    log_format: str
    log_level: str
    header_timeout: float
    idle_timeout: float
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
    access_key: str | None
    secret_key: str | None


def _size(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        match = _SIZE.fullmatch(text)
        if not match or not low <= (size := int(match[1]) * _UNITS[match[2]]) <= high:
            raise ValueError(f"a size from {low} to {high} bytes, such as 65536, 64KiB or 5MiB")
        return size

    return parse


def _block_size(text: str) -> int:
    size = _size(4096, 64 * 2**20)(text)
    if size % 4096:
        raise ValueError("a multiple of 4096 bytes")
    return size


def _count(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not _COUNT.fullmatch(text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return parse


def _seconds(low: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not _SECONDS.fullmatch(text) or float(text) < low:
            raise ValueError(f"a number of seconds, at least {low:g}")
        return float(text)

    return parse


def _choice(*names: str, **synonyms: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        name = synonyms.get(text, text)
        if name not in names:
            raise ValueError("one of " + ", ".join(names))
        return name

    return parse


def _switch(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("one of true, false")


def _listen(text: str) -> Address:
    match = _LISTEN.fullmatch(text)
    if not match or int(match[3]) > 65535:
        raise ValueError("HOST:PORT or [IPV6]:PORT")
    return Address(match[1] or match[2], int(match[3]))


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise ValueError("a region such as us-east-1, or any")
    return text


def _domains(text: str) -> tuple[str, ...]:
    names = tuple(name.strip().lower() for name in text.split(","))
    if not all(_DOMAIN.fullmatch(name) for name in names):
        raise ValueError("host names such as s3.example.com, with commas between")
    return names


def _path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError("a path")
    return Path(text)


def _header(text: str) -> str:
    if not re.fullmatch(r"[!-~]([ -~]{0,126}[!-~])?", text):
        raise ValueError("1 to 128 visible ASCII characters")
    return text


def _access_key(text: str) -> str:
    # SigV4 puts the key into a list that these characters separate.
    if not re.fullmatch(r"[!-~]{3,128}", text) or any(character in text for character in "=,/"):
        raise ValueError("3 to 128 visible ASCII characters without = , /")
    return text


def _secret_key(text: str) -> str:
    if not re.fullmatch(r"[!-~]{8,256}", text):
        raise ValueError("8 to 256 visible ASCII characters")
    return text


@dataclass(slots=True, frozen=True)
class Setting:
    """One row of the table. ``default`` is text as a person would write it; None is "not set"."""

    name: str
    parse: Callable[[str], Any]
    default: str | None
    help: str
    flag: bool = True

    @property
    def option(self) -> str:
        """The flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The environment name."""
        return PREFIX + self.name.upper()


SETTINGS = (
    Setting("data", _path, "./data", "the directory that holds everything"),
    Setting("listen", _listen, "127.0.0.1:9000", "HOST:PORT or [IPV6]:PORT; port 0 takes a free one"),
    Setting("workers", _count(1, 256), "2", "processes that serve requests"),
    Setting("threads", _count(1, 256), "8", "requests at once in each of them"),
    Setting("credentials", _path, None, "JSON file of access keys; default DATA/credentials.json"),
    Setting("region", _region, "us-east-1", "region of the buckets; any accepts every one in a signature"),
    Setting("domains", _domains, None, "host names NAME for which BUCKET.NAME is the bucket, by commas"),
    Setting(
        "external_url",
        parse_external_url,
        None,
        "URL under which clients reach the service through a proxy that changes Host or takes a prefix away",
    ),
    Setting(
        "trusted_proxies",
        parse_trusted,
        None,
        "addresses and networks, by commas, whose X-Forwarded-* headers are believed; unix for a Unix socket",
    ),
    Setting("inline_max", _size(0, 2**20), "64KiB", "largest object that is kept in the index itself"),
    Setting("block_size", _block_size, "1MiB", "bytes under one checksum, verified on each read"),
    Setting("min_part_size", _size(1, 5 * 2**30), "5MiB", "smallest part of a multipart upload but the last"),
    Setting("max_put_size", _size(1, 5 * 2**40), "5GiB", "largest object in a single request"),
    Setting("grace", _count(0, 10**8), "3600", "seconds until the files of what was replaced are unlinked"),
    Setting(
        "upload_expiry",
        _count(0, 10**9),
        "604800",
        "seconds until an abandoned multipart upload is aborted; 0 is never",
    ),
    Setting("log_format", _choice("logfmt", "json"), "logfmt", "logfmt or json, to standard error"),
    Setting(
        "log_level",
        _choice("debug", "info", "warning", "error", warn="warning"),
        "info",
        "debug, info, warning or error",
    ),
    Setting("header_timeout", _seconds(0.1), "10", "seconds for a request head, from its first byte"),
    Setting("idle_timeout", _seconds(0.1), "60", "seconds without a byte moving in a body or an answer"),
    Setting("request_timeout", _seconds(0), "0", "seconds for a whole request; 0 is no limit"),
    Setting(
        "min_body_rate",
        _count(0, 10**9),
        "1024",
        "bytes per second, on the whole, that a body must come with after 30 seconds; 0 is no limit",
    ),
    Setting("connections", _count(1, 10**6), "8192", "open connections of each worker, idle ones too"),
    Setting("keepalive", _count(0, 86400), "20", "seconds to keep a connection without a request"),
    Setting("graceful_timeout", _count(0, 86400), "90", "seconds that running requests get at a stop"),
    Setting("behind_proxy", _switch, "false", "a proxy in front speaks TLS: no warning about plain HTTP"),
    Setting("tls_cert", _path, None, "PEM file of the certificate and its chain: HTTPS; needs the key"),
    Setting("tls_key", _path, None, "PEM file of the certificate's key; both are read again at SIGHUP"),
    Setting("allow_root", _switch, "false", "run as root without a warning"),
    Setting(
        "allow_unsafe_filesystem",
        _switch,
        "false",
        "serve from a network file system or FUSE, which may lose what was acknowledged",
    ),
    Setting("server_header", _header, "s3shim", "Server on every answer"),
    Setting("frame_options", _choice("DENY", "SAMEORIGIN"), None, "X-Frame-Options on every answer"),
    Setting("referrer_policy", _choice(*_REFERRER_POLICIES), None, "Referrer-Policy on every answer"),
    Setting("access_key", _access_key, None, "fixes the access key; needs the secret", flag=False),
    Setting("secret_key", _secret_key, None, "fixes the secret key; needs the access key", flag=False),
)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(message)


def parser(prog: str) -> argparse.ArgumentParser:
    """Return a parser of the flags; it raises ConfigError where argparse would exit."""
    made = _Parser(prog=prog, allow_abbrev=False, description="Serve S3 from a directory of this machine.")
    for setting in SETTINGS:
        if not setting.flag:
            continue
        described = f"{setting.help} ({setting.variable}{_shown_default(setting)})".replace("%", "%%")
        if setting.parse is _switch:
            made.add_argument(
                setting.option, dest=setting.name, action="store_const", const="true", help=described
            )
        else:
            made.add_argument(setting.option, dest=setting.name, metavar="X", help=described)
    return made


def _shown_default(setting: Setting) -> str:
    return "" if setting.default is None else f", default {setting.default}"


def load(
    argv: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
    prog: str = "s3shim serve",
) -> Config:
    """Return the settings of the flags ``argv`` (None: no flags) and ``environ`` (None: the process's).

    Raises ConfigError for an unknown name and for a bad value; secrets are not repeated in it.
    """
    environ = os.environ if environ is None else environ
    known = {setting.variable for setting in SETTINGS}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in known:
            raise ConfigError(f"unknown setting {name} in the environment")
    flags = vars(parser(prog).parse_args(list(argv or ())))
    values = {setting.name: _value(setting, flags.get(setting.name), environ) for setting in SETTINGS}
    for one, other in (("ACCESS_KEY", "SECRET_KEY"), ("TLS_CERT", "TLS_KEY")):
        if (values[one.lower()] is None) != (values[other.lower()] is None):
            raise ConfigError(f"{PREFIX}{one} and {PREFIX}{other} must be given together")
    values["domains"] = values["domains"] or ()
    values["trusted_proxies"] = values["trusted_proxies"] or Trusted()
    external = values["external_url"]
    if external is not None and bucket_of(external.host, values["domains"]):
        raise ConfigError(f"{PREFIX}EXTERNAL_URL is the URL of a bucket below one of {PREFIX}DOMAINS")
    if values["credentials"] is None:
        values["credentials"] = values["data"] / "credentials.json"
    return Config(**values)


def key_pair(environ: Mapping[str, str] | None = None) -> tuple[str, str] | None:
    """Return the key pair of the environment: that of s3shim, else that of AWS's clients; None for none."""
    environ = os.environ if environ is None else environ
    for access_key, secret_key in (
        (f"{PREFIX}ACCESS_KEY", f"{PREFIX}SECRET_KEY"),
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ):
        if environ.get(access_key) and environ.get(secret_key):
            return environ[access_key], environ[secret_key]
    return None


def _value(setting: Setting, flag: str | None, environ: Mapping[str, str]) -> Any:
    source, text = setting.option, flag
    if text is None:
        source, text = setting.variable, environ.get(setting.variable)
    if text is None:
        text = setting.default
    if text is None:
        return None
    try:
        return setting.parse(text)
    except ValueError as error:
        shown = f" {text[:80]!r}" if setting.flag else ""
        raise ConfigError(f"{source}{shown}: must be {error}") from None


def document() -> str:
    """Return the table of settings as Markdown rows."""
    rows = ["| Flag | Environment | Default | Meaning |", "|---|---|---|---|"]
    for setting in SETTINGS:
        flag = f"`{setting.option}`" if setting.flag else ""
        default = "" if setting.default is None else f"`{setting.default}`"
        rows.append(f"| {flag} | `{setting.variable}` | {default} | {setting.help} |")
    return "\n".join(rows) + "\n"
