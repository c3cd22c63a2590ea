"""The NATS backend: JetStream Object Store, in its own format, with compare-and-set on the metadata."""

from __future__ import annotations

from typing import ClassVar

from s3shim.backends.base import Backend, Capability
from s3shim.backends.nats.bucket_calls import BucketCalls
from s3shim.backends.nats.copies import Copying
from s3shim.backends.nats.derived import Deriving
from s3shim.backends.nats.multipart import Multipart
from s3shim.backends.nats.reading import Reading
from s3shim.backends.nats.rounds import Rounds
from s3shim.backends.nats.writing import Writing


class NatsBackend(BucketCalls, Reading, Writing, Deriving, Copying, Multipart, Backend):
    """Objects in NATS JetStream, for any number of processes on any number of hosts."""

    capabilities: ClassVar[Capability] = Capability.CONDITIONAL_WRITE | Capability.MULTIPART

    lengthy: ClassVar[frozenset[str]] = frozenset(
        {"copy_object", "upload_part_copy", "complete_multipart_upload"}
    )

    _rounds: Rounds | None = None

    def start(self) -> None:
        """See Backend. Returns without a connection where there is none yet."""
        super().start()
        self._rounds = Rounds(self.store, self.settings.upload_expiry)
        self._rounds.start()

    def close(self) -> None:
        """See Backend."""
        rounds, self._rounds = self._rounds, None
        if rounds is not None:
            rounds.stop()
        super().close()
        if rounds is not None:
            rounds.join()
