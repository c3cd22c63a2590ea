"""The settings of the storages beyond this machine, made of the table's."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import fields
from typing import Any

from s3shim.backends.nats.settings import NatsSettings
from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.config.addresses import Login
from s3shim.config.record import ConfigError

LOGINS = ("nats_user", "nats_password", "nats_token", "nats_nkey", "nats_creds")
"""The settings that say who we are at the NATS servers."""

_OF_SERVERS = (
    "nats_servers",
    *LOGINS,
    "nats_tls_ca",
    "nats_tls_cert",
    "nats_tls_key",
    "nats_tls_server_name",
    "nats_domain",
    "nats_api_prefix",
)

OF_OTHER_SERVERS = (*_OF_SERVERS, "nats_monitor")
"""The settings that mean nothing to a NATS server of our own."""

OF_LEASES = (*_OF_SERVERS, "nats_replicas", "nats_timeout", "upstream_lease_time")
"""The settings that mean nothing to another S3 but with leases."""

_NATS, _UPSTREAM = "nats_", "upstream_"
_WAITS = 2
"""The part of the time of a lease after which an answer is of no use any more."""


def nats(values: Mapping[str, Any]) -> NatsSettings:
    """Return the settings of the NATS storage. Raises ConfigError."""
    own = _own(values, _NATS, NatsSettings)
    own["servers"] = values["nats_servers"].urls
    logins = _logins(values)
    if len(logins) > 1:
        raise ConfigError(f"{' and '.join(logins)} are logins: only one can be given")
    login: Login | None = values["nats_servers"].login
    if login is not None:
        own |= {"user": login.user, "password": login.password}
        if login.password is None:
            own |= {"user": None, "token": login.user}
    if own["domain"] is not None and own["api_prefix"] is not None:
        raise ConfigError("--nats-domain and --nats-api-prefix exclude each other")
    if values["embedded_nats"] is not None and own["replicas"] != 1:
        raise ConfigError("--nats-replicas must be 1 with --embedded-nats: there is one server")
    return NatsSettings(index=values["data"] / "nats-index", **own)


def leases(values: Mapping[str, Any], given: Container[str]) -> NatsSettings | None:
    """Return where the leases of another S3 are, None where there are none; ``given`` are names of settings.

    Raises ConfigError.
    """
    if not values["upstream_leases"]:
        return None
    if "nats_servers" not in given:
        raise ConfigError("--upstream-leases needs --nats-servers: the leases of all machines are there")
    settings = nats({**values, "embedded_nats": None, "nats_monitor": None})
    settings.timeout = min(settings.timeout, values["upstream_lease_time"] / _WAITS)
    return settings


def _logins(values: Mapping[str, Any]) -> list[str]:
    kinds = {
        "--nats-user": values["nats_user"],
        "--nats-token": values["nats_token"],
        "--nats-nkey": values["nats_nkey"],
        "--nats-creds": values["nats_creds"],
        "the URL of --nats-servers": values["nats_servers"].login,
    }
    return [name for name, value in kinds.items() if value is not None]


def upstream(values: Mapping[str, Any]) -> UpstreamSettings:
    """Return the settings of the storage in another S3. Raises ConfigError."""
    own = _own(values, _UPSTREAM, UpstreamSettings)
    if own["endpoint"] is None:
        raise ConfigError("--upstream-endpoint is needed with --backend s3")
    keys = {
        "--upstream-access-key": own["access_key"],
        "--upstream-credentials": own["credentials"],
        "--upstream-profile": own["profile"],
    }
    given = [name for name, value in keys.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} are keys: only one can be given")
    if not given:
        raise ConfigError(
            "--backend s3 needs keys: --upstream-access-key and --upstream-secret-key, "
            "--upstream-credentials, or --upstream-profile"
        )
    if own["session_token"] is not None and own["access_key"] is None:
        raise ConfigError("--upstream-session-token needs --upstream-access-key and --upstream-secret-key")
    own["path_style"] = values["upstream_addressing"] == "path"
    own["prefix"] = own["prefix"] or ""
    return UpstreamSettings(state=values["data"] / "upstream", **own)


def _own(values: Mapping[str, Any], prefix: str, record: type) -> dict[str, Any]:
    """Return what the table has for the fields of ``record``, under ``prefix`` or under the same name."""
    found = {}
    for field in fields(record):
        if prefix + field.name in values:
            found[field.name] = values[prefix + field.name]
        elif field.name in ("account", "upload_expiry"):
            found[field.name] = values[field.name]
    return found
