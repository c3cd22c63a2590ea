"""How an upstream behaves: found out by the probe, and remembered for some days."""

from __future__ import annotations

from dataclasses import replace

from s3shim.backends.upstream.dialect import Dialect, read_dialect, write_dialect
from s3shim.backends.upstream.locks import UPLOAD, Lock
from s3shim.backends.upstream.probing import Finding, Probe
from s3shim.backends.upstream.remote import Remote
from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.backends.upstream.store import Store


def probe(settings: UpstreamSettings) -> tuple[Dialect, list[Finding]]:
    """Return how the upstream behaves, and the same as a table.

    Raises ValueError for settings that cannot be used, S3Error where the upstream is not to be had.
    """
    remote = Remote(replace(settings, dialect="generic"))
    remote.start()
    try:
        return Probe(remote).run()
    finally:
        remote.close()


def dialect_of(store: Store) -> Dialect:
    """Return how the store's upstream behaves: as it was found out last, or is found out now."""
    settings, places = store.settings, store.places
    path = settings.state / "dialect.json"
    asked = [settings.endpoint, places.own_bucket, places.own("").key]
    with store.locks.hold(Lock(UPLOAD, "dialect")):
        known = read_dialect(path, asked)
        if known is None:
            known, _ = probe(settings)
            write_dialect(path, asked, known)
    return known
