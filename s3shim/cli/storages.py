"""What the master does for a storage before there are workers, an object for each kind of storage."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from s3shim.backends.local import layout
from s3shim.backends.local.isolation import Killed, in_child
from s3shim.backends.local.layout import StoreRefused
from s3shim.backends.local.mounts import file_system, is_unsafe, mounts_of_now, warning
from s3shim.backends.local.sweep import sweep
from s3shim.backends.nats.durability import announce
from s3shim.cli.embedded import EmbeddedNats, embedded_nats
from s3shim.config import Config
from s3shim.config.embedded import nats_settings

T = TypeVar("T")

_NATS_FILES = ("nkey", "creds", "tls_ca", "tls_cert", "tls_key")
_UPSTREAM_FILES = ("credentials", "ca")

log = logging.getLogger(__name__)


class Storage(ABC):
    """A storage while the server starts and stops; ``beside`` is what runs beside the server for it.

    Methods raise StoreRefused.
    """

    beside: EmbeddedNats | None = None

    @abstractmethod
    def prepare(self) -> None:
        """Make what the workers need, or refuse it; the credentials file is not there yet."""

    @abstractmethod
    def sweep(self) -> dict[str, Any]:
        """Remove what a crash has left; return what the log is to say of it."""

    def inspect(self) -> None:
        """Refuse what cannot be read, as ``prepare`` does; makes no store and takes no lock."""
        self.prepare()

    def start(self) -> None:
        """Start what runs beside the server; the last thing before there are workers."""
        if self.beside is not None:
            self.beside.start()

    def watch(self) -> None:
        """Keep that running; called when gunicorn's own handlers of signals are set."""
        if self.beside is not None:
            self.beside.watch()

    def stop(self) -> None:
        """Stop it, after the last worker."""
        if self.beside is not None:
            self.beside.stop()


class LocalStorage(Storage):
    """The store in the data directory. Keeps its lock until this process and all its workers end."""

    def __init__(self, config: Config) -> None:
        self._root = config.data
        self._allow_unsafe = config.allow_unsafe_filesystem
        self._lock: int | None = None

    def prepare(self) -> None:
        """See Storage."""
        self._check_file_system()
        self._guarded(layout.prepare)
        self._lock = layout.lock(self._root)

    def sweep(self) -> dict[str, Any]:
        """See Storage."""
        return {"removed_files": self._guarded(sweep)}

    def inspect(self) -> None:
        """See Storage."""
        layout.check_version(self._root)
        self._guarded(layout.prepare)

    def _check_file_system(self) -> None:
        """Refuse what cannot hold a store; warn of what may not keep it."""
        root = self._root.resolve()
        mounts = mounts_of_now()
        for kind in sorted({file_system(path, mounts) for path in (root, root / "meta", root / "blobs")}):
            if is_unsafe(kind) and not self._allow_unsafe:
                raise StoreRefused(
                    f"{self._root} is on a file system of type {kind}, which cannot be trusted to keep a "
                    "store; --allow-unsafe-filesystem serves from it all the same"
                )
            told = warning(kind)
            if told is not None:
                log.warning("%s: %s", self._root, told)

    def _guarded(self, work: Callable[[Path], T]) -> T:
        """Let a child do what reads the index: one that is damaged may kill it."""
        try:
            return in_child(partial(work, self._root))
        except Killed as killed:
            raise StoreRefused(
                f"{self._root}: the index is damaged, reading it ended by {killed}; "
                f"see s3shim fsck {self._root}"
            ) from None


class FarStorage(Storage):
    """A storage on other machines: the data directory holds credentials, and what can be made anew.

    ``files`` are those that the settings name, by the flag. Whether the other machines are there is not
    asked: the workers connect when they can.
    """

    def __init__(
        self, root: Path, files: Mapping[str, Path | None], beside: EmbeddedNats | None = None
    ) -> None:
        self._root = root
        self._files = files
        self.beside = beside

    def prepare(self) -> None:
        """See Storage."""
        for flag, path in self._files.items():
            if path is not None:
                _check_readable(flag, path)
        try:
            self._root.mkdir(0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreRefused(f"{self._root}: {error.strerror}") from error
        layout.check_root(self._root)
        if self.beside is not None:
            self.beside.prepare()

    def sweep(self) -> dict[str, Any]:
        """See Storage: nothing is here that could be left."""
        return {}


class NatsStorage(FarStorage):
    """NATS: our own server, or that of others."""

    def __init__(self, config: Config) -> None:
        assert config.nats is not None
        own = None if config.embedded_nats is None else embedded_nats(config.embedded_nats)
        super().__init__(config.data, _files("nats", config.nats, _NATS_FILES), own)
        self._config = config

    def start(self) -> None:
        """See Storage. Says what an acknowledged write has behind it."""
        super().start()
        settings = nats_settings(self._config)
        assert settings is not None
        announce(settings)


def _files(prefix: str, settings: object, names: tuple[str, ...]) -> dict[str, Path | None]:
    """Return the files that settings name, by their flags."""
    return {f"--{prefix}-{name}".replace("_", "-"): getattr(settings, name) for name in names}


def _check_readable(flag: str, path: Path) -> None:
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        raise StoreRefused(f"{flag} {os.fspath(path)}: {error.strerror}") from None


def storage_of(config: Config) -> Storage:
    """Return the storage that the settings name; what runs beside it is one object in this process."""
    if config.nats is not None:
        return NatsStorage(config)
    if config.upstream is None:
        return LocalStorage(config)
    try:
        config.upstream.check()
    except ValueError as error:
        raise StoreRefused(str(error)) from None
    files = _files("upstream", config.upstream, _UPSTREAM_FILES)
    if config.leases is not None:
        files |= _files("nats", config.leases, _NATS_FILES)
    return FarStorage(config.data, files)
