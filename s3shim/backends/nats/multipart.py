"""The calls of multipart uploads."""

from __future__ import annotations

from s3shim.backends.nats.completing import Completions
from s3shim.backends.nats.part_copies import PartCopies
from s3shim.backends.nats.parts import Parts
from s3shim.backends.nats.upload_listing import UploadListing
from s3shim.backends.nats.uploads import Uploads


class Multipart(Uploads, UploadListing, Parts, PartCopies, Completions):
    """What Capability.MULTIPART promises."""
