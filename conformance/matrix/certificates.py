"""A certificate for 127.0.0.1 and the authority that signed it, made for one run."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
STORE_PASSWORD = "changeit"


class Certificates(NamedTuple):
    """Files: the server's certificate and key, the authority in PEM and in a Java trust store, or None."""

    certificate: Path
    key: Path
    authority: Path
    store: Path

    def flags(self) -> tuple[str, ...]:
        """Return the flags by which the server speaks TLS."""
        return "--tls-cert", str(self.certificate), "--tls-key", str(self.key)

    def in_one_file(self) -> Path:
        """Write certificate and key into one file, beside them, and return it."""
        both = self.certificate.with_name("both.pem")
        both.write_text(self.certificate.read_text() + self.key.read_text())
        return both

    def inward(self) -> ssl.SSLContext:
        """Return what a server needs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def outward(self) -> ssl.SSLContext:
        """Return what a client needs."""
        return ssl.create_default_context(cafile=str(self.authority))


def make(directory: Path) -> Certificates:
    """Make them in ``directory``."""
    directory.mkdir()
    made = Certificates(*(directory / name for name in ("server.pem", "server.key", "ca.pem", "ca.p12")))
    authority_key = directory / "ca.key"
    request = directory / "server.csr"
    extensions = directory / "extensions"
    extensions.write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    _run("openssl", "req", *_KEY, "-x509", "-subj", "/CN=conformance authority",
         "-keyout", authority_key, "-out", made.authority)  # fmt: skip
    _run("openssl", "req", *_KEY, "-subj", "/CN=127.0.0.1", "-keyout", made.key, "-out", request)
    _run("openssl", "x509", "-req", "-in", request, "-CA", made.authority, "-CAkey", authority_key,
         "-CAcreateserial", "-days", "2", "-extfile", extensions, "-out", made.certificate)  # fmt: skip
    _run("keytool", "-importcert", "-noprompt", "-alias", "authority", "-file", made.authority,
         "-keystore", made.store, "-storetype", "PKCS12", "-storepass", STORE_PASSWORD)  # fmt: skip
    return made


def _run(*command: str | Path) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
