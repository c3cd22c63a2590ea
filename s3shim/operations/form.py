"""PostObject: the upload that a form in a browser makes."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.conditions import NO_CONDITIONS
from s3shim.errors import Code, S3Error
from s3shim.wire.form_answer import form_result, redirection
from s3shim.wire.form_fields import as_headers, check_fields, metadata_in
from s3shim.wire.integrity import expect_in_fields
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response


def post_object(backend: Backend, request: S3Request) -> Response:
    """PostObject: the file of a form whose policy has been checked; all or nothing, as a PUT."""
    form = request.form
    if form is None:
        raise S3Error(
            Code.InvalidArgument,
            "Only one auth mechanism allowed: the fields of a form carry its signature.",
            ArgumentName="Authorization",
        )
    fields = form.fields
    check_fields(fields)
    redirection(fields)
    headers = as_headers(fields)
    meta = metadata_in(fields, headers)
    expect_in_fields(headers, request.body)
    return form_result(request, backend.put_object(request.ref, request.body, meta, NO_CONDITIONS))
