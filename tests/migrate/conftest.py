"""Pairs of storages: all kinds of the contract suite, each into each."""

from __future__ import annotations

import pytest

from tests.contract.conftest import BACKENDS
from tests.migrate.scene import MAIN, fill

PAIRS = [(source, target) for source in BACKENDS for target in BACKENDS]


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request, tmp_path):
    """A source with an object of every kind, and an empty destination."""
    opened = []
    for number, name in enumerate(request.param):
        backend = BACKENDS[name][1](tmp_path / str(number))
        backend.start()
        opened.append(backend)
    source, target = opened
    source.create_bucket(MAIN)
    fill(source)
    yield source, target
    for backend in opened:
        backend.close()
