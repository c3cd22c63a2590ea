"""From a store on this machine to a real NATS server and back, by the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3shim.backends.base import Capability
from s3shim.backends.local import LocalBackend
from s3shim.backends.nats.backend import NatsBackend
from s3shim.model import ListQuery
from tests.contract.bodies import pattern, put
from tests.contract.uploads import put_parts
from tests.migrate.scene import CORS, KEYS, MAIN, ODD, state
from tests.migrate.test_migrate_command import run
from tests.nats_server import NatsServer


@pytest.fixture
def source(tmp_path):
    backend = LocalBackend(tmp_path / "source")
    backend.start()
    backend.create_bucket(MAIN)
    backend.put_document("bucket", "cors", CORS)
    for key in KEYS:
        put(backend, key, key.encode(), meta=ODD)
    put(backend, "empty")
    put(backend, "large", pattern(3_000_000), meta=ODD)
    if Capability.MULTIPART in NatsBackend.capabilities:
        put_parts(backend, "parts", [pattern(5 << 20, 1), pattern(100, 2)], meta=ODD, algorithm="crc32")
    yield backend
    backend.close()


@pytest.fixture
def server(tmp_path):
    server = NatsServer(tmp_path / "nats").start()
    yield server
    server.stop()


def undated(backend):
    """Return the state without times."""
    seen = state(backend)
    for name, found in seen.items():
        if isinstance(name, tuple):
            found[0]["last_modified"] = None
    return seen


def test_to_nats_and_back(source, server, tmp_path):
    ours, theirs, back = f"local:{tmp_path / 'source'}", server.url, f"local:{tmp_path / 'back'}"
    data = ["--data", tmp_path / "far"]
    sizes = [info.size for info in source.list_objects("bucket", ListQuery()).items]
    count, size = len(sizes), sum(sizes)
    assert run(ours, theirs, *data)[:2] == (0, [f"objects {count}, copied {count}, bytes read {size:,}"])
    assert run(ours, theirs, *data)[:2] == (0, [f"objects {count}, equal {count}, bytes read 0"])
    assert run(ours, theirs, *data, "--verify")[0] == 0
    assert run(theirs, back, *data)[:2] == (0, [f"objects {count}, copied {count}, bytes read {size:,}"])
    assert run(ours, back, "--dry-run")[0] == 0
    copy = LocalBackend(Path(tmp_path / "back"))
    copy.start()
    assert undated(copy) == undated(source)
    copy.close()


def test_nats_that_does_not_answer_is_1(source, tmp_path):
    far = ["--data", tmp_path / "far", "--nats-timeout", "0.2"]
    code, lines, _ = run(f"local:{tmp_path / 'source'}", "nats://127.0.0.1:1", *far)
    assert code == 1
    assert lines[0].startswith("bucket bucket: ServiceUnavailable: ")
    assert lines[1] == "objects 0, bytes read 0"
