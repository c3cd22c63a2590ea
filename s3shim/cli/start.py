"""What happens in the master before the first worker: checks, the storage, the keys, the socket."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from dataclasses import dataclass

from s3shim.auth import credentials
from s3shim.auth.credentials import CredentialsRefused
from s3shim.backends.local.layout import StoreRefused
from s3shim.cli.storages import storage_of
from s3shim.cli.tls import Certificate, CertificateRefused, certificate
from s3shim.config import Address, Config

FAILED = 1
REFUSED = 78
"""EX_CONFIG of sysexits.h."""

BACKLOG = 512

UMASK = 0o077

# The secrets that other servers and their documents begin with, in lower case.
KNOWN_SECRETS = frozenset(
    {
        "any",
        "admin",
        "admin123",
        "adminadmin",
        "changeme",
        "local-credential",
        "minio123",
        "minioadmin",
        "mysecret",
        "password",
        "password123",
        "rustfsadmin",
        "s3secret",
        "secretkey",
        "test",
        "testing",
        "testtest",
        "verysecretkey1",
        "wjalrxutnfemi/k7mdeng/bpxrficyexamplekey",
    }
)

log = logging.getLogger(__name__)


class StartFailed(Exception):
    """The server does not start; one line for the operator, and the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(" ".join(message.split()))
        self.code = code


@dataclass(slots=True)
class Started:
    """What the master holds: the listening socket, the key pair to show."""

    listener: socket.socket
    access_key: str
    secret_key: str


def start(config: Config) -> Started:
    """Make everything ready for the workers. Raises StartFailed.

    The address comes first: that it is taken is the likeliest fault, and then nothing is touched.
    """
    os.umask(UMASK)
    listener = _bind(config.listen)
    try:
        shown = certificate_of(config)
        if shown is not None:
            shown.load()
        storage = storage_of(config)
        storage.prepare()
        access_key, secret_key = credentials.ensure(config.credentials, config.access_key, config.secret_key)
        _check_exposure(config, listener)
        swept = storage.sweep()
    except (StoreRefused, CredentialsRefused, CertificateRefused) as refused:
        raise StartFailed(str(refused), REFUSED) from None
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        raise _cannot_listen(config.listen, error) from None
    fields = {"backend": config.backend, "data": str(config.data), **swept}
    log.info("starting", extra={"fields": fields})
    storage.start()
    return Started(listener, access_key, secret_key)


def watch_storage(config: Config) -> None:
    """Keep what runs beside the workers running, now that gunicorn's handlers of signals are set."""
    storage_of(config).watch()


def stop_storage(config: Config) -> None:
    """Stop what runs beside the workers, now that there are none."""
    storage_of(config).stop()


def certificate_of(config: Config) -> Certificate | None:
    """Return the certificate that the settings name, None for plain HTTP."""
    if config.tls_cert is None or config.tls_key is None:
        return None
    return certificate(config.tls_cert, config.tls_key)


def _bind(address: Address) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
    except OSError as error:
        raise _cannot_listen(address, error) from None
    return listener


def _cannot_listen(address: Address, error: OSError) -> StartFailed:
    return StartFailed(f"cannot listen on {address}: {error.strerror}", FAILED)


def _check_exposure(config: Config, listener: socket.socket) -> None:
    """Refuse well-known secrets beyond this machine; warn of what is not wise."""
    if not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
        if config.access_key is not None and config.secret_key is not None:
            known = credentials.fixed(config.access_key, config.secret_key)
        else:
            known = credentials.load(config.credentials)
        for credential in known.values():
            if credential.secret.decode().lower() in KNOWN_SECRETS:
                raise StartFailed(
                    f"the secret of access key {credential.access_key} is a well-known default; "
                    f"it must not be used on {config.listen}",
                    REFUSED,
                )
        if config.tls_cert is None and not config.behind_proxy:
            log.warning(
                "plain HTTP on %s: give --tls-cert and --tls-key, or put a TLS proxy in front and give "
                "--behind-proxy",
                config.listen,
            )
    if config.open_access:
        log.warning(
            "whoever reaches %s may read, change and delete everything, without keys: --open-access",
            config.listen,
        )
    if os.geteuid() == 0 and not config.allow_root:
        log.warning("running as root: use an account of its own, or give --allow-root")
