"""The two sides of a migration: a URL and flags, made a storage."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from s3shim.backends import open_backend
from s3shim.backends.base import Backend
from s3shim.cli.storages import Storage, storage_of
from s3shim.config import LOCAL, NATS, S3, SETTINGS, Config, ConfigError, Setting, load
from s3shim.config.opening import backend_settings
from s3shim.config.storages import OF_LEASES

FROM, TO = "from", "to"

FLAGS = tuple(
    setting
    for setting in SETTINGS
    if setting.flag and (setting.backends or setting.name in ("data", "upload_expiry"))
)
"""The settings of storages; that of each is a flag for both sides, ``--from-X`` and ``--to-X`` for one."""

_URLS = "local:DIR, nats://HOST:PORT, s3+http://HOST:PORT, s3+https://HOST, nats: or s3:"
_DATA = "directory of what a storage on other machines keeps here"


@dataclass(slots=True)
class Side:
    """One side: its settings, and what is to be done before it is opened."""

    config: Config
    storage: Storage

    @property
    def is_new(self) -> bool:
        """Whether it is a local store that is to be made."""
        return self.config.backend == LOCAL and not (self.config.data / "VERSION").exists()

    @contextmanager
    def opened(self) -> Iterator[Backend]:
        """Give the backend, started; an empty one for a store that has not been made.

        Raises StoreRefused, ConfigError.
        """
        if self.is_new:
            backend = open_backend("memory")
        else:
            backend = open_backend(self.config.backend, **backend_settings(self.config))
        backend.start()
        try:
            yield backend
        finally:
            backend.close()


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags of storages."""
    group = parser.add_argument_group("settings of the storages, as of s3shim serve")
    for setting in FLAGS:
        for prefix in ("", FROM, TO):
            described = argparse.SUPPRESS if prefix else _described(setting)
            option, name = _option(prefix, setting), _name(prefix, setting)
            if setting.is_switch:
                group.add_argument(option, dest=name, action="store_const", const="true", help=described)
            else:
                group.add_argument(option, dest=name, metavar="X", help=described)


def sides_of(asked: argparse.Namespace) -> tuple[Side, Side]:
    """Return source and destination. Raises ConfigError."""
    named = {FROM: _of_url("SRC", asked.source), TO: _of_url("DST", asked.destination)}
    backends = {prefix: backend for prefix, (backend, _) in named.items()}
    _check_belonging(asked, backends)
    source, destination = (
        load([f"--backend={backend}", *flags, *_flags(asked, prefix, backend)])
        for prefix, (backend, flags) in named.items()
    )
    if source.backend == destination.backend and source.data.resolve() == destination.data.resolve():
        if source.backend == LOCAL:
            raise ConfigError("SRC and DST are the same directory")
        raise ConfigError("SRC and DST are of one kind: give each its own --from-data and --to-data")
    return Side(source, storage_of(source)), Side(destination, storage_of(destination))


def _of_url(place: str, url: str) -> tuple[str, list[str]]:
    """Return the backend that a URL names, and what else it says as flags of s3shim serve."""
    scheme, _, rest = url.partition(":")
    if scheme == "local" and rest:
        return LOCAL, [f"--data={rest}"]
    if scheme == "nats" or (scheme == "nats+tls" and rest):
        return NATS, [f"--nats-servers={url.removeprefix('nats+')}"] if rest else []
    if scheme in ("s3+http", "s3+https"):
        return S3, [f"--upstream-endpoint={url.removeprefix('s3+')}"]
    if url == "s3:":
        return S3, []
    # It is not repeated: there may be a password in it.
    raise ConfigError(f"{place} must be {_URLS}")


def _check_belonging(asked: argparse.Namespace, backends: dict[str, str]) -> None:
    for setting in FLAGS:
        for prefix in ("", FROM, TO):
            places = [prefix] if prefix else [FROM, TO]
            given = getattr(asked, _name(prefix, setting)) is not None
            if given and not any(_belongs(asked, setting, place, backends[place]) for place in places):
                kinds = " and ".join(backends[place] for place in places)
                raise ConfigError(f"{_option(prefix, setting)} means nothing to {kinds}")


def _flags(asked: argparse.Namespace, prefix: str, backend: str) -> list[str]:
    flags = []
    for setting in FLAGS:
        text = getattr(asked, _name(prefix, setting))
        if text is None:
            text = getattr(asked, _name("", setting))
        if text is not None and _belongs(asked, setting, prefix, backend):
            flags.append(setting.option if setting.is_switch else f"{setting.option}={text}")
    return flags


def _belongs(asked: argparse.Namespace, setting: Setting, prefix: str, backend: str) -> bool:
    """Whether a setting means something to a side."""
    leases = getattr(asked, f"{prefix}_upstream_leases") or asked.upstream_leases
    if backend == S3 and setting.name in OF_LEASES and not leases:
        return False
    # The directory of a local store is in its URL.
    return backend in (setting.backends or (backend,)) and (backend, setting.name) != (LOCAL, "data")


def _name(prefix: str, setting: Setting) -> str:
    return f"{prefix}_{setting.name}" if prefix else setting.name


def _option(prefix: str, setting: Setting) -> str:
    return f"--{prefix}-{setting.option.removeprefix('--')}" if prefix else setting.option


def _described(setting: Setting) -> str:
    said = _DATA if setting.name == "data" else setting.help
    return f"{said} ({setting.variable})".replace("%", "%%")
