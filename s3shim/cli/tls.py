"""The certificate that the server shows. The master reads it, and the workers inherit it over the fork.

So a worker never meets files that are half renewed, and all workers can resume each other's TLS sessions.
"""

from __future__ import annotations

import logging
import ssl
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)


class CertificateRefused(Exception):
    """The files cannot be used; one line that says which and why."""


class Certificate:
    """A certificate with its chain, and its key, in two PEM files. ``context`` is what was read last."""

    def __init__(self, chain: Path, key: Path) -> None:
        self.chain = chain
        self.key = key
        self.context: ssl.SSLContext | None = None

    def load(self) -> None:
        """Read the files. Raises CertificateRefused; then what was read before stays."""
        for path in (self.chain, self.key):
            try:
                path.read_bytes()
            except OSError as error:
                raise CertificateRefused(f"{path}: {error.strerror}") from None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.chain, self.key, password=self._refuse_password)
        except ssl.SSLError as error:
            raise CertificateRefused(self._fault(error)) from None
        self.context = context

    def renew(self) -> None:
        """Read the files again; where that fails, say so and stay with what there is."""
        try:
            self.load()
        except CertificateRefused as refused:
            log.error("the certificate is not renewed: %s", refused)
        else:
            log.info("certificate read", extra={"fields": {"file": str(self.chain)}})

    def _refuse_password(self) -> str:
        # OpenSSL would ask the terminal.
        raise CertificateRefused(f"{self.key}: encrypted; the server has nobody to ask for the password")

    def _fault(self, error: ssl.SSLError) -> str:
        if error.reason == "KEY_VALUES_MISMATCH":
            return f"{self.key}: not the key of the certificate in {self.chain}"
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(self.chain)
        except ssl.SSLError:
            return f"{self.chain}: no certificate in PEM form"
        return f"{self.key}: no private key in PEM form that fits ({error.reason or 'unreadable'})"


@cache
def certificate(chain: Path, key: Path) -> Certificate:
    """Return the one object for these files in this process, whatever a reload makes anew around it."""
    return Certificate(chain, key)
