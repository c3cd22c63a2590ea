"""Where the NATS server of our own is to be, and how the workers are told."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from s3shim.cli.embedded import free_ports
from s3shim.config import ConfigError, load
from s3shim.config.embedded import OwnServer, nats_settings

OWN = OwnServer(12345, 12346, "s3shim", "0123456789abcdef")


def test_ports_are_free_and_not_of_those_that_anybody_gets() -> None:
    lowest, _ = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(1024 < port < int(lowest) for port in ports)
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def test_no_port_is_found_where_all_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(address: tuple[str, int]) -> socket.socket:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(socket, "create_server", taken)
    with pytest.raises(OSError, match="no free port"):
        free_ports(1)


def test_workers_read_what_the_master_has_written(tmp_path: Path) -> None:
    config = load(["--backend", "nats", "--embedded-nats", str(tmp_path), "--nats-timeout", "7"], {})
    with pytest.raises(ConfigError, match=f"^{tmp_path}/client.json: No such file or directory$"):
        nats_settings(config)
    OWN.write(tmp_path)
    made = nats_settings(config)
    assert made.servers == ("nats://127.0.0.1:12345",)
    assert (made.user, made.password, made.monitor) == ("s3shim", OWN.password, "http://127.0.0.1:12346")
    assert (made.timeout, made.index) == (7, Path("data/nats-index"))
    assert stat.S_IMODE((tmp_path / "client.json").stat().st_mode) == 0o600
    assert OWN.password not in repr(OWN) + repr(made)
    OwnServer(1, 2, "a", "b").write(tmp_path)
    assert nats_settings(config).servers == ("nats://127.0.0.1:1",)
    for text in ("", "[]", "{}", '{"port": 1}'):
        (tmp_path / "client.json").write_text(text)
        with pytest.raises(ConfigError, match=f"^{tmp_path}/client.json does not say where the server is$"):
            nats_settings(config)


def test_without_a_server_of_our_own_the_settings_are_those_that_were_given() -> None:
    config = load(["--backend", "nats", "--nats-servers", "a"], {})
    assert nats_settings(config) is config.nats
    assert nats_settings(load([], {})) is None
