"""``s3shim doctor --upstream``: what the S3 behind ``--backend s3`` can do, and what s3shim does itself."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from s3shim.backends import open_ledger
from s3shim.backends.ledger import Ledger
from s3shim.backends.upstream.asking import probe
from s3shim.config import S3, ConfigError, load
from s3shim.errors import S3Error

PROBED = 0
NOT_PROBED = 1
BAD_SETTINGS = 2


def report(arguments: Sequence[str]) -> int:
    """Ask the upstream that the flags of s3shim serve name, and print what was found out."""
    try:
        config = load(["--backend", S3, *arguments], prog="s3shim doctor --upstream")
        settings = config.upstream
        assert settings is not None
        settings.check()
    except (ConfigError, ValueError) as error:
        return _refuse(str(error), BAD_SETTINGS)
    try:
        dialect, findings = probe(settings)
    except S3Error as error:
        return _refuse(f"{settings.endpoint}: {error.message}", NOT_PROBED)
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}", NOT_PROBED)
    print(f"{settings.endpoint} (like {dialect.name})")
    for finding in findings:
        print(f"yes  {finding.name}" if finding.holds else f"no   {finding.name}: {finding.note}")
    piece = f", and after {dialect.max_segment} without /" if dialect.max_segment < dialect.max_key else ""
    print(f"     keys end at {dialect.max_key} bytes{piece}")
    print(f"     conditional writes are {settings.winners(dialect.conditions)}")
    if config.leases is not None:
        try:
            _check(open_ledger(config.leases))
        except S3Error as error:
            return _refuse(error.message, NOT_PROBED)
    return PROBED


def _check(ledger: Ledger) -> None:
    """Raise S3Error where the leases cannot be reached."""
    ledger.start()
    try:
        ledger.check()
    finally:
        ledger.close()


def _refuse(message: str, code: int) -> int:
    print(f"s3shim: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return code
