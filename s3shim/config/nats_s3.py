"""The flags of nats-s3, so that its command lines go on to work.

Each is a setting of ours under another name. nats-s3 is a Go program: its flags may have one dash or two, its
times are Go's durations, and its time-outs are those of Go's net/http.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction

from s3shim.config.record import ConfigError

LISTEN = "0.0.0.0:5222"
"""Where nats-s3 listens unless it is told."""

FLAGS = {
    "natsServers": "nats_servers",
    "natsUser": "nats_user",
    "natsPassword": "nats_password",
    "natsToken": "nats_token",
    "natsNKeyFile": "nats_nkey",
    "natsCredsFile": "nats_creds",
    "replicas": "nats_replicas",
    "s3.credentials": "credentials",
    "log.format": "log_format",
    "log.level": "log_level",
    "http.read-timeout": "body_timeout",
    "http.write-timeout": "request_timeout",
    "http.idle-timeout": "keepalive",
    "http.read-header-timeout": "header_timeout",
}
"""The name of our setting by that of the flag."""

HELP = "flags of nats-s3, with one dash or two, which choose --backend nats:\n" + "\n".join(
    f"  --{flag} X".ljust(32) + f"as --{name.replace('_', '-')}" for flag, name in FLAGS.items()
)

_READ_TIMEOUT = Fraction(15 * 60)  # seconds; nats-s3's own
_NO_LIMIT = Fraction(86400)  # where we have to have one
_UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "\u00b5s": Fraction(1, 10**6),
    "\u03bcs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(ns|us|\u00b5s|\u03bcs|ms|s|m|h)", re.ASCII)


def settings(flags: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield (flag, name, text) of our settings for ``flags`` as they were written; empty ones say nothing.

    Raises ConfigError for a time that is none.
    """
    written = {flag.lstrip("-"): flag for flag, text in flags.items() if text}
    read = _READ_TIMEOUT
    if "http.read-timeout" in written:
        read = _duration(flag := written["http.read-timeout"], flags[flag])
    for name, flag in written.items():
        text = flags[flag]
        if name.startswith("http."):
            text = _seconds(name, _duration(flag, text), read)
        yield flag, FLAGS[name], text


def _seconds(name: str, limit: Fraction, read: Fraction) -> str:
    """Return a time-out of net/http.Server as seconds of ours; 0 is no limit there, or the read time-out."""
    if name in ("http.idle-timeout", "http.read-header-timeout"):
        limit = limit or read or _NO_LIMIT
    if name == "http.idle-timeout":
        return str(math.ceil(limit))
    return f"{math.ceil(limit * 1000) / 1000:.3f}"


def _duration(flag: str, text: str) -> Fraction:
    """Return a duration as Go's time.ParseDuration reads it, in seconds."""
    if text == "0":
        return Fraction(0)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ConfigError(f"{flag} {text[:80]!r}: must be a duration such as 15m, 90s or 1m30s")
    return sum((Fraction(number) * _UNITS[unit] for number, unit in parts), Fraction(0))
