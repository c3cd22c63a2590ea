"""Settings: flag, then environment, then default. The only module that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from s3shim.config import command_line, nats_s3, storages, surroundings
from s3shim.config.command_line import CommandLine, Given
from s3shim.config.record import NATS, S3, Config, ConfigError
from s3shim.config.table import PREFIX, SETTINGS, Setting
from s3shim.wire.hosts import Trusted, bucket_of

_BY_NAME = {setting.name: setting for setting in SETTINGS}

_PAIRS = (
    ("access_key", "secret_key"),
    ("tls_cert", "tls_key"),
    ("nats_user", "nats_password"),
    ("nats_tls_cert", "nats_tls_key"),
    ("upstream_access_key", "upstream_secret_key"),
)


def load(
    argv: Sequence[str] | None = None,
    environ: Mapping[str, str] | None = None,
    prog: str = "s3shim serve",
) -> Config:
    """Return the settings of the flags ``argv`` (None: no flags) and ``environ`` (None: the process's).

    Raises ConfigError for an unknown name and for a bad value; secrets are not repeated in it.
    """
    environ = os.environ if environ is None else environ
    line = command_line.read(argv or (), prog)
    given = _given(line, environ)
    values = {setting.name: _value(setting, given.get(setting.name)) for setting in SETTINGS}
    backend = values["backend"]
    for name, (source, _) in line.given.items():
        _check_belongs(_BY_NAME[name], source, values)
    if backend == NATS:
        _complete_nats(values, given, environ)
        if line.nats_s3 is not None:
            _take_login_for_keys(values, line)
    for names in _PAIRS:
        one, other = (_BY_NAME[name] for name in names)
        if _counts(one, values):
            _check_pair(values, given, one, other)
    values["domains"] = values["domains"] or ()
    values["trusted_proxies"] = values["trusted_proxies"] or Trusted()
    external = values["external_url"]
    if external is not None and bucket_of(external.host, values["domains"]):
        raise ConfigError(f"{PREFIX}EXTERNAL_URL is the URL of a bucket below one of {PREFIX}DOMAINS")
    if values["open_access"] and (values["credentials"] is not None or values["access_key"] is not None):
        raise ConfigError("--open-access lets everybody in: it does not go with credentials or an access key")
    if values["credentials"] is None:
        values["credentials"] = values["data"] / "credentials.json"
    made = {field.name: values[field.name] for field in fields(Config) if field.name in values}
    return Config(
        **made,
        nats=storages.nats(values) if backend == NATS else None,
        upstream=storages.upstream(values) if backend == S3 else None,
        leases=storages.leases(values, given) if backend == S3 else None,
        secret_arguments=tuple(text for name, (_, text) in line.given.items() if _BY_NAME[name].secret),
    )


def key_pair(environ: Mapping[str, str] | None = None) -> tuple[str, str] | None:
    """Return the key pair of the environment: that of s3shim, else that of AWS's clients; None for none."""
    environ = os.environ if environ is None else environ
    for access_key, secret_key in (
        (f"{PREFIX}ACCESS_KEY", f"{PREFIX}SECRET_KEY"),
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    ):
        if environ.get(access_key) and environ.get(secret_key):
            return environ[access_key], environ[secret_key]
    return None


def _given(line: CommandLine, environ: Mapping[str, str]) -> dict[str, Given]:
    """Return what flags and environment say, by the name of the setting. Raises ConfigError."""
    names = {setting.variable: setting.name for setting in SETTINGS}
    given = {}
    for variable in sorted(environ):
        if variable.startswith(PREFIX):
            if variable not in names:
                raise ConfigError(f"unknown setting {variable} in the environment")
            given[names[variable]] = Given(variable, environ[variable])
    if line.nats_s3 is not None:
        given["backend"] = Given(line.nats_s3, NATS)
        given.setdefault("listen", Given(line.nats_s3, nats_s3.LISTEN))
    return given | line.given


def _value(setting: Setting, given: Given | None) -> Any:
    if given is None:
        return None if setting.default is None else setting.parse(setting.default)
    try:
        return setting.parse(given.text)
    except ValueError as error:
        shown = "" if setting.secret else f" {given.text[:80]!r}"
        raise ConfigError(f"{given.source}{shown}: must be {error}") from None


def _counts(setting: Setting, values: Mapping[str, Any]) -> bool:
    """Whether a setting means something for the storage that is chosen."""
    if setting.backends and values["backend"] not in setting.backends:
        return False
    return values["backend"] != S3 or setting.name not in storages.OF_LEASES or values["upstream_leases"]


def _check_belongs(setting: Setting, source: str, values: Mapping[str, Any]) -> None:
    if _counts(setting, values):
        return
    backend, others = values["backend"], " and ".join(setting.backends)
    if backend in setting.backends:
        raise ConfigError(f"{source} means nothing with --backend {backend} but for --upstream-leases")
    raise ConfigError(f"{source} means nothing with --backend {backend}, it is for {others}")


def _check_pair(values: Mapping[str, Any], given: Mapping[str, Given], one: Setting, other: Setting) -> None:
    if (values[one.name] is None) == (values[other.name] is None):
        return
    source = (given.get(one.name) or given[other.name]).source
    names = [setting.variable if source.startswith(PREFIX) else setting.option for setting in (one, other)]
    raise ConfigError(f"{' and '.join(names)} must be given together")


def _complete_nats(values: dict[str, Any], given: Mapping[str, Given], environ: Mapping[str, str]) -> None:
    """Take what a NATS server's own environment says; refuse it for a server that we run ourselves."""
    if values["embedded_nats"] is not None:
        for name in storages.OF_OTHER_SERVERS:
            if name in given:
                raise ConfigError(f"{given[name].source} cannot be given with --embedded-nats")
        return
    found = dict(surroundings.settings(environ))
    if values["nats_servers"].login is None and not any(name in given for name in storages.LOGINS):
        found |= surroundings.credentials(environ)
    if "nats_tls_cert" in given or "nats_tls_key" in given:
        found.pop("nats_tls_cert", None)
        found.pop("nats_tls_key", None)
    for name, said in found.items():
        if name not in given:
            values[name] = _value(_BY_NAME[name], said)


def _take_login_for_keys(values: dict[str, Any], line: CommandLine) -> None:
    """Give nats-s3's command line the keys that it had: a file of them, or the NATS login as the only pair.

    Raises ConfigError where it has neither, as nats-s3 does; an older one then let everybody in.
    """
    if values["open_access"] or values["credentials"] is not None or values["access_key"] is not None:
        return
    if "nats_user" not in line.given or "nats_password" not in line.given:
        raise ConfigError(
            f"{line.nats_s3} is a flag of nats-s3, and nothing says who may sign: give --s3.credentials, or "
            "--natsUser and --natsPassword; --open-access lets everybody in"
        )
    for name, login in (("access_key", "nats_user"), ("secret_key", "nats_password")):
        source, text = line.given[login]
        try:
            values[name] = _BY_NAME[name].parse(text)
        except ValueError as error:
            raise ConfigError(f"{source} is the {name.replace('_', ' ')} too: must be {error}") from None
