"""The application on the memory backend, with two accounts, and clients that sign for themselves.

The clients call it, unless ``--worker`` names a gunicorn worker: then they speak HTTP to that.
"""

import json

import pytest

from s3shim.backends.local import LocalBackend
from s3shim.backends.memory import MemoryBackend
from s3shim.config import load
from s3shim.wsgi import create_app
from tests.wire.answer import check_refused
from tests.wire.client import Client
from tests.wire.fenced import Fenced
from tests.wire.workers import IN_PROCESS, WORKERS, running

MAIN = ("MAINACCESSKEY", "main-secret-main-secret")
OTHER = ("OTHERACCESSKEY", "other-secret-other-secret")


def pytest_ignore_collect(collection_path, config):
    """Leave out what does not go through the worker; None lets others decide."""
    through_worker = config.getoption("--worker") in WORKERS
    return True if through_worker and collection_path.name in IN_PROCESS else None


@pytest.fixture(scope="session")
def credentials_file(tmp_path_factory):
    """A credentials file with the accounts ``main`` and ``other``."""
    path = tmp_path_factory.mktemp("keys") / "credentials.json"
    path.touch(0o600)
    path.write_text(
        json.dumps(
            {
                "credentials": [
                    {"accessKey": MAIN[0], "secretKey": MAIN[1], "account": "main", "displayName": "Main"},
                    {"accessKey": OTHER[0], "secretKey": OTHER[1], "account": "other"},
                ]
            }
        )
    )
    return path


@pytest.fixture
def app(credentials_file, tmp_path):
    """A fresh service on an empty memory backend."""
    config = load(["--data", str(tmp_path), "--credentials", str(credentials_file)], {})
    return create_app(config, MemoryBackend())


@pytest.fixture(scope="session")
def reach(request, tmp_path_factory):
    """Make a client that reaches an application: ``reach(app, access_key, secret_key, **options)``."""
    name = request.config.getoption("--worker")
    if name not in WORKERS:
        yield Client
        return
    with running(name, tmp_path_factory.mktemp("worker")) as worker:
        yield worker.client


@pytest.fixture
def signed(reach):
    """Make a client of the account ``main``: ``signed(app, **options)``."""
    return lambda app, **options: reach(app, *MAIN, **options)


@pytest.fixture
def client(app, signed):
    """The client of the account ``main``."""
    return signed(app)


@pytest.fixture
def stranger(app, reach):
    """The client of the account ``other``."""
    return reach(app, *OTHER)


@pytest.fixture
def bucket(client):
    """The name of an empty bucket of the account ``main``."""
    assert client.request("PUT", "/a-bucket").status == 200
    return "a-bucket"


@pytest.fixture(scope="module", params=["memory", "local"])
def fenced_service(request, credentials_file, tmp_path_factory, reach):
    """A service on each storage; made once, for nothing may change in it."""
    path = tmp_path_factory.mktemp("fenced")
    backend = MemoryBackend() if request.param == "memory" else LocalBackend(path / "store", inline_max=1000)
    config = load(["--data", str(path), "--credentials", str(credentials_file)], {})
    app = create_app(config, backend)
    yield Fenced(backend, reach(app, *MAIN))
    backend.close()


@pytest.fixture
def fenced(fenced_service):
    """The service; what one test finds is not blamed on the next."""
    fenced_service.hold()
    return fenced_service


@pytest.fixture
def refused(fenced):
    """Demand status, code and message of an answer, and that the store is as it was."""

    def check(answer, status, code, message=None):
        check_refused(answer, status, code)
        if message is not None:
            assert answer.detail("Message") == message
        assert MAIN[1].encode() not in answer.body
        assert fenced.digest() == fenced.before
        return answer

    check.client = fenced.client
    return check
