"""The programs in conformance/clients, one for each SDK: how they are run."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

from conformance.building import SOURCES, built
from conformance.cases import program
from conformance.matrix.certificates import STORE_PASSWORD
from conformance.matrix.place import Place

_WHEN_REQUIRED = {
    "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
}


class ProgramClient:
    """A client that is one of our programs: it takes a task on its command line.

    ``trust`` are the environment variables by which it learns of an authority. ``build`` makes it ready and
    returns the command that runs it; it raises Refused where that cannot be done here.
    """

    def __init__(
        self,
        name: str,
        build: Callable[[], list[str]],
        trust: tuple[str, ...],
        settings: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.cannot: dict[str, str] = {}
        self.trust = trust
        self.settings = settings or {}
        self._build = build
        self._command: list[str] = []

    def prepare(self) -> None:
        """Build the program. Raises Refused."""
        self._command = self._build()

    def put(self, place: Place, key: str, file: Path) -> None:
        """Send a file in one request."""
        self.run(place, "put", key, file)

    def stream(self, place: Place, key: str, file: Path) -> None:
        """Send a body whose length is not known when it begins."""
        self.run(place, "stream", key, file)

    def multipart(self, place: Place, key: str, file: Path) -> None:
        """Send a file in parts of 5 MiB."""
        self.run(place, "multipart", key, file)

    def copy(self, place: Place, source: str, key: str) -> None:
        """Copy an object."""
        self.run(place, "copy", key, place.work / "nothing", source)

    def ranged_get(self, place: Place, key: str, first: int, last: int, file: Path) -> None:
        """Write the bytes ``first`` to ``last`` into a file."""
        self.run(place, "ranged_get", key, file, f"bytes={first}-{last}")

    def presigned_put(self, place: Place, key: str, file: Path) -> str:
        """Make a URL and send a file to it; return the URL."""
        return str(self.run(place, "presigned_put", key, file)["url"])

    def presigned_get(self, place: Place, key: str, file: Path) -> None:
        """Make a URL and write what it answers into a file."""
        self.run(place, "presigned_get", key, file)

    def run(self, place: Place, operation: str, key: str, file: Path, detail: str = "") -> dict[str, object]:
        """Run the program; return what it prints."""
        command = [*self._command, operation, place.endpoint, place.bucket, key, str(file), detail]
        if not self.trust and place.certificates is not None:
            # Java knows no such variable.
            command[1:1] = [
                f"-Djavax.net.ssl.trustStore={place.certificates.store}",
                f"-Djavax.net.ssl.trustStorePassword={STORE_PASSWORD}",
            ]
        environment = place.environment(trust=self.trust) | self.settings
        found: dict[str, object] = json.loads(place.run(*command, environment=environment))
        return found


def _python(file: str) -> Callable[[], list[str]]:
    return lambda: [sys.executable, str(SOURCES / "python" / file)]


def _javascript() -> list[str]:
    directory = built("js", [program("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts"])
    return [program("node"), str(directory / "client.mjs")]


def _go() -> list[str]:
    return [str(built("go", [program("go"), "build", "-o", "client", "."]) / "client")]


def _java() -> list[str]:
    maven = [program("mvn"), "-q", "-B", "compile", "dependency:copy-dependencies"]
    target = built("java", [*maven, "-DoutputDirectory=target/lib"]) / "target"
    # The client lives for seconds: the first compiler is enough.
    return [program("java"), "-XX:TieredStopAtLevel=1", "-cp", f"{target}/classes:{target}/lib/*", "Client"]


# What a presigned URL is for is fetched by the program itself.
_BOTO3 = (_python("boto3_client.py"), ("AWS_CA_BUNDLE", "SSL_CERT_FILE"))
BOTO3 = ProgramClient("boto3", *_BOTO3)
BOTO3_REQUIRED = ProgramClient("boto3-when-required", *_BOTO3, _WHEN_REQUIRED)
MINIO = ProgramClient("minio", _python("minio_client.py"), ("SSL_CERT_FILE",))
SDKS = (
    ProgramClient("js", _javascript, ("NODE_EXTRA_CA_CERTS",)),
    ProgramClient("go", _go, ("SSL_CERT_FILE",)),
    ProgramClient("java", _java, ()),
    ProgramClient("java-when-required", _java, (), _WHEN_REQUIRED),
)
