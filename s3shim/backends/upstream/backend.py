"""The backend over another S3."""

from __future__ import annotations

from typing import ClassVar

from s3shim.backends.base import Backend, Capability
from s3shim.backends.upstream.buckets import Buckets
from s3shim.backends.upstream.client import Request
from s3shim.backends.upstream.completing import Completing
from s3shim.backends.upstream.dialect import Dialect, read_dialect, write_dialect
from s3shim.backends.upstream.locks import UPLOAD, Lock
from s3shim.backends.upstream.probing import probe
from s3shim.errors import Code, S3Error


class UpstreamBackend(Buckets, Completing, Backend):
    """Objects in another S3, verified on the way in and on the way back."""

    capabilities: ClassVar[Capability] = Capability.CONDITIONAL_WRITE | Capability.MULTIPART

    lengthy: ClassVar[frozenset[str]] = frozenset(
        {"copy_object", "upload_part_copy", "complete_multipart_upload"}
    )

    def find_dialect(self) -> Dialect:
        """See Store: as it was found out last, or is found out now."""
        path = self.settings.state / "dialect.json"
        asked = [self.settings.endpoint, self.places.own_bucket, self.places.own("").key]
        with self.locks.hold(Lock(UPLOAD, "dialect")):
            known = read_dialect(path, asked)
            if known is None:
                known, _ = probe(self.settings)
                write_dialect(path, asked, known)
        return known

    def check(self) -> None:
        """See Backend. The message says whether bucket, key, region or connection is wrong."""
        self.opened()
        try:
            if self.places.single:
                self.list_page(self.places.own("check"), most=1)
            else:
                self.client.send(Request("GET"))
        except S3Error as error:
            if error.code is Code.NoSuchBucket:
                message = f"The upstream has no bucket {self.places.own_bucket!r}."
            else:
                message = error.message
            raise S3Error(Code.ServiceUnavailable, message) from None

    def bucket_owner(self, bucket: str) -> str:
        """See Backend. As it was within the last second."""
        return self.bucket(bucket).info.owner
