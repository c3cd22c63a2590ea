"""The backend over another S3."""

from __future__ import annotations

from typing import ClassVar

from s3shim.backends.base import Backend, Capability
from s3shim.backends.ledger import Ledger
from s3shim.backends.upstream.asking import dialect_of
from s3shim.backends.upstream.buckets import Buckets
from s3shim.backends.upstream.dialect import Dialect
from s3shim.backends.upstream.rounds import Rounds
from s3shim.backends.upstream.settings import UpstreamSettings
from s3shim.backends.upstream.sweeping import Sweeping


class UpstreamBackend(Buckets, Sweeping, Backend):
    """Objects in another S3, verified on the way in and on the way back."""

    capabilities: ClassVar[Capability] = Capability.CONDITIONAL_WRITE | Capability.MULTIPART

    lengthy: ClassVar[frozenset[str]] = frozenset(
        {"copy_object", "upload_part_copy", "complete_multipart_upload"}
    )

    def __init__(self, settings: UpstreamSettings, ledger: Ledger | None = None) -> None:
        super().__init__(settings, ledger)
        self._rounds: Rounds | None = None

    def start(self) -> None:
        """See Backend. The upstream need not be there yet."""
        super().start()
        path = self.settings.state / "cleaned"
        self._rounds = Rounds(path, self.settings.upload_expiry, self.expire_multipart_uploads)
        self._rounds.start()

    def close(self) -> None:
        """See Backend."""
        if self._rounds is not None:
            self._rounds.stop()
            self._rounds = None
        super().close()

    def find_dialect(self) -> Dialect:
        """See Store: as it was found out last, or is found out now."""
        return dialect_of(self)

    def conditional_writes(self) -> str:
        """See Backend. What the upstream does itself is known when it was asked."""
        dialect = self._dialect
        return self.settings.winners(dialect is not None and dialect.conditions)

    def bucket_owner(self, bucket: str) -> str:
        """See Backend. As it was within the last second."""
        return self.bucket(bucket).info.owner
