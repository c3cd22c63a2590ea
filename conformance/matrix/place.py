"""Where a client does its task: a server, a directory, and how to trust the server's certificate."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable
from pathlib import Path
from urllib.request import urlopen

from conformance.cases import Context, Options
from conformance.matrix.certificates import Certificates
from conformance.server import MAIN, Account, Server

SECONDS = 120


class Place(Context):
    """A context whose clients are sent to ``endpoint``: that of the server, or of a recorder before it."""

    def __init__(self, name: str, work: Path, server: Server, certificates: Certificates | None) -> None:
        super().__init__(re.sub("[/_]", "-", name), work, server, Options(), SECONDS)
        self.endpoint = server.endpoint
        self.certificates = certificates

    def environment(self, account: Account = MAIN, trust: Iterable[str] = ()) -> dict[str, str]:
        """Return a clean environment; under TLS each variable in ``trust`` is the file of the authority."""
        clean = super().environment(account) | {"AWS_REGION": "us-east-1"}
        if self.certificates is not None:
            clean |= dict.fromkeys(trust, str(self.certificates.authority))
        return clean

    def fetch(self, url: str, file: Path) -> None:
        """Write into ``file`` what the URL answers to a GET."""
        context = None if self.certificates is None else self.certificates.outward()
        with urlopen(url, context=_only_for_tls(url, context)) as answer:
            file.write_bytes(answer.read())


def _only_for_tls(url: str, context: ssl.SSLContext | None) -> ssl.SSLContext | None:
    return context if url.startswith("https:") else None
