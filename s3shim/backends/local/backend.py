"""The local backend: an index in LMDB, small objects in it, large ones in files of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from s3shim.backends.base import Backend, Capability
from s3shim.backends.local.buckets import Buckets
from s3shim.backends.local.derived import Derived
from s3shim.backends.local.multipart import Multipart
from s3shim.backends.local.objects import Objects
from s3shim.backends.local.settings import Settings
from s3shim.backends.local.store import Store
from s3shim.measures import Durability


class LocalBackend(Buckets, Objects, Derived, Multipart, Backend):
    """Objects on this machine's disk, durable when a call returns, for any number of processes.

    ``root`` is the directory of the store; ``settings`` are the fields of settings.Settings.
    """

    capabilities: ClassVar[Capability] = (
        Capability.CONDITIONAL_WRITE
        | Capability.MULTIPART
        | Capability.RENAME
        | Capability.APPEND
        | Capability.LAST_MODIFIED
    )

    def __init__(self, root: Path, **settings: Any) -> None:
        self.store = Store(Path(root), Settings(**settings))

    def start(self) -> None:
        """See Backend. Makes the store where there is none; raises StoreRefused."""
        self.store.start()

    def close(self) -> None:
        """See Backend."""
        self.store.close()

    def check(self) -> None:
        """See Backend."""
        self.store.check()

    def durability(self) -> Durability:
        """See Backend."""
        return Durability.FULL
