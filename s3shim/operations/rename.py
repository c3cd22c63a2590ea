"""RenameObject: another key for an object, at once."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.renaming import Rename
from s3shim.wire.preconditions import rename_conditions, source_conditions_in
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response
from s3shim.wire.source import SOURCE_OF_RENAME, client_token, read_rename_source


def rename_object(backend: Backend, request: S3Request) -> Response:
    """RenameObject, within a bucket of any kind; 200 without a body."""
    source = read_rename_source(request)
    request.authorize("s3:DeleteObject", request.bucket)
    backend.rename_object(
        Rename(
            request.bucket,
            source,
            request.key,
            source_conditions_in(request, f"{SOURCE_OF_RENAME}-"),
            rename_conditions(request),
            client_token(request),
        )
    )
    return Response(200)
