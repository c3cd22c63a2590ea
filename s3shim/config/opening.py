"""What a backend is made with."""

from __future__ import annotations

from typing import Any

from s3shim.backends import open_ledger
from s3shim.config.embedded import nats_settings
from s3shim.config.record import Config


def backend_settings(config: Config) -> dict[str, Any]:
    """Return the arguments of ``backends.open_backend`` beside the scheme. Raises ConfigError."""
    far = nats_settings(config) or config.upstream
    if config.leases is not None:
        return {"settings": far, "ledger": open_ledger(config.leases)}
    if far is not None:
        return {"settings": far}
    return {
        "root": config.data,
        "inline_max": config.inline_max,
        "block_size": config.block_size,
        "readers": config.workers * config.threads * 2 + 32,
        "grace": config.grace,
        "upload_expiry": config.upload_expiry,
    }
