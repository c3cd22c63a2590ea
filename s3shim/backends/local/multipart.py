"""All of multipart uploads in the local store."""

from __future__ import annotations

from s3shim.backends.local.completing import Completing
from s3shim.backends.local.expiry import expire_uploads
from s3shim.backends.local.part_copies import PartCopying
from s3shim.backends.local.uploads import Uploads


class Multipart(Uploads, PartCopying, Completing):
    """The part of LocalBackend that Capability.MULTIPART promises."""

    def expire_multipart_uploads(self, before: int) -> int:
        """See Backend."""
        store = self.store
        return expire_uploads(store.index, store.committer, store.settings, before)
