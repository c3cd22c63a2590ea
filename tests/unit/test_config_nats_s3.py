"""Command lines of nats-s3, and the environment of a NATS server's container."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3shim.config import Address, Config, ConfigError, load
from tests.unit.test_config_storages import refusal

KEYS = ["--s3.credentials", "/k"]


def nats_s3(*arguments: str, **environ: str) -> Config:
    made = load(arguments, environ)
    assert made.backend == "nats"
    return made


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_the_whole_command_line(dashes: str) -> None:
    flags = {
        "listen": "127.0.0.1:5222", "natsServers": "nats://a:1,nats://b:2", "natsUser": "user-of-nats",
        "natsPassword": "-Geheimnis", "replicas": "3", "s3.credentials": "/k", "log.format": "json",
        "log.level": "warn", "http.read-timeout": "5m", "http.write-timeout": "1h0m0.5s",
        "http.idle-timeout": "120s", "http.read-header-timeout": "1500ms",
    }  # fmt: skip
    apart = [part for name, value in flags.items() for part in (dashes + name, value)]
    joined = [f"{dashes}{name}={value}" for name, value in flags.items()]
    for arguments in (apart, joined):
        made = nats_s3(*arguments)
        assert made.listen == Address("127.0.0.1", 5222)
        assert made.nats.servers == ("nats://a:1", "nats://b:2")
        assert (made.nats.user, made.nats.password, made.nats.replicas) == ("user-of-nats", "-Geheimnis", 3)
        assert (made.credentials, made.access_key) == (Path("/k"), None)
        assert (made.log_format, made.log_level) == ("json", "warning")
        assert (made.body_timeout, made.request_timeout) == (300, 3600.5)
        assert (made.keepalive, made.header_timeout) == (120, 1.5)


def test_the_other_logins() -> None:
    token = nats_s3("-natsToken", "Geheimnis", *KEYS).nats
    nkey = nats_s3("-natsNKeyFile", "/n", *KEYS).nats
    creds = nats_s3("-natsCredsFile", "/c", *KEYS).nats
    assert (token.token, nkey.nkey, creds.creds) == ("Geheimnis", Path("/n"), Path("/c"))
    assert refusal(["-natsToken", "Geheimnis", "-natsCredsFile", "/c", *KEYS]) == (
        "--nats-token and --nats-creds are logins: only one can be given"
    )


def test_it_listens_where_nats_s3_does() -> None:
    assert nats_s3("-natsServers", "a", *KEYS).listen == Address("0.0.0.0", 5222)
    assert nats_s3("-natsServers", "a", *KEYS, "-listen", ":1").listen == Address("0.0.0.0", 1)
    made = nats_s3("-natsServers", "a", *KEYS, S3SHIM_LISTEN="127.0.0.1:2")
    assert made.listen == Address("127.0.0.1", 2)
    assert load(["-listen", ":1"], {}).backend == "local"


def test_the_storage_is_implied() -> None:
    assert nats_s3("-replicas", "1", *KEYS, S3SHIM_BACKEND="local").backend == "nats"
    assert refusal(["-replicas", "1", *KEYS, "--backend", "local"]) == (
        "-replicas means nothing with --backend local, it is for nats and s3"
    )


def test_the_login_is_the_key_pair_where_there_is_no_other() -> None:
    login = ["--natsUser", "my-access-key", "--natsPassword", "my-secret-key"]
    made = nats_s3(*login)
    assert (made.nats.user, made.nats.password) == ("my-access-key", "my-secret-key")
    assert (made.access_key, made.secret_key) == ("my-access-key", "my-secret-key")
    for more in (KEYS, ["--credentials", "/k"]):
        assert nats_s3(*login, *more).access_key is None
    assert nats_s3(*login, S3SHIM_CREDENTIALS="/k").access_key is None
    other = nats_s3(*login, S3SHIM_ACCESS_KEY="other", S3SHIM_SECRET_KEY="Geheimnis")
    assert (other.access_key, other.secret_key) == ("other", "Geheimnis")


@pytest.mark.parametrize(
    ("user", "password", "said"),
    [
        (
            "ab",
            "my-secret-key",
            "--natsUser is the access key too: must be 3 to 128 visible ASCII characters",
        ),
        ("my-access-key", "Geheim7", "--natsPassword is the secret key too: must be 8 to 256 visible ASCII"),
    ],
)
def test_a_login_that_cannot_be_a_key_pair_is_refused(user: str, password: str, said: str) -> None:
    assert refusal(["--natsUser", user, "--natsPassword", password]).startswith(said)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--natsServers", "nats://127.0.0.1:4222"],
        ["--natsServers", "nats://127.0.0.1:4222", "--natsUser", "", "--natsPassword", ""],
        ["--natsServers", "a", "--natsToken", "Geheimnis"],
    ],
)
def test_an_open_gateway_is_refused(arguments: list[str]) -> None:
    assert refusal(arguments) == (
        f"{arguments[0]} is a flag of nats-s3, and nothing says who may sign: give --s3.credentials, or "
        "--natsUser and --natsPassword; --open-access lets everybody in"
    )


def test_an_open_gateway_has_to_be_asked_for() -> None:
    flags = ["--natsServers", "a", "--natsUser", "", "--natsPassword", "", "--open-access"]
    made = nats_s3(*flags)
    assert (made.open_access, made.access_key, made.nats.user) == (True, None, None)
    login = nats_s3("--natsUser", "u", "--natsPassword", "p", "--open-access")
    assert (login.access_key, login.nats.user) == (None, "u")
    said = "--open-access lets everybody in: it does not go with credentials or an access key"
    assert refusal([*flags, *KEYS]) == said
    assert refusal(["--open-access"], {"S3SHIM_ACCESS_KEY": "abc", "S3SHIM_SECRET_KEY": "Geheimnis"}) == said
    assert not load([], {}).open_access


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-natsServers"], "-natsServers: a value is missing"),
        (["-replicas", "0", *KEYS], "-replicas '0': must be a whole number from 1 to 5"),
        (["-log.level", "loud", *KEYS], "-log.level 'loud': must be one of debug, info, warning, error"),
        (["-natsToken", "a\n", *KEYS], "-natsToken: must be 1 to 1024 printable characters"),
        (["-natsUser", "u", *KEYS], "--nats-user and --nats-password must be given together"),
        (
            ["-natsServers", "a", "--nats-servers", "b", *KEYS],
            "-natsServers and --nats-servers are the same setting",
        ),
        (["-natsserver", "a"], "unknown argument -natsserver"),
        (["-nats", "a"], "unknown argument -nats"),
    ],
)
def test_what_is_refused(arguments: list[str], said: str) -> None:
    assert refusal(arguments) == said


@pytest.mark.parametrize("text", ["15", "m", "-1s", "1d", "1m ", "1m30", "one"])
def test_bad_durations(text: str) -> None:
    for flag in (
        "-http.read-timeout",
        "-http.write-timeout",
        "-http.idle-timeout",
        "-http.read-header-timeout",
    ):
        assert refusal([f"{flag}={text}", *KEYS]) == (
            f"{flag} {text!r}: must be a duration such as 15m, 90s or 1m30s"
        )


@pytest.mark.parametrize(
    ("flags", "header", "body", "whole", "keepalive"),
    [
        ([], 10, 0, 0, 20),
        (["-http.read-timeout=0", "-http.write-timeout=0s"], 10, 0, 0, 20),
        (["-http.read-header-timeout=0", "-http.idle-timeout=0"], 900, 0, 0, 900),
        (["-http.read-timeout=1m", "-http.read-header-timeout=0", "-http.idle-timeout=0"], 60, 60, 0, 60),
        (["-http.read-timeout=0", "-http.read-header-timeout=0", "-http.idle-timeout=0"], 86400, 0, 0, 86400),
        (["-http.idle-timeout=1500ms", "-http.write-timeout=.5h1us"], 10, 0, 1800.001, 2),
    ],
)
def test_time_outs_mean_what_they_mean_in_go(
    flags: list[str], header: float, body: float, whole: float, keepalive: int
) -> None:
    made = nats_s3("-natsServers=a", *flags, *KEYS)
    assert (made.header_timeout, made.body_timeout) == (header, body)
    assert (made.request_timeout, made.keepalive) == (whole, keepalive)


def test_the_environment_of_a_server_counts_least(tmp_path: Path) -> None:
    environ = {"NATS_CLIENT_URL": "nats://server:4222", "S3SHIM_BACKEND": "nats"}
    assert load([], environ).nats.servers == ("nats://server:4222",)
    ours = environ | {"S3SHIM_NATS_SERVERS": "nats://ours"}
    assert load([], ours).nats.servers == ("nats://ours:4222",)
    assert load([], {"NATS_CLIENT_URL": "junk://"}).backend == "local"
    assert refusal([], environ | {"NATS_CLIENT_URL": "junk://"}).startswith(
        "NATS_CLIENT_URL: must be NATS servers"
    )
    embedded = load(["--embedded-nats", str(tmp_path)], environ)
    assert embedded.embedded_nats == tmp_path


def test_the_certificates_of_a_server(tmp_path: Path) -> None:
    current, old = tmp_path / "current", tmp_path / "old"
    for directory in (current, old):
        directory.mkdir()
        (directory / "ca.crt").touch()
    environ = {"S3SHIM_BACKEND": "nats", "NATS_SSL_DIR": str(old)}
    made = load([], environ).nats
    assert (made.tls_ca, made.tls_cert, made.tls_key) == (old / "ca.crt", None, None)
    (current / "tls.crt").touch()
    (current / "tls.key").touch()
    environ["NATS_TLS_DIR"] = str(current)
    made = load([], environ).nats
    assert (made.tls_ca, made.tls_cert) == (current / "ca.crt", current / "tls.crt")
    assert made.tls_key == current / "tls.key"
    made = load(["--nats-tls-ca", "/ca", "--nats-tls-cert", "/c", "--nats-tls-key", "/k"], environ).nats
    assert (made.tls_ca, made.tls_cert, made.tls_key) == (Path("/ca"), Path("/c"), Path("/k"))


def test_the_credentials_of_a_server(tmp_path: Path) -> None:
    environ = {"S3SHIM_BACKEND": "nats", "NATS_CREDS_DIR": str(tmp_path)}
    named = f"NATS_CREDS_DIR {str(tmp_path)[:80]!r}"
    said = f"{named}: must have one file *.creds, it has %d; --nats-creds names one"
    assert refusal([], environ) == said % 0
    (tmp_path / "one.creds").touch()
    made = load([], environ).nats
    assert made.creds == tmp_path / "one.creds"
    made = load(["--nats-token", "Geheimnis"], environ).nats
    assert (made.creds, made.token) == (None, "Geheimnis")
    (tmp_path / "two.creds").touch()
    assert refusal([], environ) == said % 2
    assert load([], {"NATS_CREDS_DIR": str(tmp_path)}).backend == "local"


def test_no_other_variable_of_nats_is_refused() -> None:
    with pytest.raises(ConfigError, match="S3SHIM_NATS_CLIENT_URL"):
        load([], {"S3SHIM_NATS_CLIENT_URL": "a"})
    assert load([], {"NATS_CONF": "/x", "NATS_SERVER_MODE": "leaf"}).backend == "local"
