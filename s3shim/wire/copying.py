"""What a copy is asked to take over.

Source: "CopyObject" and "UploadPartCopy" in the Amazon S3 API Reference.
"""

from __future__ import annotations

from s3shim.copying import Copy
from s3shim.wire.metadata import read_metadata
from s3shim.wire.request import S3Request
from s3shim.wire.source import (
    read_source,
    refuse_copy_onto_itself,
    replaces,
    source_conditions,
    source_range,
)

__all__ = ["read_copy", "read_part_copy", "source_range"]


def read_copy(request: S3Request) -> Copy:
    """Return the copy that a CopyObject asks for.

    Raises what the functions of ``source`` and ``read_metadata`` raise.
    """
    source = read_source(request)
    replaces_metadata, replaces_tags = replaces(request, "metadata"), replaces(request, "tagging")
    if not (replaces_metadata or replaces_tags):
        refuse_copy_onto_itself(source, request.ref)
    given = read_metadata(request.headers)
    return Copy(
        source,
        source_conditions(request),
        given if replaces_metadata else None,
        given.tags if replaces_tags else None,
    )


def read_part_copy(request: S3Request) -> Copy:
    """Return the copy that an UploadPartCopy asks for: bytes only."""
    return Copy(read_source(request), source_conditions(request))
