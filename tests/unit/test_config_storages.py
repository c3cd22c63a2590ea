"""The settings of the storages beyond this machine: what they come to, and what is refused in which words."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from s3shim import config
from s3shim.backends.nats.settings import NatsSettings
from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.config import ConfigError, load
from s3shim.config.storages import OF_LEASES

NATS = ["--backend", "nats"]
S3 = ["--backend", "s3", "--upstream-endpoint", "http://127.0.0.1:3900"]
KEYS = ["--upstream-access-key", "GKabc", "--upstream-secret-key", "Geheimnis"]
OF_BOTH = [setting for setting in config.SETTINGS if setting.name in OF_LEASES[:-1]]
OF_NATS = [setting for setting in config.SETTINGS if setting.backends == ("nats",)]
OF_S3 = [setting for setting in config.SETTINGS if setting.backends == ("s3",)]
OF_LOCAL = [setting for setting in config.SETTINGS if setting.backends == ("local",)]


def refusal(arguments: list[str], environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as refused:
        load(arguments, environ or {})
    said = str(refused.value)
    assert "\n" not in said
    assert "Geheim" not in said
    return said


def nats(*arguments: str, **environ: str) -> Any:
    made = load([*NATS, *arguments], environ)
    assert made.upstream is None
    return made.nats


def upstream(*arguments: str, **environ: str) -> Any:
    made = load([*S3, *arguments], environ)
    assert made.nats is None
    return made.upstream


def test_the_local_storage_is_the_default() -> None:
    made = load([], {})
    assert (made.backend, made.nats, made.upstream, made.embedded_nats) == ("local", None, None, None)
    assert load([], {"S3SHIM_BACKEND": "nats"}).backend == "nats"
    assert load(["--backend", "local"], {"S3SHIM_BACKEND": "nats"}).backend == "local"
    assert refusal(["--backend", "memory"]) == "--backend 'memory': must be one of local, nats, s3"


@pytest.mark.parametrize("setting", [*OF_BOTH, *OF_NATS, *OF_S3], ids=lambda setting: setting.name)
def test_a_flag_of_another_storage_is_refused_and_a_variable_is_not(setting: config.Setting) -> None:
    good = {"nats_monitor": "http://abc", "upstream_endpoint": "http://abc"}
    value = good.get(setting.name, setting.default or "abc")
    assert refusal([setting.option] if setting.is_switch else [setting.option, value]) == (
        f"{setting.option} means nothing with --backend local, it is for {' and '.join(setting.backends)}"
    )
    assert load([], {setting.variable: value}).backend == "local"


@pytest.mark.parametrize("setting", OF_LOCAL, ids=lambda setting: setting.name)
def test_a_flag_of_the_local_storage_is_refused_elsewhere(setting: config.Setting) -> None:
    value = [] if setting.is_switch else [str(setting.default)]
    assert refusal([*NATS, setting.option, *value]) == (
        f"{setting.option} means nothing with --backend nats, it is for local"
    )
    assert load(NATS, {setting.variable: str(setting.default)}).backend == "nats"


def test_what_nats_is_told_by_default() -> None:
    settings = nats("--data", "/srv/x")
    assert settings.index == Path("/srv/x/nats-index")
    assert settings.servers == ("nats://127.0.0.1:4222",)
    assert (settings.user, settings.password, settings.token, settings.nkey, settings.creds) == (None,) * 5
    assert (settings.tls_ca, settings.tls_cert, settings.tls_key, settings.tls_server_name) == (None,) * 4
    assert (settings.domain, settings.api_prefix, settings.monitor) == (None, None, None)
    assert (settings.replicas, settings.timeout, settings.grace) == (1, 5.0, 60)
    assert (settings.account, settings.upload_expiry) == ("default", 604800)


def test_every_setting_of_nats_arrives() -> None:
    settings = nats(
        "--nats-servers", "nats://a:1,tls://b , [::1]:7, c",
        "--nats-tls-ca", "/ca", "--nats-tls-cert", "/cert", "--nats-tls-key", "/key",
        "--nats-tls-server-name", "NATS.example.com", "--nats-domain", "hub", "--nats-replicas", "3",
        "--nats-monitor", "http://a:8222/", "--nats-timeout", "2.5", "--nats-grace", "7",
        "--account", "main", "--upload-expiry", "9",
    )  # fmt: skip
    assert settings.servers == ("nats://a:1", "tls://b:4222", "nats://[::1]:7", "nats://c:4222")
    assert (settings.tls_ca, settings.tls_cert, settings.tls_key) == (
        Path("/ca"),
        Path("/cert"),
        Path("/key"),
    )
    assert settings.tls_server_name == "nats.example.com"
    assert (settings.domain, settings.replicas, settings.monitor) == ("hub", 3, "http://a:8222")
    assert (settings.timeout, settings.grace, settings.account, settings.upload_expiry) == (2.5, 7, "main", 9)
    assert nats("--nats-api-prefix", "$JS.hub.API").api_prefix == "$JS.hub.API"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--nats-user", "u", "--nats-password", "Geheimnis"], {"user": "u", "password": "Geheimnis"}),
        (["--nats-token", "Geheimnis"], {"token": "Geheimnis"}),
        (["--nats-nkey", "/n"], {"nkey": Path("/n")}),
        (["--nats-creds", "/c"], {"creds": Path("/c")}),
        (["--nats-servers", "nats://u:p%40Geheim@a,u:p%40Geheim@b"], {"user": "u", "password": "p@Geheim"}),
        (["--nats-servers", "nats://Geheimnis@a"], {"token": "Geheimnis"}),
    ],
)
def test_logins(arguments: list[str], found: dict[str, Any]) -> None:
    settings = nats(*arguments)
    names = ("user", "password", "token", "nkey", "creds")
    assert {name: value for name in names if (value := getattr(settings, name)) is not None} == found
    assert "Geheim" not in repr(settings)
    assert "@" not in "".join(settings.servers)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nats-user", "u"], "--nats-user and --nats-password must be given together"),
        (["--nats-password", "Geheimnis"], "--nats-user and --nats-password must be given together"),
        (
            ["--nats-token", "Geheimnis", "--nats-creds", "/c"],
            "--nats-token and --nats-creds are logins: only one can be given",
        ),
        (
            ["--nats-user", "u", "--nats-password", "Geheimnis", "--nats-nkey", "/n"],
            "--nats-user and --nats-nkey are logins: only one can be given",
        ),
        (
            ["--nats-servers", "nats://u:Geheimnis@a", "--nats-token", "Geheimnis"],
            "--nats-token and the URL of --nats-servers are logins: only one can be given",
        ),
        (
            ["--nats-servers", "nats://u:Geheimnis@a,nats://b"],
            "--nats-servers: must be NATS servers with the same login in every URL, or with none",
        ),
        (
            ["--nats-servers", "a,http://u:Geheimnis@b"],
            "--nats-servers: must be NATS servers such as nats://127.0.0.1:4222 or tls://nats.example.com, "
            "with commas between; number 2 is none",
        ),
        (["--nats-tls-cert", "/c"], "--nats-tls-cert and --nats-tls-key must be given together"),
        (
            ["--nats-domain", "a", "--nats-api-prefix", "b"],
            "--nats-domain and --nats-api-prefix exclude each other",
        ),
        (["--nats-replicas", "0"], "--nats-replicas '0': must be a whole number from 1 to 5"),
        (["--nats-timeout", "0"], "--nats-timeout '0': must be a number of seconds, at least 0.1"),
        (["--nats-token", "Geheim\nnis"], "--nats-token: must be 1 to 1024 printable characters"),
        (["--nats-password", ""], "--nats-password: must be 1 to 1024 printable characters"),
        (
            ["--nats-monitor", "a:8222"],
            "--nats-monitor 'a:8222': must be the URL of a NATS server's monitor, such as http://127.0.0.1:8222",
        ),
    ],
)
def test_what_is_refused_of_nats(arguments: list[str], said: str) -> None:
    assert refusal([*NATS, *arguments]) == said


@pytest.mark.parametrize(
    "text", ["", ",", "a,", "nats://", "nats://a/b", "nats://a?b", "a b", "a:65536", "http://a"]
)
def test_bad_servers(text: str) -> None:
    assert refusal([*NATS, f"--nats-servers={text}"]).startswith("--nats-servers: must be NATS servers")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nats-domain", "a.b"),
        ("nats-domain", ""),
        ("nats-api-prefix", "a..b"),
        ("nats-api-prefix", "a.>"),
        ("nats-api-prefix", "a.*"),
        ("nats-api-prefix", "a b"),
        ("nats-tls-server-name", "a b"),
        ("nats-nkey", ""),
        ("account", "a b"),
    ],
)
def test_bad_values_of_nats(name: str, text: str) -> None:
    assert refusal([*NATS, f"--{name}={text}"]).startswith(f"--{name} {text!r}: must be ")


def test_pairs_are_named_as_they_were_given() -> None:
    said = refusal(NATS, {"S3SHIM_NATS_USER": "u"})
    assert said == "S3SHIM_NATS_USER and S3SHIM_NATS_PASSWORD must be given together"


def test_an_embedded_server() -> None:
    made = load([*NATS, "--embedded-nats", "/srv/nats"], {})
    assert made.embedded_nats == Path("/srv/nats")
    assert refusal([*NATS, "--embedded-nats", "/srv/nats", "--nats-replicas", "3"]) == (
        "--nats-replicas must be 1 with --embedded-nats: there is one server"
    )


@pytest.mark.parametrize(
    ("arguments", "environ", "source"),
    [
        (["--nats-servers", "a"], {}, "--nats-servers"),
        ([], {"S3SHIM_NATS_SERVERS": "a"}, "S3SHIM_NATS_SERVERS"),
        (["--nats-token", "Geheimnis"], {}, "--nats-token"),
        (["--natsToken", "Geheimnis", "--credentials", "/k"], {}, "--natsToken"),
        (["--nats-creds", "/c"], {}, "--nats-creds"),
        (["--nats-tls-ca", "/c"], {}, "--nats-tls-ca"),
        (["--nats-domain", "d"], {}, "--nats-domain"),
        (["--nats-monitor", "http://a:1"], {}, "--nats-monitor"),
    ],
)
def test_an_embedded_server_is_no_other(arguments: list[str], environ: dict[str, str], source: str) -> None:
    said = refusal([*NATS, "--embedded-nats", "/srv/nats", *arguments], environ)
    assert said == f"{source} cannot be given with --embedded-nats"


def test_what_another_s3_is_told_by_default() -> None:
    settings = upstream("--data", "/srv/x", *KEYS)
    assert settings.endpoint == "http://127.0.0.1:3900"
    assert settings.state == Path("/srv/x/upstream")
    assert (settings.access_key, settings.secret_key, settings.session_token) == ("GKabc", "Geheimnis", None)
    assert (settings.credentials, settings.profile) == (None, None)
    assert (settings.region, settings.path_style, settings.ca) == ("us-east-1", True, None)
    assert (settings.bucket, settings.prefix, settings.dialect) == (None, "", "auto")
    assert (settings.connections, settings.attempts, settings.block_size) == (32, 4, 2**20)
    assert (settings.records, settings.deadline) == ("s3shim-records", 60)
    assert (settings.leases, settings.lease_time) == (False, 5)
    assert "Geheim" not in repr(settings)
    assert (settings.connect_timeout, settings.first_byte_timeout, settings.idle_timeout) == (3, 30, 60)
    assert (settings.account, settings.upload_expiry) == ("default", 604800)


def test_every_setting_of_another_s3_arrives() -> None:
    settings = upstream(
        *KEYS, "--upstream-session-token", "Geheimzeichen", "--upstream-region", "garage",
        "--upstream-addressing", "virtual", "--upstream-ca", "/ca", "--upstream-bucket", "one-bucket",
        "--upstream-prefix", "ours/", "--upstream-dialect", "garage", "--upstream-connections", "4",
        "--upstream-connect-timeout", "1", "--upstream-first-byte-timeout", "2",
        "--upstream-idle-timeout", "3",
        "--upstream-attempts", "5", "--upstream-block-size", "64KiB",
        "--account", "main", "--upload-expiry", "9", "--upstream-records", "own-records",
        "--upstream-deadline", "7",
    )  # fmt: skip
    assert (settings.records, settings.deadline) == ("own-records", 7)
    assert (settings.session_token, settings.region, settings.path_style) == (
        "Geheimzeichen",
        "garage",
        False,
    )
    assert (settings.ca, settings.bucket, settings.prefix) == (Path("/ca"), "one-bucket", "ours/")
    assert (settings.dialect, settings.connections, settings.attempts) == ("garage", 4, 5)
    assert (settings.connect_timeout, settings.first_byte_timeout, settings.idle_timeout) == (1, 2, 3)
    assert settings.block_size == 2**16
    assert (settings.account, settings.upload_expiry) == ("main", 9)
    assert upstream("--upstream-credentials", "/k").credentials == Path("/k")
    assert upstream("--upstream-profile", "p").profile == "p"
    assert upstream("--upstream-profile", "p", S3SHIM_UPSTREAM_REGION="a").region == "a"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("http://127.0.0.1:3900", "http://127.0.0.1:3900"),
        ("https://s3.example.com/", "https://s3.example.com"),
        ("https://[::1]:3900", "https://[::1]:3900"),
    ],
)
def test_endpoints(text: str, made: str) -> None:
    assert upstream(*KEYS, "--upstream-endpoint", text).endpoint == made


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("127.0.0.1:3900", "a URL with its scheme, such as http://127.0.0.1:3900 or https://s3.example.com"),
        ("ftp://a", "a URL with its scheme, such as http://127.0.0.1:3900 or https://s3.example.com"),
        ("", "a URL with its scheme, such as http://127.0.0.1:3900 or https://s3.example.com"),
        ("http://a/b", "a URL without a path"),
        ("http://a//", "a URL without a path"),
        ("http://a?b", "a URL without a query"),
        ("http://a#b", "a URL without a query"),
        ("http://GK:Geheim@a", "a URL without credentials; keys have settings of their own"),
        ("http://", "a URL with a host and perhaps a port, such as http://127.0.0.1:3900"),
        ("http://a:65536", "a URL with a host and perhaps a port, such as http://127.0.0.1:3900"),
        ("http://a:0", "a URL with a host and perhaps a port, such as http://127.0.0.1:3900"),
        ("http://a b", "a URL with a host and perhaps a port, such as http://127.0.0.1:3900"),
    ],
)
def test_bad_endpoints(text: str, what: str) -> None:
    assert refusal([*S3, *KEYS, f"--upstream-endpoint={text}"]) == f"--upstream-endpoint: must be {what}"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backend", "s3", *KEYS], "--upstream-endpoint is needed with --backend s3"),
        (
            S3,
            "--backend s3 needs keys: --upstream-access-key and --upstream-secret-key, "
            "--upstream-credentials, or --upstream-profile",
        ),
        (
            [*S3, "--upstream-access-key", "GKGeheim"],
            "--upstream-access-key and --upstream-secret-key must be given together",
        ),
        (
            [*S3, *KEYS, "--upstream-profile", "p"],
            "--upstream-access-key and --upstream-profile are keys: only one can be given",
        ),
        (
            [*S3, "--upstream-credentials", "/k", "--upstream-profile", "p"],
            "--upstream-credentials and --upstream-profile are keys: only one can be given",
        ),
        (
            [*S3, "--upstream-profile", "p", "--upstream-session-token", "Geheimnis"],
            "--upstream-session-token needs --upstream-access-key and --upstream-secret-key",
        ),
    ],
)
def test_what_is_refused_of_another_s3(arguments: list[str], said: str) -> None:
    assert refusal(arguments) == said


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("upstream-secret-key", "", False),
        ("upstream-secret-key", "Geheim\0nis", False),
        ("upstream-session-token", "Geheim\n", False),
        ("upstream-region", "US EAST", True),
        ("upstream-addressing", "dns", True),
        ("upstream-bucket", "A", True),
        ("upstream-records", "", True),
        ("upstream-deadline", "0", True),
        ("upstream-bucket", "a..b", True),
        ("upstream-prefix", "/a", True),
        ("upstream-prefix", "a//b", True),
        ("upstream-prefix", "a ", True),
        ("upstream-prefix", "é" * 257, True),
        ("upstream-prefix", "", True),
        ("upstream-dialect", "swift", True),
        ("upstream-connections", "0", True),
        ("upstream-attempts", "0", True),
        ("upstream-block-size", "5000", True),
        ("upstream-connect-timeout", "0", True),
        ("upstream-first-byte-timeout", "x", True),
        ("upstream-idle-timeout", "0", True),
    ],
)
def test_bad_values_of_another_s3(name: str, text: str, shown: bool) -> None:
    value = f" {text[:80]!r}" if shown else ""
    assert refusal([*S3, *KEYS, f"--{name}={text}"]).startswith(f"--{name}{value}: must be ")


@pytest.mark.parametrize(
    ("rows", "prefix", "record", "otherwise"),
    [
        ([*OF_BOTH, *OF_NATS], "nats_", NatsSettings, {"index": "data"}),
        (OF_S3, "upstream_", UpstreamSettings, {"state": "data", "path_style": "upstream_addressing"}),
    ],
)
def test_every_field_has_a_setting_and_every_setting_a_field(
    rows: list[config.Setting], prefix: str, record: type, otherwise: dict[str, str]
) -> None:
    names = {otherwise.get(field.name, prefix + field.name) for field in fields(record)}
    common = {"data", f"{prefix}account", f"{prefix}upload_expiry"}
    assert names - common == {row.name for row in rows} - {"embedded_nats"}
