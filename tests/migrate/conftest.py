"""Pairs of storages: those of this process into each other, and every other one both ways."""

from __future__ import annotations

import pytest

from tests.contract.conftest import BACKENDS
from tests.contract.conftest import servers as servers
from tests.migrate.faulty import small_source
from tests.migrate.scene import MAIN, fill

NEAR = ["memory", "local"]
FAR = ["nats", "s3 over s3shim"]
PAIRS = [(source, target) for source in NEAR for target in NEAR]
PAIRS += [pair for far in FAR for pair in (("local", far), (far, "local"))]
# The servers of the tests are emptied for each storage over them: none of them can be both sides.
ACROSS = [FAR, FAR[::-1], ("local", "s3 over moto")]


def opened(names, tmp_path):
    """Yield a source with an object of every kind, and an empty destination; for fixtures."""
    storages = []
    for number, name in enumerate(names):
        backend = BACKENDS[name][1](tmp_path / str(number))
        backend.start()
        storages.append(backend)
    source, target = storages
    source.create_bucket(MAIN)
    fill(source, target)
    yield source, target
    for backend in storages:
        backend.close()


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request, tmp_path):
    """A source with an object of every kind, and an empty destination, of different kinds."""
    yield from opened(request.param, tmp_path)


@pytest.fixture(params=PAIRS[: len(NEAR) ** 2], ids="-".join)
def near_pair(request, tmp_path):
    """The same of storages of this process, for what takes many calls."""
    yield from opened(request.param, tmp_path)


@pytest.fixture(params=ACROSS, ids=" to ".join)
def far_pair(request, tmp_path):
    """The same of storages that are elsewhere."""
    yield from opened(request.param, tmp_path)


def empty(name, tmp_path):
    """Yield an empty storage; for fixtures."""
    backend = BACKENDS[name][1](tmp_path)
    backend.start()
    yield backend
    backend.close()


@pytest.fixture(params=NEAR)
def target(request, tmp_path):
    """Each storage of this process, empty."""
    yield from empty(request.param, tmp_path)


@pytest.fixture(params=[*NEAR, *FAR])
def any_target(request, tmp_path):
    """Storages of each kind, empty."""
    yield from empty(request.param, tmp_path)


@pytest.fixture
def source():
    """A source with few objects, whose calls can be made to fail."""
    return small_source()


@pytest.fixture
def no_pauses(monkeypatch):
    """Let what failed be tried again at once."""
    monkeypatch.setattr("s3shim.migrate.failures.pause_after", lambda attempt: 0.001)
    monkeypatch.setattr("s3shim.migrate.objects.pause_after", lambda attempt: 0.001)
