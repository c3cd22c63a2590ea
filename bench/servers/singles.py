"""Servers that are one program. Each is as durable as it can be told to be."""

from __future__ import annotations

from collections.abc import Sequence

from bench.servers.place import ACCESS_KEY, SECRET_KEY, Place, Running
from conformance.server import MAIN, Server
from tests.server.process import free_port

_NO_LIMIT = "100000000"


def s3shim(place: Place, workers: int = 2, threads: int = 8, storage: Sequence[str] = ()) -> Running:
    """Start s3shim of this tree on a durable local store, or on what the flags ``storage`` say."""
    flags = ("--workers", str(workers), "--threads", str(threads), *storage)
    server = place.stack.enter_context(Server(place.directory, flags))
    return Running(server.endpoint, MAIN.access_key, MAIN.secret_key, (server.process.pid,), place.directory)


def over_nats(port: int) -> tuple[str, ...]:
    """Return the flags by which s3shim uses the nats-server at ``port``."""
    return ("--backend", "nats", "--nats-servers", f"nats://127.0.0.1:{port}")


def over_s3(behind: Running) -> tuple[str, ...]:
    """Return the flags by which s3shim uses another S3."""
    keys = ("--upstream-access-key", behind.access_key, "--upstream-secret-key", behind.secret_key)
    return ("--backend", "s3", "--upstream-endpoint", behind.endpoint, *keys)


def versitygw(place: Place) -> Running:
    """Start versitygw on a directory."""
    place.data.mkdir()
    return _versitygw(place, "posix", str(place.data))


def versitygw_on(place: Place, behind: Running) -> Running:
    """Start versitygw on another S3 over HTTP, so without the checksums that it sends by TLS alone."""
    keys = ("--access", behind.access_key, "--secret", behind.secret_key)
    aimed = ("--endpoint", behind.endpoint, "--use-path-style", "--disable-data-integrity-check")
    return _versitygw(place, "s3", *keys, *aimed)


def _versitygw(place: Place, *storage: str) -> Running:
    address = f"127.0.0.1:{place.port}"
    keys = ["--access", ACCESS_KEY, "--secret", SECRET_KEY]
    # Its AWS client refuses an environment that names an authority for TLS.
    place.spawn(
        ["versitygw", "--keep-alive", "--port", address, *keys, *storage], place.port, {"AWS_CA_BUNDLE": ""}
    )
    return place.running()


def jay(place: Place) -> Running:
    """Start jay with a first account; without limits on the rate of requests."""
    environment = {
        "JAY_DATA_DIR": str(place.data),
        "JAY_LISTEN_ADDR": f"127.0.0.1:{place.port}",
        "JAY_ADMIN_ADDR": f"127.0.0.1:{free_port()}",
        "JAY_NATIVE_ADDR": f"127.0.0.1:{free_port()}",
        "JAY_LOG_LEVEL": "error",
        "JAY_ADMIN_TOKEN": SECRET_KEY * 2,
        "JAY_SIGNING_SECRET": SECRET_KEY * 2,
        "JAY_SEED_TOKEN_ACCOUNT": "benchmark",
        "JAY_SEED_TOKEN_ID": ACCESS_KEY,
        "JAY_SEED_TOKEN_SECRET": SECRET_KEY,
        "JAY_RATE_LIMIT": _NO_LIMIT,
        "JAY_RATE_BURST": _NO_LIMIT,
    }
    place.spawn(["jay"], place.port, environment)
    return place.running()


def minio(place: Place) -> Running:
    """Start MinIO on one directory."""
    environment = {
        "MINIO_ROOT_USER": ACCESS_KEY,
        "MINIO_ROOT_PASSWORD": SECRET_KEY,
        "MINIO_FS_OSYNC": "on",
        "MINIO_BROWSER": "off",
    }
    address = f"127.0.0.1:{place.port}"
    place.spawn(["minio", "server", "--address", address, str(place.data)], place.port, environment)
    return place.running()


def rclone(place: Place) -> Running:
    """Start rclone's S3 server on a directory."""
    place.data.mkdir()
    options = ["--addr", f"127.0.0.1:{place.port}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
    place.spawn(["rclone", "serve", "s3", *options, "--vfs-cache-mode", "off", str(place.data)], place.port)
    return place.running()


def moto(place: Place) -> Running:
    """Start moto's server, which keeps everything in memory and takes any key pair."""
    place.spawn(["moto_server", "-H", "127.0.0.1", "-p", str(place.port)], place.port)
    return place.running()
