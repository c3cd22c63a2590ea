"""Whether JetStream syncs before it acknowledges, as real monitors tell, and what the log says of it."""

from __future__ import annotations

import logging
import socket
import threading

import pytest

from s3shim.backends.nats.durability import NotTold, Syncing, announce, ask
from s3shim.backends.nats.settings import NatsSettings
from s3shim.measures import Durability
from tests.nats_server import NatsServer, free_port


@pytest.fixture
def serve(tmp_path):
    """Start a server with this ``sync_interval``."""
    servers = []

    def serve(sync):
        servers.append(NatsServer(tmp_path, sync=sync).start())
        return servers[-1]

    yield serve
    for server in servers:
        server.kill()


def told(caplog, tmp_path, monitor, replicas=1):
    """Return level, message and fields of the one line that is written."""
    with caplog.at_level(logging.INFO, "s3shim"):
        announce(NatsSettings(index=tmp_path, monitor=monitor, replicas=replicas))
    (record,) = caplog.records
    caplog.clear()
    return record.levelname, record.getMessage(), record.fields


def test_a_server_that_always_syncs(serve, caplog, tmp_path):
    server = serve('"always"')
    assert ask(server.monitor) == Syncing(True, 120.0)
    assert ask(server.monitor).durability is Durability.FULL
    assert told(caplog, tmp_path, server.monitor) == (
        "INFO",
        "JetStream syncs writes before it acknowledges them",
        {"durability": "full"},
    )


@pytest.mark.parametrize(
    ("sync", "seconds"),
    # Not quoted, 2m is two millions for the server: what counts is what it has made of it.
    [('"2m"', 120.0), ('"10s"', 10.0), ("2m", 2_000_000.0)],
)
def test_a_server_that_syncs_later(serve, caplog, tmp_path, sync, seconds):
    server = serve(sync)
    assert ask(server.monitor) == Syncing(False, seconds)
    assert ask(server.monitor).durability is Durability.DELAYED
    later = (
        f"JetStream acknowledges writes before it syncs them, every {seconds:g} seconds: a power cut takes "
        "acknowledged objects, and can take whole buckets"
    )
    advice = ". sync_interval: always in its configuration prevents it"
    fields = {"durability": "delayed"}
    alone = f"{later}; with one replica there is no other copy of them{advice}"
    assert told(caplog, tmp_path, server.monitor) == ("WARNING", alone, fields)
    assert told(caplog, tmp_path, server.monitor, 3) == ("WARNING", later + advice, fields)


def test_without_a_monitor_it_is_not_known(caplog, tmp_path):
    assert told(caplog, tmp_path, None) == (
        "INFO",
        "whether JetStream syncs writes before it acknowledges them is not known, by default it does not: "
        "--nats-monitor names who tells",
        {"durability": "unknown"},
    )


def test_a_monitor_that_is_not_there(caplog, tmp_path):
    monitor = f"http://127.0.0.1:{free_port()}"
    level, message, fields = told(caplog, tmp_path, monitor)
    assert (level, fields) == ("WARNING", {"durability": "unknown"})
    assert "acknowledges them is not known, by default it does not: http" in message
    assert "Connection refused" in message


def test_what_the_environment_says_of_proxies_is_not_meant_for_it(serve, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    assert ask(serve('"always"').monitor).always


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b'HTTP/1.1 200 OK\r\n\r\n{"disabled": true}', "tells of no JetStream"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"config": {"store_dir": "/x"}}', "tells of no JetStream"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "is no monitor of a NATS server"),
        (b"HTTP/1.1 200 OK\r\n\r\n[1]", "is no monitor of a NATS server"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"config": [1]}', "is no monitor of a NATS server"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"config": {"sync_interval": null}}', "is no monitor of a NATS server"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "HTTP Error 404: Not Found"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "is no monitor of a NATS server"),
        (b"nonsense\r\n\r\n", "nonsense"),
        (b"", "closed connection without response"),
    ],
)
def test_answers_of_others(answer, reason):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(NotTold, match=reason):
            ask(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()


def test_a_monitor_that_does_not_answer(monkeypatch):
    monkeypatch.setattr("s3shim.backends.nats.durability._TIMEOUT", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(NotTold, match="timed out"),
    ):
        ask(f"http://127.0.0.1:{listener.getsockname()[1]}")
