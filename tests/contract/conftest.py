"""The storages under the contract: adding one is one line in BACKENDS.

``backend`` is each of them, started, with an empty bucket named "bucket" of the account "main".
``conditional_backend`` is each that promises CONDITIONAL_WRITE, ``multipart_backend`` MULTIPART,
``dating_backend`` LAST_MODIFIED.
"""

from __future__ import annotations

import os

import pytest

from s3shim.backends.base import Capability
from s3shim.backends.local import LocalBackend
from s3shim.backends.memory import MemoryBackend
from s3shim.backends.nats.backend import NatsBackend
from s3shim.backends.upstream.backend import UpstreamBackend
from s3shim.model import BucketInfo, ObjectRef
from s3shim.names import MAX_KEY_BYTES
from tests.contract import upstreams
from tests.contract.bodies import code_of
from tests.nats_server import nats_backend

INLINE_MAX = 1000
BLOCK = 4096

BACKENDS = {
    "memory": (MemoryBackend, lambda path: MemoryBackend()),
    "local": (
        LocalBackend,
        lambda path: LocalBackend(path / "store", inline_max=INLINE_MAX, block_size=BLOCK),
    ),
    "nats": (NatsBackend, nats_backend),
    "s3 over moto": (UpstreamBackend, upstreams.over_moto),
    "s3 over s3shim": (UpstreamBackend, upstreams.over_s3shim),
}

if upstreams.GARAGE in os.environ:
    BACKENDS["s3 over garage"] = UpstreamBackend, upstreams.over_garage
    BACKENDS["s3 with leases over garage"] = UpstreamBackend, upstreams.with_leases

if upstreams.OTHER in os.environ:
    BACKENDS[f"s3 over {os.environ[upstreams.OTHER].split()[0]}"] = UpstreamBackend, upstreams.over_other


def promising(capability: Capability) -> list[str]:
    """Return the names of the storages that promise ``capability``."""
    return [name for name, (kind, _) in BACKENDS.items() if capability in kind.capabilities]


def keeps(backend, key) -> bool:
    """Whether the storage keeps an object by this key: each does, unless what is behind it alters the key."""
    return not isinstance(backend, UpstreamBackend) or code_of(backend.at, ObjectRef("bucket", key)) is None


def together(backend, keys) -> set:
    """Return those of the keys that the storage keeps beside each other.

    Where objects are files there is none below another: MinIO does not list it, versitygw refuses it.
    """
    kept = {key for key in keys if keeps(backend, key)}
    if not isinstance(backend, UpstreamBackend) or backend.dialect.max_segment == MAX_KEY_BYTES:
        return kept
    return {key for key in kept if not any(key.startswith(f"{other.rstrip('/')}/") for other in kept - {key})}


def started(name, path):
    """Yield a storage with the empty bucket; for fixtures."""
    backend = BACKENDS[name][1](path)
    backend.start()
    backend.create_bucket(BucketInfo("bucket", "main", 1_700_000_000_000))
    yield backend
    backend.close()


@pytest.fixture(params=list(BACKENDS))
def backend(request, tmp_path):
    """Each storage."""
    yield from started(request.param, tmp_path)


@pytest.fixture(params=promising(Capability.CONDITIONAL_WRITE))
def conditional_backend(request, tmp_path):
    """Each storage whose conditional writes are atomic."""
    yield from started(request.param, tmp_path)


@pytest.fixture(params=promising(Capability.MULTIPART))
def multipart_backend(request, tmp_path):
    """Each storage that takes multipart uploads."""
    yield from started(request.param, tmp_path)


@pytest.fixture(params=promising(Capability.LAST_MODIFIED))
def dating_backend(request, tmp_path):
    """Each storage that keeps a Last-Modified of another one."""
    yield from started(request.param, tmp_path)


@pytest.fixture
def make_backend(request, tmp_path_factory):
    """Return a function that gives a new, not yet started storage by its name."""

    def make(name):
        return BACKENDS[name][1](tmp_path_factory.mktemp(name))

    return make


@pytest.fixture(scope="session", autouse=True)
def servers():
    """End the servers of another S3."""
    yield
    upstreams.stop_all()
