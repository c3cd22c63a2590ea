"""A store with a bit of everything for the tests that damage copies of it; nats-server; moto."""

import secrets
import shutil

import pytest

from s3shim.backends.nats.backend import NatsBackend
from s3shim.backends.nats.cache import Cache
from s3shim.backends.nats.index import Index
from s3shim.backends.nats.mirror import Source
from s3shim.backends.nats.settings import NatsSettings
from s3shim.config import load
from s3shim.model import BucketInfo
from s3shim.wsgi import create_app
from tests.contract import upstreams
from tests.nats_server import NatsServer
from tests.unit.damaging import fill
from tests.unit.fake_upstream import FakeUpstream, backend_over
from tests.unit.nats_clients import Client, make_bucket, remove_bucket, stranger
from tests.unit.nats_objects import KEYS
from tests.wire import client as wire


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


@pytest.fixture
def moto(tmp_path):
    """A backend over moto, with the bucket "bucket"."""
    backend = upstreams.over_moto(tmp_path)
    backend.start()
    backend.create_bucket(BucketInfo("bucket", "main", 1))
    yield backend
    backend.close()


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory):
    """A nats-server with JetStream."""
    server = NatsServer(tmp_path_factory.mktemp("nats")).start()
    yield server
    server.stop()


@pytest.fixture
def bucket(nats_server):
    """An empty bucket as another client makes it."""
    name = f"bucket-{secrets.token_hex(8)}"
    make_bucket(nats_server.url, name)
    yield name
    remove_bucket(nats_server.url, name)


@pytest.fixture
def client(nats_server, tmp_path):
    """A client of the server."""
    client = Client(nats_server.url, tmp_path)
    yield client
    client.close()


@pytest.fixture
def index(client, tmp_path):
    """An index of its own."""
    cache = Cache(tmp_path / "index", patience=2.0)
    yield Index(Source(cache, client.bridge, client.jetstream))
    cache.close()


@pytest.fixture(scope="module")
def nats_s3(nats_server, tmp_path_factory):
    """A client of the service on the server."""
    directory = tmp_path_factory.mktemp("interop")
    keys = {"S3SHIM_ACCESS_KEY": KEYS[0], "S3SHIM_SECRET_KEY": KEYS[1]}
    config = load(["--data", str(directory), "--backend", "nats"], keys)
    backend = NatsBackend(NatsSettings(directory / "index", servers=(nats_server.url,)))
    yield wire.Client(create_app(config, backend), *KEYS)
    backend.close()


@pytest.fixture
def theirs(nats_server, bucket):
    """Do with the bucket as an Object Store of nats-py: ``theirs(work)``, ``work(store, jetstream)``."""

    def do(work, store=None):
        async def with_store(js):
            return await work(await js.object_store(store or bucket), js)

        return stranger(nats_server.url, with_store)

    return do


@pytest.fixture
def over(tmp_path):
    """Return a function that gives a backend over an upstream that answers by a function."""
    opened = []

    def make(answer, *, pause=0.0, **settings):
        fake = FakeUpstream(answer, pause=pause)
        backend = backend_over(fake.endpoint, tmp_path, **settings)
        opened.append((backend, fake))
        return backend, fake

    yield make
    for backend, fake in opened:
        backend.close()
        fake.__exit__()
