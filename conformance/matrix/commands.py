"""The command lines: aws in versions 1 and 2, rclone, s3cmd."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from conformance.cases import Refused, program
from conformance.matrix.place import Place
from conformance.server import MAIN

_PARTS = """[default]
s3 =
    signature_version = s3v4
    multipart_threshold = 5MB
    multipart_chunksize = 5MB
"""


class Aws:
    """The aws command line in one major version."""

    def __init__(self, version: int) -> None:
        self.name = f"awscli-v{version}"
        self.version = version
        self.cannot = {"presigned_put": "aws s3 presign makes URLs for GET only"}
        self._program = ""

    def prepare(self) -> None:
        """Find the program. Raises Refused."""
        places = [program("aws")] if self.version == 1 else []
        for directory in [*os.get_exec_path(), "/usr/bin"]:
            if found := shutil.which("aws", path=directory):
                places.append(found)
        for place in places:
            said = subprocess.run([place, "--version"], capture_output=True, text=True, check=False)
            if f"aws-cli/{self.version}." in said.stdout + said.stderr:
                self._program = place
                return
        raise Refused(f"the aws command line in version {self.version} is not installed")

    def put(self, place: Place, key: str, file: Path) -> None:
        """Send a file in one request."""
        self._api(place, "put-object", "--key", key, "--body", str(file))

    def stream(self, place: Place, key: str, file: Path) -> None:
        """Send a body whose length is not known when it begins."""
        self._run(place, "s3", "cp", "-", f"s3://{place.bucket}/{key}", data=file.read_bytes())

    def multipart(self, place: Place, key: str, file: Path) -> None:
        """Send a file in parts of 5 MiB."""
        self._run(place, "s3", "cp", str(file), f"s3://{place.bucket}/{key}")

    def copy(self, place: Place, source: str, key: str) -> None:
        """Copy an object."""
        self._api(place, "copy-object", "--key", key, "--copy-source", f"{place.bucket}/{source}")

    def ranged_get(self, place: Place, key: str, first: int, last: int, file: Path) -> None:
        """Write the bytes ``first`` to ``last`` into a file."""
        self._api(place, "get-object", "--key", key, "--range", f"bytes={first}-{last}", str(file))

    def presigned_get(self, place: Place, key: str, file: Path) -> None:
        """Make a URL and write what it answers into a file."""
        place.fetch(self._run(place, "s3", "presign", f"s3://{place.bucket}/{key}").decode().strip(), file)

    def _api(self, place: Place, operation: str, *arguments: str) -> None:
        self._run(place, "s3api", operation, "--bucket", place.bucket, *arguments)

    def _run(self, place: Place, *arguments: str, data: bytes | None = None) -> bytes:
        settings = place.work / ".aws" / "config"
        settings.parent.mkdir(exist_ok=True)
        settings.write_text(_PARTS)
        command = [self._program, "--endpoint-url", place.endpoint, *arguments]
        return place.run(*command, environment=place.environment(trust=["AWS_CA_BUNDLE"]), data=data)


class Rclone:
    """rclone with a remote of type s3."""

    def __init__(self) -> None:
        self.name = "rclone"
        self.cannot = {"presigned_put": "rclone link makes URLs for GET only"}

    def prepare(self) -> None:
        """Find the program. Raises Refused."""
        program("rclone")

    def put(self, place: Place, key: str, file: Path) -> None:
        """Send a file in one request."""
        self._run(place, "copyto", str(file), f"r:{place.bucket}/{key}")

    def stream(self, place: Place, key: str, file: Path) -> None:
        """Send a body whose length is not known when it begins."""
        self._run(place, "rcat", f"r:{place.bucket}/{key}", data=file.read_bytes())

    def multipart(self, place: Place, key: str, file: Path) -> None:
        """Send a file in parts of 5 MiB."""
        self._run(place, "copyto", str(file), f"r:{place.bucket}/{key}")

    def copy(self, place: Place, source: str, key: str) -> None:
        """Copy an object."""
        self._run(place, "copyto", f"r:{place.bucket}/{source}", f"r:{place.bucket}/{key}")

    def ranged_get(self, place: Place, key: str, first: int, last: int, file: Path) -> None:
        """Write the bytes ``first`` to ``last`` into a file."""
        span = ["--offset", str(first), "--count", str(last - first + 1)]
        file.write_bytes(self._run(place, "cat", *span, f"r:{place.bucket}/{key}"))

    def presigned_get(self, place: Place, key: str, file: Path) -> None:
        """Make a URL and write what it answers into a file."""
        place.fetch(self._run(place, "link", f"r:{place.bucket}/{key}").decode().strip(), file)

    @staticmethod
    def _run(place: Place, *arguments: str, data: bytes | None = None) -> bytes:
        settings = {
            "TYPE": "s3",
            "PROVIDER": "Other",
            "ENDPOINT": place.endpoint,
            "REGION": "us-east-1",
            "ACCESS_KEY_ID": MAIN.access_key,
            "SECRET_ACCESS_KEY": MAIN.secret_key,
            "CHUNK_SIZE": "5M",
            "UPLOAD_CUTOFF": "5M",
            "NO_CHECK_BUCKET": "true",
        }
        environment = place.environment(trust=["SSL_CERT_FILE"]) | {
            f"RCLONE_CONFIG_R_{name}": value for name, value in settings.items()
        }
        environment |= {"RCLONE_CONFIG": str(place.work / "none"), "RCLONE_RETRIES": "1"}
        return place.run("rclone", *arguments, environment=environment, data=data)


class S3cmd:
    """s3cmd."""

    def __init__(self) -> None:
        self.name = "s3cmd"
        self.cannot = {
            "ranged_get": "s3cmd has no option for a range",
            "presigned_put": "s3cmd signurl makes URLs for GET only",
        }

    def prepare(self) -> None:
        """Find the program. Raises Refused."""
        program("s3cmd")

    def put(self, place: Place, key: str, file: Path) -> None:
        """Send a file in one request."""
        self._run(place, "put", str(file), f"s3://{place.bucket}/{key}")

    def stream(self, place: Place, key: str, file: Path) -> None:
        """Send a body whose length is not known when it begins."""
        target = f"s3://{place.bucket}/{key}"
        self._run(place, "put", "--multipart-chunk-size-mb=5", "-", target, data=file.read_bytes())

    def multipart(self, place: Place, key: str, file: Path) -> None:
        """Send a file in parts of 5 MiB."""
        self._run(place, "put", "--multipart-chunk-size-mb=5", str(file), f"s3://{place.bucket}/{key}")

    def copy(self, place: Place, source: str, key: str) -> None:
        """Copy an object."""
        self._run(place, "cp", f"s3://{place.bucket}/{source}", f"s3://{place.bucket}/{key}")

    def presigned_get(self, place: Place, key: str, file: Path) -> None:
        """Make a URL and write what it answers into a file."""
        place.fetch(self._run(place, "signurl", f"s3://{place.bucket}/{key}", "+600").decode().strip(), file)

    @staticmethod
    def _run(place: Place, *arguments: str, data: bytes | None = None) -> bytes:
        authority = place.certificates and place.certificates.authority
        host = place.endpoint.partition("//")[2]
        settings = {
            "access_key": MAIN.access_key,
            "secret_key": MAIN.secret_key,
            "host_base": host,
            # Without a place for the bucket in it, s3cmd addresses by path.
            "host_bucket": host,
            "bucket_location": "us-east-1",
            "use_https": str(place.endpoint.startswith("https:")),
            "signurl_use_https": str(place.endpoint.startswith("https:")),
            "ca_certs_file": str(authority or ""),
            "max_retries": "1",
        }
        configuration = place.work / "s3cfg"
        lines = [f"{name} = {text}\n" for name, text in settings.items()]
        configuration.write_text("[default]\n" + "".join(lines))
        return place.run("s3cmd", "--config", str(configuration), "--no-progress", *arguments, data=data)
