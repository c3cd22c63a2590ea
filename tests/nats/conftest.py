"""Servers for the tests of the NATS storage."""

import pytest

from tests.nats_server import NatsServer


@pytest.fixture
def run_server(tmp_path):
    """Return a function that makes, and starts, servers of this test."""
    servers = []

    def run(name="one", *, start=True, **options):
        server = NatsServer(tmp_path / f"server-{name}", name=name, **options)
        servers.append(server)
        return server.start() if start else server

    yield run
    for server in servers:
        server.kill()


@pytest.fixture
def trials(request):
    """How often to try what goes wrong seldom."""
    return request.config.getoption("--trials")
