"""Certificates for a test, each run its own."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Authority:
    """A certificate authority whose certificates for 127.0.0.1 lie in ``directory``."""

    def __init__(self, directory: Path) -> None:
        self._authority = trustme.CA()
        self.bundle = directory / "ca.pem"
        self._authority.cert_pem.write_to_path(self.bundle)
        self.cert = directory / "cert.pem"
        self.key = directory / "key.pem"
        self.flags = ("--tls-cert", str(self.cert), "--tls-key", str(self.key))
        self.issue()

    def issue(self) -> bytes:
        """Write a new certificate and its key in place of the old; return the certificate in DER form."""
        issued = self._authority.issue_cert("127.0.0.1")
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        # Renamed into place, as certbot and Kubernetes do: a reader sees all of a file or nothing.
        for path, pem in ((self.cert, chain), (self.key, issued.private_key_pem.bytes())):
            new = path.with_suffix(".new")
            new.write_bytes(pem)
            new.chmod(0o600)
            new.rename(path)
        return ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())

    def client(self) -> ssl.SSLContext:
        """Return what a client checks the server against."""
        return ssl.create_default_context(cafile=str(self.bundle))
