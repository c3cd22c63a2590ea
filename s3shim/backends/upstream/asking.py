"""How an upstream behaves: found out by the probe, and remembered for some days."""

from __future__ import annotations

from dataclasses import replace

from s3shim.backends.upstream.dialect import Dialect, read_dialect, write_dialect
from s3shim.backends.upstream.faults import meaning_of
from s3shim.backends.upstream.locks import HOST, Lock
from s3shim.backends.upstream.probing import Finding, Probe
from s3shim.backends.upstream.remote import Remote
from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.backends.upstream.store import Store
from s3shim.errors import S3Error


def probe(settings: UpstreamSettings) -> tuple[Dialect, list[Finding]]:
    """Find out how the upstream behaves, and remember it; return it, and the same as a table.

    Raises ValueError for settings that cannot be used, S3Error where the upstream is not to be had.
    """
    remote = Remote(replace(settings, dialect="generic", leases=False))
    remote.start()
    try:
        dialect, findings = Probe(remote).run()
    except S3Error as error:
        raise S3Error(error.code, meaning_of(error), **error.details) from None
    finally:
        remote.close()
    write_dialect(settings.state / "dialect.json", _asked(remote), dialect)
    return dialect, findings


def dialect_of(store: Store) -> Dialect:
    """Return how the store's upstream behaves: as it was found out last, or is found out now."""
    settings = store.settings
    with store.locks.hold(Lock(HOST, "dialect")):
        known = read_dialect(settings.state / "dialect.json", _asked(store))
        return known or probe(settings)[0]


def _asked(store: Store) -> list[str]:
    return [store.settings.endpoint, store.places.own_bucket, store.places.own("").key]
