"""The NATS storage over servers of a test's own, and what is looked at from outside."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress

from s3shim.backends.nats.backend import NatsBackend
from s3shim.backends.nats.format import all_chunks, stream_of
from s3shim.backends.nats.settings import NatsSettings
from s3shim.backends.nats.sweep import Housekeeper
from s3shim.errors import S3Error
from s3shim.model import BucketInfo, ListQuery
from tests.contract.bodies import get

BUCKET = BucketInfo("bucket", "main", 1_700_000_000_000)


def storage(path, *servers, **settings):
    """Return a storage over ``servers`` that is not started; its index is in ``path``."""
    return NatsBackend(NatsSettings(path / "index", servers=servers, **settings))


@contextmanager
def started(path, *servers, **settings):
    """A started storage over ``servers``."""
    backend = storage(path, *servers, **settings)
    backend.start()
    try:
        yield backend
    finally:
        backend.close()


def until(seconds, condition):
    """Return the seconds until ``condition`` holds; fail after ``seconds``."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it does not come to be"
        time.sleep(0.02)
    return time.monotonic() - began


def ready(backend):
    """Whether the storage says that it is ready."""
    with suppress(S3Error):
        backend.check()
        return True
    return False


def chunk_ids(backend):
    """Return the ids under which there are chunks."""
    store = backend.store
    info = store.call(store.js.stream_info(stream_of("bucket"), subjects_filter=all_chunks("bucket")))
    return {subject.split(".")[3] for subject in info["state"].get("subjects") or ()}


def sweep(backend):
    """Remove what no object names, however young it is; return of how many ids."""
    cached = backend.store.cached
    return Housekeeper(cached.housekeeper._source, cached.index, 0).remove_orphans("bucket", set)


def keys(backend):
    """Return the keys of the bucket."""
    return [info.key for info in backend.list_objects("bucket", ListQuery()).items]


def check_sound(backend):
    """Each object is whole, and after a sweep there are no chunks but theirs; return the objects."""
    sweep(backend)
    objects = {key: get(backend, key) for key in keys(backend)}
    assert chunk_ids(backend) == backend.store.cached.index.nuids("bucket")
    return objects
