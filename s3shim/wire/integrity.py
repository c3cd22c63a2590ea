"""What the client says of its body: Content-MD5 and x-amz-checksum-*.

Source: "Checking object integrity", Amazon S3 User Guide.
"""

from __future__ import annotations

from s3shim import checksums
from s3shim.errors import Code, S3Error
from s3shim.wire.body import RequestBody
from s3shim.wire.request import Headers, S3Request

_HEADERS = {f"x-amz-checksum-{algorithm}": algorithm for algorithm in checksums.SIZES}
_ANNOUNCED = "x-amz-sdk-checksum-algorithm"
_ANNOUNCED_IN_FIELDS = "x-amz-checksum-algorithm"


def expect(request: S3Request) -> None:
    """Let the body demand the digests that the headers state. Raises InvalidDigest and InvalidRequest."""
    expect_md5(request)
    expect_checksum(request)


def expect_md5(request: S3Request) -> None:
    """Let the body demand Content-MD5. Raises InvalidDigest."""
    _demand_md5(request.sent, request.body)


def expect_checksum(request: S3Request) -> None:
    """Let the body demand its x-amz-checksum-*, a header or the trailer that x-amz-trailer announces.

    A checksum that stands only in a presigned query was made before there was a body and is not
    verified. Raises InvalidRequest and MalformedTrailerError.
    """
    given = stated_checksum(request.sent)
    trailer = request.sent.get("x-amz-trailer")
    if trailer is not None:
        algorithm = _HEADERS.get(trailer.lower())
        if algorithm is None:
            raise S3Error(
                Code.InvalidRequest, "The value specified in the x-amz-trailer header is not supported"
            )
        if given is not None:
            raise _several()
        request.body.expect_trailer(algorithm)
        given = algorithm, ""
    elif given is not None:
        _demand(given, request.body)
    _check_announced(request, given[0] if given else None)


def stated_checksum(headers: Headers) -> tuple[str, str] | None:
    """Return (algorithm, value) of the one x-amz-checksum-* header. Raises InvalidRequest for several."""
    given = [
        (algorithm, headers.get(header) or "") for header, algorithm in _HEADERS.items() if header in headers
    ]
    if len(given) > 1:
        raise _several()
    return given[0] if given else None


def expect_in_fields(fields: Headers, body: RequestBody) -> None:
    """Let the body demand the digests that the fields of a form state, named as the headers are.

    Raises InvalidDigest and InvalidRequest.
    """
    _demand_md5(fields, body)
    given = stated_checksum(fields)
    if given is not None:
        _demand(given, body)
    announced = fields.get(_ANNOUNCED_IN_FIELDS)
    if announced is not None and announced.lower() != (given[0] if given else None):
        raise S3Error(Code.InvalidRequest, f"Value for {_ANNOUNCED_IN_FIELDS} does not fit the checksum.")


def _demand_md5(headers: Headers, body: RequestBody) -> None:
    md5 = headers.get("content-md5")
    if md5 is not None:
        digest = checksums.decode_sized(md5, 16)
        if digest is None:
            raise S3Error(Code.InvalidDigest, "The Content-MD5 you specified is not valid.")
        body.expect_md5(digest)


def _demand(given: tuple[str, str], body: RequestBody) -> None:
    algorithm, value = given
    digest = checksums.decode(algorithm, value)
    if digest is None:
        raise S3Error(Code.InvalidRequest, f"Value for x-amz-checksum-{algorithm} header is invalid.")
    body.expect_checksum(algorithm, digest)


def _several() -> S3Error:
    return S3Error(
        Code.InvalidRequest,
        "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
    )


def _check_announced(request: S3Request, algorithm: str | None) -> None:
    announced = request.sent.get(_ANNOUNCED)
    if announced is None:
        return
    if announced.lower() not in checksums.SIZES:
        raise S3Error(Code.InvalidRequest, "Checksum algorithm provided is unsupported.")
    if algorithm is None:
        hoisted = f"x-amz-checksum-{announced.lower()}" in request.headers
        if hoisted:
            return
        raise S3Error(
            Code.InvalidRequest,
            f"{_ANNOUNCED} specified, but no corresponding x-amz-checksum-* "
            "or x-amz-trailer headers were found.",
        )
    if announced.lower() != algorithm:
        raise S3Error(Code.InvalidRequest, f"Value for {_ANNOUNCED} header is invalid.")
