"""The matrix: a cell is a client, a kind of transfer, and plain HTTP or TLS."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from conformance.cases import Options, Outcome, Refused, log_verdict, verdict
from conformance.matrix import certificates
from conformance.matrix.cells import OF_ONE_CLIENT, OPERATIONS, SENDING, Operation
from conformance.matrix.certificates import Certificates
from conformance.matrix.commands import Aws, Rclone, S3cmd
from conformance.matrix.place import SECONDS, Place
from conformance.matrix.programs import BOTO3, BOTO3_REQUIRED, MINIO, SDKS
from conformance.matrix.recorder import FORMS, Recorder
from conformance.nginx.front import BehindNginx
from conformance.server import Server

CLIENTS: tuple[Any, ...] = (BOTO3, BOTO3_REQUIRED, Aws(1), Aws(2), MINIO, Rclone(), S3cmd(), *SDKS)
PYTHON_CLIENTS: tuple[Any, ...] = (BOTO3, BOTO3_REQUIRED, Aws(1), MINIO)

Start = Callable[[Path, Certificates | None], Server]


class Matrix:
    """The suite, over servers that ``start`` starts in a directory, with TLS where there are certificates."""

    def __init__(self, name: str, start: Start) -> None:
        self.name = name
        self._start = start

    def run(self, work: Path, _options: Options, wanted: str) -> Iterator[tuple[Outcome, list[str]]]:
        """Yield the outcome of each cell whose name contains ``wanted``, and the forms that were seen."""
        made = certificates.make(work / "certificates")
        missing = _missing(client for client in CLIENTS if any(wanted in name for name in _names(client)))
        seen: set[str] = set()
        for scheme, trusted in (("plain", None), ("tls", made)):
            if not any(wanted in name for client in CLIENTS for name in _names(client, [scheme])):
                continue
            (work / scheme).mkdir()
            with self._start(work / scheme, trusted) as server:
                cells = Cells(work / scheme, server, trusted, missing)
                for client in CLIENTS:
                    for operation in _operations(client):
                        name = f"{client.name}/{operation}/{scheme}"
                        if wanted in name:
                            outcome, forms = cells.run(name, client, operation)
                            seen |= forms
                            yield outcome, [" ".join(sorted(forms))] if forms else []
                cells.recorder.close()
                if not wanted:
                    yield Outcome(f"no_internal_error/{scheme}", *log_verdict(server)), []
                    if isinstance(server, BehindNginx):
                        yield Outcome(f"nginx_adds_nothing/{scheme}", *server.verdict()), []
        if not wanted:
            for form in FORMS:
                found = ("pass", "") if form in seen else ("fail", "no client sent it")
                yield Outcome(f"form/{form}", *found), []


class Cells:
    """Runs cells against a server: through a recorder, and under TLS first without one.

    ``missing`` says why clients cannot run here, by name.
    """

    def __init__(
        self,
        work: Path,
        server: Server,
        trusted: Certificates | None = None,
        missing: dict[str, str] | None = None,
    ) -> None:
        self.work = work
        self.server = server
        self.trusted = trusted
        self.missing = missing or {}
        contexts = (trusted.inward(), trusted.outward()) if trusted else ()
        self.recorder = Recorder(server.port, *contexts)

    def run(self, name: str, client: Any, operation: str) -> tuple[Outcome, set[str]]:
        """Return the outcome of a cell, and the forms in which the client has sent bodies."""
        if client.name in self.missing:
            return Outcome(name, "fail", self.missing[client.name]), set()
        if operation in client.cannot:
            return Outcome(name, "n/a", client.cannot[operation]), set()
        self.recorder.forget()
        ways = [self.recorder.endpoint]
        if self.trusted is not None:
            # TLS is between client and server; then again, where bodies are sent, with a recorder between.
            ways = [self.server.endpoint, *(ways if operation in SENDING else [])]
        do = _operations(client)[operation]
        verdicts = (self._try(f"{name}-{way}", ways[way], client, do) for way in range(len(ways)))
        first_bad = next((found for found in verdicts if found[0] != "pass"), ("pass", ""))
        return Outcome(name, *first_bad), self.recorder.forget()

    def _try(self, name: str, endpoint: str, client: Any, operation: Operation) -> tuple[str, str]:
        directory = self.work / "cell"
        directory.mkdir()
        place = Place(name, directory, self.server, self.trusted)
        place.endpoint = endpoint

        def do() -> None:
            place.client().create_bucket(Bucket=place.bucket)
            operation(client, place)

        try:
            return verdict(do, SECONDS)
        finally:
            shutil.rmtree(directory)


def _missing(clients: Iterable[Any]) -> dict[str, str]:
    missing = {}
    for client in clients:
        try:
            client.prepare()
        except Refused as error:
            missing[client.name] = str(error)
    return missing


def _alone(directory: Path, trusted: Certificates | None) -> Server:
    return Server(directory, trusted.flags(), str(trusted.authority)) if trusted else Server(directory)


def _behind_nginx(directory: Path, trusted: Certificates | None) -> Server:
    """Start a server with nginx before it, which ends TLS."""
    flags = ["--behind-proxy"]
    if trusted is None:
        return BehindNginx(directory, flags)
    return BehindNginx(directory, flags, certificate=trusted.in_one_file(), authority=str(trusted.authority))


def _operations(client: Any) -> dict[str, Operation]:
    return OPERATIONS | OF_ONE_CLIENT.get(client.name, {})


def _names(client: Any, schemes: Iterable[str] = ("plain", "tls")) -> Iterator[str]:
    for operation in _operations(client):
        yield from (f"{client.name}/{operation}/{scheme}" for scheme in schemes)


SUITE = Matrix("matrix", _alone)
BEHIND_NGINX = Matrix("matrix-nginx", _behind_nginx)
