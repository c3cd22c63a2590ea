"""Settings that a NATS server's container has in its environment already: those of Datasance's image.

They count least: a flag, a variable of ours and what follows from them go before. Only what concerns a client
is read: where the server is, the directory of its certificates, and that of credentials.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from s3shim.config.command_line import Given
from s3shim.config.record import ConfigError

_CLIENT_URL = "NATS_CLIENT_URL"
_CREDENTIALS = "NATS_CREDS_DIR"
_CERTIFICATES = ("NATS_TLS_DIR", "NATS_SSL_DIR")


def settings(environ: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    """Yield settings by name. Raises ConfigError where it is not clear which credentials are meant."""
    if environ.get(_CLIENT_URL):
        yield "nats_servers", Given(_CLIENT_URL, environ[_CLIENT_URL])
    source = next((name for name in _CERTIFICATES if environ.get(name)), None)
    if source is not None:
        directory = Path(environ[source])
        if (directory / "ca.crt").is_file():
            yield "nats_tls_ca", Given(source, str(directory / "ca.crt"))
        if (directory / "tls.crt").is_file() and (directory / "tls.key").is_file():
            yield "nats_tls_cert", Given(source, str(directory / "tls.crt"))
            yield "nats_tls_key", Given(source, str(directory / "tls.key"))


def credentials(environ: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    """Yield the one file of credentials that the environment names a directory of."""
    if not environ.get(_CREDENTIALS):
        return
    directory = Path(environ[_CREDENTIALS])
    found = sorted(directory.glob("*.creds"))
    if len(found) != 1:
        raise ConfigError(
            f"{_CREDENTIALS} {str(directory)[:80]!r}: must have one file *.creds, it has {len(found)}; "
            "--nats-creds names one"
        )
    yield "nats_creds", Given(_CREDENTIALS, str(found[0]))
