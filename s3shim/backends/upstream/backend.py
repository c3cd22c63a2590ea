"""The backend over another S3."""

from __future__ import annotations

from typing import ClassVar

from s3shim.backends.base import Backend, Capability
from s3shim.backends.upstream.buckets import Buckets
from s3shim.backends.upstream.client import Request
from s3shim.backends.upstream.completing import Completing
from s3shim.errors import Code, S3Error


class UpstreamBackend(Buckets, Completing, Backend):
    """Objects in another S3, verified on the way in and on the way back."""

    capabilities: ClassVar[Capability] = Capability.CONDITIONAL_WRITE | Capability.MULTIPART

    lengthy: ClassVar[frozenset[str]] = frozenset(
        {"copy_object", "upload_part_copy", "complete_multipart_upload"}
    )

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
