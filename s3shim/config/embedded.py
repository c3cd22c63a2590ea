"""Where the NATS server of our own is, as the master has written it down for the workers."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from s3shim.backends.nats.settings import NatsSettings
from s3shim.config.record import Config, ConfigError

HOST = "127.0.0.1"

_NAME = "client.json"


@dataclass(slots=True, frozen=True)
class OwnServer:
    """Its ports on this machine, and the login of its one user."""

    port: int
    monitor_port: int
    user: str
    password: str = field(repr=False)

    def write(self, directory: Path) -> None:
        """Write it down, for this user only. Raises OSError."""
        document = {name: getattr(self, name) for name in self.__slots__}
        write_private(directory / _NAME, json.dumps(document) + "\n")


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that nobody else can read. Raises OSError."""
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.replace(path)


def nats_settings(config: Config) -> NatsSettings | None:
    """Return the settings of the NATS storage, with servers and login of our own server where there is one.

    Raises ConfigError where the server was not started.
    """
    if config.nats is None or config.embedded_nats is None:
        return config.nats
    path = config.embedded_nats / _NAME
    try:
        own = OwnServer(**json.loads(path.read_bytes()))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError):
        raise ConfigError(f"{path} does not say where the server is") from None
    return replace(
        config.nats,
        servers=(f"nats://{HOST}:{own.port}",),
        user=own.user,
        password=own.password,
        monitor=f"http://{HOST}:{own.monitor_port}",
    )
