"""The service in this process, on memory or on a local store, and what an operator may do to it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from s3shim.backends.base import Backend
from s3shim.backends.local import LocalBackend, lock, sweep
from s3shim.backends.local.fsck import check
from s3shim.backends.memory import MemoryBackend
from s3shim.config import load
from s3shim.wsgi import create_app
from tests.wire.client import Client

OWNER = ("OWNERACCESSKEY", "owner-secret-owner-secret")
STRANGER = ("OTHERACCESSKEY", "other-secret-other-secret")

INLINE_MAX = 1000
BLOCK = 4096
MIN_PART = 300


class Service:
    """The application on memory. ``path`` is an empty directory that is removed with it."""

    kind: type[Backend] = MemoryBackend

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True)
        keys = path / "credentials.json"
        keys.touch(0o600)
        listed = [
            {"accessKey": access, "secretKey": secret, "account": access.lower()}
            for access, secret in (OWNER, STRANGER)
        ]
        keys.write_text(json.dumps({"credentials": listed}))
        flags = ["--data", str(path), "--credentials", str(keys), "--min-part-size", str(MIN_PART)]
        self.config = load(flags, {})
        self.backend = self.make()
        self.open()

    def make(self) -> Backend:
        """Return the storage, not started."""
        return self.kind()

    def open(self) -> None:
        """Serve."""
        app = create_app(self.config, self.backend)
        self.owner = Client(app, *OWNER)
        self.stranger = Client(app, *STRANGER)

    def restart(self) -> None:
        """Stop and start."""
        self.backend.close()
        self.open()

    def crash(self, name: str) -> None:
        """Start after a crash that left something behind; ``name`` is 32 random hex digits."""
        self.restart()

    def reclaim(self) -> None:
        """Give all space back that can be."""

    def end(self) -> list[str]:
        """Stop, remove all, return what was wrong with what was stored."""
        self.backend.close()
        problems = self.problems()
        shutil.rmtree(self.path)
        return problems

    def problems(self) -> list[str]:
        """Return what is wrong with what is stored."""
        return []


class LocalService(Service):
    """The application on a local store."""

    kind = LocalBackend

    @property
    def root(self) -> Path:
        """The store."""
        return self.path / "store"

    def make(self) -> Backend:
        """Return the storage, not started."""
        return self.kind(self.root, inline_max=INLINE_MAX, block_size=BLOCK, reserve=0, map_size=1 << 26)

    def restart(self) -> None:
        """Stop and start as the server does: the sweep finds nothing to remove."""
        self.backend.close()
        self._start(0)

    def crash(self, name: str) -> None:
        """Start after a put that ended between the file's name and the commit."""
        self.backend.close()
        shard = self.root / "blobs" / name[:2]
        (shard / name).write_bytes(b"a file that the index does not know")
        self._start(1)

    def _start(self, orphans: int) -> None:
        held = lock(self.root)
        try:
            swept = sweep(self.root)
            assert swept == orphans, f"the sweep removed {swept} files, not {orphans}"
        finally:
            os.close(held)
        # A backend of its own, as a new worker has.
        self.backend = self.make()
        self.open()

    def reclaim(self) -> None:
        """Unlink what waits."""
        assert isinstance(self.backend, LocalBackend)
        self.backend.store.reclaim(everything=True)

    def problems(self) -> list[str]:
        """Return what fsck finds."""
        return check(self.root, deep=True).problems


SERVICES: dict[str, type[Service]] = {"memory": Service, "local": LocalService}
