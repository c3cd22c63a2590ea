"""The NATS backend: JetStream Object Store, in its own format, with compare-and-set on the metadata."""

from __future__ import annotations

from typing import ClassVar

from s3shim.backends.base import Backend, Capability
from s3shim.backends.nats.bucket_calls import BucketCalls
from s3shim.backends.nats.copies import Copying
from s3shim.backends.nats.derived import Deriving
from s3shim.backends.nats.multipart import Multipart
from s3shim.backends.nats.reading import Reading
from s3shim.backends.nats.running import Running
from s3shim.backends.nats.writing import Writing


class NatsBackend(BucketCalls, Reading, Writing, Deriving, Copying, Multipart, Running, Backend):
    """Objects in NATS JetStream, for any number of processes on any number of hosts."""

    capabilities: ClassVar[Capability] = (
        Capability.CONDITIONAL_WRITE | Capability.MULTIPART | Capability.LAST_MODIFIED
    )

    lengthy: ClassVar[frozenset[str]] = frozenset(
        {"copy_object", "upload_part_copy", "complete_multipart_upload"}
    )
