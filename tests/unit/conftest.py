"""One store with a bit of everything for the tests that damage copies of it, and one nats-server."""

import shutil

import pytest

from tests.unit.damaging import fill
from tests.unit.nats_server import NatsServer


@pytest.fixture(scope="session")
def sound(tmp_path_factory):
    """The root of a sound store, not to be changed."""
    root = tmp_path_factory.mktemp("fsck") / "sound"
    fill(root)
    return root


@pytest.fixture
def damaged(sound, tmp_path):
    """The root of a copy of the sound store, to be damaged."""
    return shutil.copytree(sound, tmp_path / "store")


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory):
    """A nats-server with JetStream."""
    server = NatsServer(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()
