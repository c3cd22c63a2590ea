"""Cross-origin rules of a bucket, and the preflight by which a browser asks for them."""

from __future__ import annotations

from s3shim.backends.base import Backend
from s3shim.cors import DOCUMENT, allowing, find
from s3shim.errors import Code, S3Error
from s3shim.wire.cors import asked_headers, parse_rules, read_rules, write_rules
from s3shim.wire.request import S3Request
from s3shim.wire.response import XML_TYPE, Response


def get_bucket_cors(backend: Backend, request: S3Request) -> Response:
    """GetBucketCors: the rules; NoSuchCORSConfiguration where there are none."""
    document = backend.get_document(request.bucket, DOCUMENT)
    if document is None:
        raise S3Error(Code.NoSuchCORSConfiguration, BucketName=request.bucket)
    return Response(200, [("Content-Type", XML_TYPE)], document)


def put_bucket_cors(backend: Backend, request: S3Request) -> Response:
    """PutBucketCors: replaces all rules."""
    backend.put_document(request.bucket, DOCUMENT, write_rules(read_rules(request)))
    return Response(200)


def delete_bucket_cors(backend: Backend, request: S3Request) -> Response:
    """DeleteBucketCors: 204, whether or not there were rules."""
    backend.put_document(request.bucket, DOCUMENT, None)
    return Response(204)


def preflight(backend: Backend, request: S3Request) -> Response:
    """OPTIONS: what the rules allow to this origin, unsigned.

    Raises BadRequest where the request is no preflight, AccessForbidden where no rule allows it. A bucket
    that is not there has no rules: nothing is told of it.
    """
    origin = request.headers.get("origin")
    if not origin:
        raise S3Error(Code.BadRequest, "Insufficient information. Origin request header needed.")
    method = request.headers.get("access-control-request-method")
    if not method:
        raise S3Error(Code.BadRequest, "Invalid Access-Control-Request-Method: null")
    document = _document(backend, request.bucket)
    if document is None:
        raise S3Error(Code.AccessForbidden)
    asked = asked_headers(request)
    rule = find(parse_rules(document), origin, method, asked)
    if rule is None:
        raise S3Error(
            Code.AccessForbidden,
            "CORSResponse: This CORS request is not allowed. This is usually because the evaluation of "
            "Origin, request method / Access-Control-Request-Method or Access-Control-Request-Headers are "
            "not whitelisted by the resource's CORS spec.",
        )
    return Response(200, allowing(rule, origin, asked))


def _document(backend: Backend, bucket: str) -> bytes | None:
    if not bucket:
        return None
    try:
        return backend.get_document(bucket, DOCUMENT)
    except S3Error as error:
        if error.code is Code.NoSuchBucket:
            return None
        raise
