"""The registry of the storages: scheme -> import path.

A backend is imported only when it is asked for, so its driver need not be installed otherwise.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from s3shim.backends.base import Backend
from s3shim.backends.ledger import Ledger

BACKENDS = {
    "local": "s3shim.backends.local.backend:LocalBackend",
    "memory": "s3shim.backends.memory:MemoryBackend",
    "nats": "s3shim.backends.nats.backend:NatsBackend",
    "s3": "s3shim.backends.upstream.backend:UpstreamBackend",
}

_LEDGER = "s3shim.backends.nats.ledger:NatsLedger"


def open_backend(scheme: str, **settings: Any) -> Backend:
    """Return the backend of ``scheme``, made with ``settings`` and not yet started.

    Raises ValueError where no such scheme is known.
    """
    try:
        path = BACKENDS[scheme]
    except KeyError:
        raise ValueError(f"unknown backend {scheme!r}; known are {', '.join(sorted(BACKENDS))}") from None
    backend: Backend = _named(path)(**settings)
    return backend


def open_ledger(settings: Any) -> Ledger:
    """Return a ledger for a storage that needs one, not yet started; ``settings`` are NatsSettings."""
    ledger: Ledger = _named(_LEDGER)(settings)
    return ledger


def _named(path: str) -> Any:
    module, name = path.split(":")
    return getattr(import_module(module), name)
