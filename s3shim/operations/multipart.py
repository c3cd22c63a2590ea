"""Multipart uploads: create, upload a part, complete, abort."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.patience import perform
from s3shim.precheck import check_completing
from s3shim.wire.preconditions import write_conditions
from s3shim.wire.request import S3Request
from s3shim.wire.response import Response
from s3shim.wire.results import complete_result, initiate_result, part_result
from s3shim.wire.uploading import expect_part, read_completion, read_upload


def create_multipart_upload(backend: Backend, request: S3Request) -> Response:
    """CreateMultipartUpload: metadata, tags and checksum algorithm are kept for the object."""
    upload = backend.create_multipart_upload(request.bucket, read_upload(request))
    return initiate_result(request.bucket, upload)


def upload_part(backend: Backend, request: S3Request) -> Response:
    """UploadPart: verified as an object is."""
    number = request.part_number
    expect_part(request, backend.head_multipart_upload(request.upload))
    part = backend.upload_part(request.upload, number, request.body)
    return part_result(part)


def complete_multipart_upload(backend: Backend, request: S3Request) -> Response:
    """CompleteMultipartUpload: at once and once; where it fails the upload is as it was."""
    completion, conditions, upload = read_completion(request), write_conditions(request), request.upload
    return perform(
        backend,
        "complete_multipart_upload",
        request,
        lambda: check_completing(backend, upload, completion, conditions),
        lambda: complete_result(request, backend.complete_multipart_upload(upload, completion, conditions)),
    )


def abort_multipart_upload(backend: Backend, request: S3Request) -> Response:
    """AbortMultipartUpload: 204; NoSuchUpload the second time."""
    backend.abort_multipart_upload(request.upload)
    return Response(204)
