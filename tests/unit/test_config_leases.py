"""The settings of leases: where they are kept, and what means nothing without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3shim import config
from s3shim.config import load
from s3shim.config.storages import OF_LEASES
from tests.unit.test_config_storages import KEYS, S3, refusal

LEASES = [*S3, *KEYS, "--upstream-leases"]


def test_leases_have_a_connection_to_nats() -> None:
    arguments = [
        "--nats-servers", "nats://u:Geheim@a,u:Geheim@b", "--nats-tls-ca", "/ca", "--nats-tls-cert", "/cert",
        "--nats-tls-key", "/key", "--nats-tls-server-name", "n.example.com", "--nats-domain", "hub",
        "--nats-replicas", "3", "--nats-timeout", "2", "--upstream-lease-time", "20",
    ]  # fmt: skip
    made = load([*LEASES, *arguments], {"S3SHIM_EMBEDDED_NATS": "/x", "S3SHIM_NATS_MONITOR": "http://a"})
    assert made.nats is None
    assert made.leases is not None
    assert made.upstream is not None
    assert (made.upstream.leases, made.upstream.lease_time) == (True, 20)
    settings = made.leases
    assert (settings.servers, settings.user, settings.password) == (
        ("nats://a:4222", "nats://b:4222"),
        "u",
        "Geheim",
    )
    assert (settings.tls_ca, settings.tls_cert, settings.tls_key) == (
        Path("/ca"),
        Path("/cert"),
        Path("/key"),
    )
    assert (settings.tls_server_name, settings.domain) == ("n.example.com", "hub")
    assert (settings.replicas, settings.timeout, settings.monitor) == (3, 2, None)


@pytest.mark.parametrize(("time", "timeout"), [("1", 0.5), ("5", 2.5), ("1000", 5)])
def test_an_answer_is_waited_for_no_longer_than_it_is_of_use(time: str, timeout: float) -> None:
    made = load([*LEASES, "--nats-servers", "a", "--upstream-lease-time", time], {}).leases
    assert made is not None
    assert made.timeout == timeout


@pytest.mark.parametrize("setting", [row for row in config.SETTINGS if row.name in OF_LEASES])
def test_what_leases_need_means_nothing_without_them(setting: config.Setting) -> None:
    value = setting.default or "abc"
    assert refusal([*S3, *KEYS, setting.option, value]) == (
        f"{setting.option} means nothing with --backend s3 but for --upstream-leases"
    )
    made = load([*S3, *KEYS], {setting.variable: value})
    assert (made.nats, made.leases) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--upstream-leases needs --nats-servers: the leases of all machines are there"),
        (
            ["--nats-token", "Geheim"],
            "--upstream-leases needs --nats-servers: the leases of all machines are there",
        ),
        (["--nats-servers", "http://Geheim@a"], None),
        (
            ["--nats-servers", "a", "--nats-user", "u"],
            "--nats-user and --nats-password must be given together",
        ),
        (
            ["--nats-servers", "a", "--nats-token", "Geheim", "--nats-nkey", "/n"],
            "--nats-token and --nats-nkey are logins: only one can be given",
        ),
        (
            ["--nats-servers", "a", "--nats-tls-key", "/k"],
            "--nats-tls-cert and --nats-tls-key must be given together",
        ),
        (
            ["--nats-servers", "a", "--nats-domain", "a", "--nats-api-prefix", "b"],
            "--nats-domain and --nats-api-prefix exclude each other",
        ),
        (
            ["--nats-servers", "a", "--embedded-nats", "/x"],
            "--embedded-nats means nothing with --backend s3, it is for nats",
        ),
        (
            ["--nats-servers", "a", "--nats-grace", "1"],
            "--nats-grace means nothing with --backend s3, it is for nats",
        ),
        (
            ["--nats-servers", "a", "--upstream-lease-time", "0.5"],
            "--upstream-lease-time '0.5': must be a number of seconds, at least 1",
        ),
    ],
)  # fmt: skip
def test_what_is_refused_of_leases(arguments: list[str], said: str | None) -> None:
    found = refusal([*LEASES, *arguments])
    assert found == said if said else found.startswith("--nats-servers: must be NATS servers")
