"""The NATS storage over servers of a test's own, and what is looked at from outside."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress

from s3shim.backends.nats.backend import NatsBackend
from s3shim.backends.nats.settings import NatsSettings
from s3shim.errors import S3Error
from s3shim.model import BucketInfo

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
