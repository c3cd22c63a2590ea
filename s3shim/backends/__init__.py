"""The registry of the storages: scheme -> import path.

A backend is imported only when it is asked for, so its driver need not be installed otherwise.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from s3shim.backends.base import Backend

BACKENDS = {
    "local": "s3shim.backends.local.backend:LocalBackend",
    "memory": "s3shim.backends.memory:MemoryBackend",
    "nats": "s3shim.backends.nats.backend:NatsBackend",
    "s3": "s3shim.backends.upstream.backend:UpstreamBackend",
}


def open_backend(scheme: str, **settings: Any) -> Backend:
    """Return the backend of ``scheme``, made with ``settings`` and not yet started.

    Raises ValueError where no such scheme is known.
    """
    try:
        module, name = BACKENDS[scheme].split(":")
    except KeyError:
        raise ValueError(f"unknown backend {scheme!r}; known are {', '.join(sorted(BACKENDS))}") from None
    backend: Backend = getattr(import_module(module), name)(**settings)
    return backend
