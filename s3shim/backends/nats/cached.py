"""What is kept of NATS on this host: the keys of buckets, the values of the key-value bucket, in order."""

from __future__ import annotations

from s3shim.backends.nats.cache import Cache
from s3shim.backends.nats.failures import answered
from s3shim.backends.nats.index import Index
from s3shim.backends.nats.mirror import Source
from s3shim.backends.nats.remote import Remote
from s3shim.backends.nats.sweep import Housekeeper
from s3shim.backends.nats.values import Value, Values


class Cached:
    """All processes of the host share it; it can be lost at any time."""

    def __init__(self, remote: Remote) -> None:
        self.cache = Cache(remote.settings.index)
        source = Source(self.cache, remote.bridge, remote.js)
        self.index = Index(source)
        self.values = Values(source)
        self.housekeeper = Housekeeper(source, self.index)

    def close(self) -> None:
        """Let the files go."""
        self.housekeeper.leave()
        self.cache.close()

    def scan(self, prefix: str, bucket: str = "", start: str = "") -> list[Value]:
        """Return values of the key-value bucket in order, as they are now. Raises ServiceUnavailable."""
        with answered(bucket):
            return self.values.scan(prefix, start)
